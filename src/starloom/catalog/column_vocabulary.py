"""The words for columns that all rooms share: what a column is called inside Starloom, its unit and its meaning.

A canonical name is the name that a column has inside Starloom, whatever table it came from; what each survey calls it
is in :mod:`starloom.catalog.surveys`. To add a column, add a line.
"""

from __future__ import annotations

from collections.abc import Mapping

ASTROMETRY = ("ra", "dec", "parallax", "pmra", "pmdec")
"""The five parameters of an astrometric solution, in the order in which their correlations are named."""

_MAGNITUDES = {f"{band}_mag": ("mag", f"Pan-STARRS1 {band} magnitude") for band in "grizy"}
_MAGNITUDE_ERRORS = {f"{band}_mag_error": ("mag", f"error of the Pan-STARRS1 {band} magnitude") for band in "grizy"}
_CORRELATIONS = {
    f"{first}_{second}_corr": ("", f"correlation of the errors of {first} and {second}")
    for index, first in enumerate(ASTROMETRY)
    for second in ASTROMETRY[index + 1 :]
}

CANONICAL: Mapping[str, tuple[str, str]] = {
    "source_id": ("", "identifier of the source, a 64-bit integer"),
    "ra": ("deg", "right ascension, ICRS, at the reference epoch"),
    "ra_error": ("mas", "error of the right ascension, times cos(dec)"),
    "dec": ("deg", "declination, ICRS, at the reference epoch"),
    "dec_error": ("mas", "error of the declination"),
    "ref_epoch": ("yr", "epoch of the position, Julian years"),
    "parallax": ("mas", "parallax, zero point not corrected"),
    "parallax_error": ("mas", "error of the parallax"),
    "pmra": ("mas/yr", "proper motion in right ascension, with cos(dec)"),
    "pmra_error": ("mas/yr", "error of the proper motion in right ascension"),
    "pmdec": ("mas/yr", "proper motion in declination"),
    "pmdec_error": ("mas/yr", "error of the proper motion in declination"),
    **_CORRELATIONS,
    "radial_velocity": ("km/s", "radial velocity, barycentric"),
    "radial_velocity_error": ("km/s", "error of the radial velocity"),
    "ruwe": ("", "renormalized unit weight error of the astrometric solution"),
    "phot_g_mean_mag": ("mag", "Gaia G magnitude"),
    "phot_bp_mean_mag": ("mag", "Gaia BP magnitude"),
    "phot_rp_mean_mag": ("mag", "Gaia RP magnitude"),
    "bp_rp": ("mag", "Gaia color BP - RP"),
    "phot_bp_rp_excess_factor": ("", "ratio of the BP and RP fluxes to the G flux"),
    **_MAGNITUDES,
    **_MAGNITUDE_ERRORS,
    "phi1": ("deg", "longitude along a stream"),
    "phi2": ("deg", "latitude across a stream"),
    "pm_phi1_cosphi2": ("mas/yr", "proper motion along a stream, with cos(phi2)"),
    "pm_phi2": ("mas/yr", "proper motion across a stream"),
    "distance": ("kpc", "distance from the Sun"),
    "distance_error": ("kpc", "error of the distance"),
    "fe_h": ("", "iron abundance [Fe/H], dex"),
    "fe_h_error": ("", "error of [Fe/H], dex"),
    "al_fe": ("", "abundance of aluminum, [Al/Fe], dex"),
    "logg": ("", "surface gravity, log10 of cm/s^2"),
    "logg_error": ("", "error of the surface gravity, dex"),
    "h_mag": ("mag", "2MASS H magnitude"),
    "j_mag": ("mag", "2MASS J magnitude"),
    "ks_mag": ("mag", "2MASS Ks magnitude"),
    "alpha_m": ("", "abundance of the alpha elements, [alpha/M] or [Mg/Fe], dex"),
    "teff": ("K", "effective temperature"),
    "teff_error": ("K", "error of the effective temperature"),
    "a_v": ("mag", "extinction in V"),
    "a_v_error": ("mag", "error of the extinction in V"),
    "age": ("Gyr", "age of the star"),
    "age_error": ("Gyr", "error of the age"),
    "age_low": ("Gyr", "lower 68 % bound of the age"),
    "age_high": ("Gyr", "upper 68 % bound of the age"),
    "galactic_radius": ("kpc", "distance from the Galactic center in the plane"),
    "galactic_height": ("kpc", "height above the plane"),
    "eccentricity": ("", "eccentricity of the orbit"),
    "action_r": ("kpc km/s", "radial action"),
    "snr": ("", "signal-to-noise ratio of the spectrum"),
    "stream": ("", "name of a stellar stream"),
}
"""Canonical name -> (unit, meaning)."""
