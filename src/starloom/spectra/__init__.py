"""Spectra as surveys give them: files of SDSS and APOGEE, masks and errors, coadds, Gaia XP spectra and their bases."""
