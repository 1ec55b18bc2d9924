"""The columns that ages of stars need and can use (light: read by ``starloom describe``)."""

from __future__ import annotations

from starloom.catalog.schema import Column, Schema, canonical

BAND_COLUMNS = {
    "gaia_g": "phot_g_mean_mag",
    "gaia_bp": "phot_bp_mean_mag",
    "gaia_rp": "phot_rp_mean_mag",
    **{f"ps1_{band}": f"{band}_mag" for band in "grizy"},
}
"""Band of the bolometric corrections -> its column, where that has a name of its own; others are called as the band."""

BANDS = (*BAND_COLUMNS, "2mass_j", "2mass_h", "2mass_ks", "wise_w1", "wise_w2", "bessell_b", "bessell_v")
"""The bands looked for in a table."""


def band_column(band: str) -> str:
    """The name of a band's column.

    Examples
    --------
    >>> band_column("gaia_g"), band_column("2mass_ks")
    ('phot_g_mean_mag', '2mass_ks')
    """
    return BAND_COLUMNS.get(band, band)


SCHEMA = Schema(
    name="ages",
    meaning="stars with [Fe/H] and any of Teff, log g, magnitudes, parallax or distance",
    unique=None,
    columns=(
        canonical("source_id"),
        canonical("fe_h", meaning="[Fe/H] at birth", required=True),
        canonical("fe_h_error"),
        canonical("alpha_m", meaning="[alpha/Fe]; it raises the metallicity of the models (Salaris)"),
        canonical("teff"),
        canonical("teff_error"),
        canonical("logg"),
        canonical("logg_error"),
        canonical("parallax", meaning="parallax; it may be negative"),
        canonical("parallax_error", meaning="its error; without it the parallax is not used"),
        canonical("distance", meaning="a distance from elsewhere, used beside the parallax if there are both"),
        canonical("distance_error", meaning="its error; without it the distance is not used"),
        canonical("a_v"),
        canonical("a_v_error"),
        *(
            column
            for band in BANDS
            for column in (
                Column(band_column(band), "mag", f"apparent magnitude in {band}"),
                Column(f"{band_column(band)}_error", "mag", f"error of {band_column(band)}"),
            )
        ),
    ),
)
