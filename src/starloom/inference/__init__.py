"""Inference that any domain can use: whether stated probabilities hold."""
