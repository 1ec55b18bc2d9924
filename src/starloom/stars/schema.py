"""The columns that the star foundation model can use (light: read by ``starloom describe``).

Nothing is required: a star is whatever was observed of it. Spectra are columns with many values a row, which a schema
does not list: ``flux`` and ``flux_error`` (343 values, 336 to 1020 nm, W m^-2 nm^-1), or ``bp_coefficients`` and
``rp_coefficients`` with their errors, as Gaia publishes them.
"""

from __future__ import annotations

from starloom.catalog.schema import Column, Schema

MAGNITUDES = {
    "phot_g_mean_mag": "Gaia G",
    "phot_bp_mean_mag": "Gaia BP",
    "phot_rp_mean_mag": "Gaia RP",
    "j_mag": "2MASS J",
    "h_mag": "2MASS H",
    "ks_mag": "2MASS Ks",
}

SCHEMA = Schema(
    name="star foundation model",
    meaning="stars with spectra, colors, labels, in any combination",
    columns=(
        Column("source_id", "", "identifier of the star", kind="integer"),
        *(Column(name, "mag", f"{meaning} magnitude") for name, meaning in MAGNITUDES.items()),
        Column("parallax", "mas", "parallax"),
        Column("parallax_error", "mas", "its error"),
        Column("bp_rp", "mag", "Gaia color BP - RP"),
        Column("j_h", "mag", "2MASS color J - H"),
        Column("j_k", "mag", "2MASS color J - Ks"),
        Column("teff", "K", "effective temperature"),
        Column("teff_error", "K", "its error"),
        Column("logg", "", "logarithm of the surface gravity, dex(cgs)"),
        Column("logg_error", "", "its error"),
        Column("fe_h", "", "iron abundance [Fe/H], dex"),
        Column("fe_h_error", "", "its error"),
        Column("m_h", "", "metallicity [M/H], dex"),
        Column("m_h_error", "", "its error"),
        Column("alpha_m", "", "alpha elements over metals [alpha/M], dex"),
        Column("alpha_m_error", "", "its error"),
        Column("a_k", "mag", "extinction in Ks"),
        Column("a_k_error", "mag", "its error"),
        Column("log_ebv", "", "natural logarithm of the reddening E(B-V)"),
        Column("log_ebv_error", "", "its error"),
        Column("mass", "Msun", "mass"),
        Column("mass_error", "Msun", "its error"),
        Column("age", "Gyr", "age"),
        Column("age_error", "Gyr", "its error"),
    ),
)

ALIASES = {
    "source_id": ("gaiaedr3_source_id", "gaia_source_id", "gaia_dr3_source_id", "dr3_source_id"),
    "phot_g_mean_mag": ("gaiaedr3_phot_g_mean_mag", "gmag", "phot_g"),
    "phot_bp_mean_mag": ("gaiaedr3_phot_bp_mean_mag", "bpmag", "phot_bp"),
    "phot_rp_mean_mag": ("gaiaedr3_phot_rp_mean_mag", "rpmag", "phot_rp"),
    "j_mag": ("j", "j_m", "jmag"),
    "h_mag": ("h", "h_m", "hmag"),
    "ks_mag": ("k", "ks", "ks_m", "k_m", "kmag", "k_mag", "ksmag"),
    "bp_rp": ("bprp",),
    "teff_error": ("teff_err", "e_teff"),
    "logg_error": ("logg_err", "e_logg"),
    "fe_h": ("feh", "[fe/h]"),
    "fe_h_error": ("fe_h_err", "e_fe_h", "feh_err"),
    "m_h": ("mh", "[m/h]"),
    "m_h_error": ("m_h_err",),
    "alpha_m": ("alpham", "[alpha/m]"),
    "alpha_m_error": ("alpha_m_err",),
    "a_k": ("ak_targ", "ak"),
    "parallax": ("plx",),
    "parallax_error": ("e_plx",),
}
"""Canonical name -> other names under which the column is found, in any case; canonical names are looked for first."""

BELIEVABLE = {
    "teff": (1500.0, 100000.0),
    "logg": (-2.0, 10.0),
    "fe_h": (-8.0, 2.0),
    "m_h": (-8.0, 2.0),
    "alpha_m": (-2.0, 3.0),
    "a_k": (-1.0, 20.0),
    "mass": (0.05, 200.0),
    "age": (0.0, 30.0),
    **dict.fromkeys(MAGNITUDES, (-5.0, 40.0)),
}
"""Canonical name -> lowest and highest value that may be meant in the canonical unit; -999 and the like lie outside."""
