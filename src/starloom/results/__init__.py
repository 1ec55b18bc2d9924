"""What a study leaves behind: numbers, tables, declared figures, provenance."""
