"""What the images are to match, a module for each: gradients of random heads, class means, a probe."""
