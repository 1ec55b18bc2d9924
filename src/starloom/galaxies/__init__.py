"""Galaxies: self-organizing maps of their colors, and redshifts of samples calibrated through them."""
