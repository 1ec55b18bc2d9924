"""Spectra of surveys: what they are made of, and how to go from one form to another."""
