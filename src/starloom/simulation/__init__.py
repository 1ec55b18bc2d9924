"""Made stars in the place of real ones: a Galaxy drawn from stellar models, and what surveys would measure of it."""
