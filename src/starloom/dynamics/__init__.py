"""Frames, potentials and orbits."""
