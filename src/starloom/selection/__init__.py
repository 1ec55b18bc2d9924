"""What a survey could see: footprints, fractions measured or tabulated, and effective volumes."""
