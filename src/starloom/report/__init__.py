"""Results made visible: page, figures, explorer."""
