"""One file a paper: configuration, steps, published numbers."""
