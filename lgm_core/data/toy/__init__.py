"""Procedural data sets, drawn by the project itself."""
