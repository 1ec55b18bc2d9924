"""What stars are, from whatever was observed of them: the foundation model and what it is made of."""
