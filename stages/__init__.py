"""The pipeline's stages, a verb a file, and the commands around it."""
