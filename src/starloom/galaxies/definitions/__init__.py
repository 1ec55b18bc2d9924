"""Question schemas of the Galaxy Zoo campaigns, as data."""
