"""What single stars are: isochrones, photometry, mass functions, extinction."""
