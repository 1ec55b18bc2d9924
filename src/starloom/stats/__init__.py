"""Densities, ranks, intervals and scores."""
