"""Spectra of surveys as they are on disk: SDSS and BOSS, APOGEE, their masks and errors, and coadds of repeats."""
