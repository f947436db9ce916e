"""Linear Gradient Matching: the gradients, the images as parameters, a step, a run."""
