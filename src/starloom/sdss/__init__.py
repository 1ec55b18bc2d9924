"""SDSS-V: what its cartons select and why, target flags, target tables, where its files are."""
