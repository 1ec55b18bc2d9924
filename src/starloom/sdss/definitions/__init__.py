"""The cartons as data: one file a mapper, and the columns they read."""
