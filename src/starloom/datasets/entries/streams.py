"""Stellar streams: stars around them, members, published tracks."""

from __future__ import annotations

from starloom.datasets import conversions
from starloom.datasets.dataset import DataFile, Dataset, Download, Packaged, RemoteFile

_GD1 = "https://raw.githubusercontent.com/AllenDowney/AstronomicalData/a4f0687e338a180759e3c53b76b2a9c676f44db5/data"
_SPUR = "https://raw.githubusercontent.com/abonaca/spur_rv/5b90a4b62732f9c6941fc053e4cec0f9e90fb3e4/data"
_ATLAS = "https://raw.githubusercontent.com/abonaca/streams_overview/2663cc06e5ced4b02850de15140bc9f136f3341b/data"

_ASTROMETRY = {
    **dict.fromkeys(("ra", "dec", "phi1", "phi2"), "deg"),
    **dict.fromkeys(("parallax", "parallax_error"), "mas"),
    **dict.fromkeys(("pmra", "pmdec", "pmra_error", "pmdec_error", "pm_phi1", "pm_phi1_cosphi2", "pm_phi2"), "mas/yr"),
}

GD1_GAIA_PS1 = Dataset(
    name="gd1_gaia_ps1",
    title="GD-1 field: Gaia DR2 and Pan-STARRS1 stars, stream and background",
    papers=(2,),
    files=(
        DataFile(
            name="candidates",
            file_name="candidates.parquet",
            meaning="7,346 stars inside a proper-motion polygon around GD-1, about half with PS1 g and i",
            sources=(
                Download(
                    (
                        RemoteFile(
                            f"{_GD1}/gd1_candidates.hdf5",
                            "87a271e29f01f53810c2f46cd021505a97e2a7c1710189d382e0609be18c1ca9",
                            714504,
                        ),
                        RemoteFile(
                            f"{_GD1}/gd1_merged.hdf5",
                            "d1ce3a7b2652ce7e151bd0e16945838d205a1827ca561274e0be2b3508db54e9",
                            1138360,
                        ),
                    ),
                    convert=conversions.gd1_candidates,
                ),
            ),
            units={**_ASTROMETRY, "radial_velocity": "km/s", "g_mean_psf_mag": "mag", "i_mean_psf_mag": "mag"},
        ),
        DataFile(
            name="centerline_field",
            file_name="centerline_field.parquet",
            meaning="25,084 stars with |phi2| < 1 deg and -55 < phi1 < -45 deg, without a proper-motion cut",
            sources=(
                Download(
                    (
                        RemoteFile(
                            f"{_GD1}/gd1_data.hdf",
                            "3c289c48406fe918cb5d5da0bd3e03868d321229c287b71620342c63f82fc606",
                            3821116,
                        ),
                    ),
                    convert=conversions.pandas_frame("centerline_df"),
                ),
            ),
            units=_ASTROMETRY,
        ),
        DataFile(
            name="isochrone",
            file_name="isochrone.parquet",
            meaning="a MIST isochrone shifted to the distance of GD-1, PS1 g against g - i",
            sources=(
                Download(
                    (
                        RemoteFile(
                            f"{_GD1}/gd1_isochrone.hdf5",
                            "f3d1843b240798ad8803b57f94c9f58dd4e32032660d81d87de41e9982f18dbc",
                            15816,
                        ),
                    ),
                    convert=conversions.pandas_frame("iso_df"),
                ),
            ),
            units={"mag_g": "mag", "color_g_i": "mag"},
        ),
        DataFile(
            name="cmd_loop",
            file_name="cmd_loop.parquet",
            meaning="the polygon around that isochrone that selects stars in the color-magnitude diagram",
            sources=(
                Download(
                    (
                        RemoteFile(
                            f"{_GD1}/gd1_polygon.hdf5",
                            "b611a751a23385bde3b0b10d4c9fa393a2c353d6baed1b6eeb8955c6e6f50c2c",
                            27608,
                        ),
                    ),
                    convert=conversions.pandas_frame("loop_df"),
                ),
            ),
            units={"color_loop": "mag", "mag_loop": "mag"},
        ),
    ),
    license="MIT (repository AllenDowney/AstronomicalData); Gaia data are free to use with acknowledgement",
    citation=(
        "2018ApJ...863L..20P Price-Whelan & Bonaca 2018, Off the Beaten Path: Gaia Reveals GD-1 Stars outside of the "
        "Main Stream"
    ),
    notes="pm_phi1 (with cos phi2) and pm_phi2 are corrected for the solar reflex at 8 kpc. No errors are given.",
)

GD1_HECTOCHELLE = Dataset(
    name="gd1_hectochelle",
    title="GD-1 fields: 1,160 stars with MMT/Hectochelle spectra and fitted labels",
    papers=(2, 12),
    files=(
        DataFile(
            name="catalog",
            file_name="catalog.parquet",
            meaning="Gaia DR2 astrometry, PS1 magnitudes, fitted labels with errors, and membership of GD-1 (mem)",
            sources=(
                Download(
                    (
                        RemoteFile(
                            f"{_SPUR}/catalog.fits",
                            "66006047db255911227740cd76f6e1a8352d8150fdefa4bb86877d7c7c68af3c",
                            1880640,
                        ),
                    ),
                    convert=conversions.hectochelle_catalog,
                ),
            ),
            units={
                **_ASTROMETRY,
                **dict.fromkeys(("phot_g_mean_mag", "bp_rp", "g", "r", "i", "z", "y", "A_g", "A_r", "A_i"), "mag"),
                **{
                    f"{prefix}{name}": unit
                    for name, unit in (
                        ("Teff", "K"),
                        ("Vrad", "km/s"),
                        ("Vrot", "km/s"),
                        ("Dist", "kpc"),
                        ("Av", "mag"),
                    )
                    for prefix in ("", "uerr_", "lerr_")
                },
                "delta_Vrad": "km/s",
            },
        ),
    ),
    license="MIT (repository abonaca/spur_rv)",
    citation=(
        "2020ApJ...892L..37B Bonaca et al. 2020, High-resolution Spectroscopy of the GD-1 Stellar Stream Localizes the "
        "Perturber near the Orbital Plane of Sagittarius"
    ),
    notes="Proper motions in phi1, phi2 are corrected for the solar reflex. [Fe/H] below -3.5 at low S/N is not real.",
)

_GALSTREAMS_SHA256 = "bb98b85fe346e317b2a8e97868d0a2f4398b117227195819ffcbe5a3826483e2"
_POINT = {
    **dict.fromkeys(("ra", "dec"), "deg"),
    "distance": "kpc",
    **dict.fromkeys(("pm_ra_cosdec", "pm_dec"), "mas/yr"),
    "radial_velocity": "km/s",
}

GALSTREAMS_TRACKS = Dataset(
    name="galstreams_tracks",
    title="galstreams 1.2.1: tracks of the stellar streams of the Milky Way",
    papers=(2, 11),
    files=(
        DataFile(
            name="tracks",
            file_name="tracks.parquet",
            meaning="at most 150 points along each of 217 tracks: position, distance, proper motion, radial velocity",
            sources=(
                Packaged(
                    "galstreams",
                    "1.2.1",
                    _GALSTREAMS_SHA256,
                    35248665,
                    "galstreams/tracks/",
                    wheel=False,
                    convert=conversions.galstreams_tracks,
                ),
            ),
            units=_POINT,
        ),
        DataFile(
            name="summary",
            file_name="summary.parquet",
            meaning="one row for each of 220 tracks: what is known (InfoFlags), end points, middle, pole, widths",
            sources=(
                Packaged(
                    "galstreams",
                    "1.2.1",
                    _GALSTREAMS_SHA256,
                    35248665,
                    "galstreams/tracks/",
                    wheel=False,
                    convert=conversions.galstreams_summary,
                ),
            ),
            units={
                **{f"{point}.{name}": unit for point in ("end_o", "end_f", "mid") for name, unit in _POINT.items()},
                **dict.fromkeys(("pole.ra", "pole.dec", "width_phi2"), "deg"),
                **dict.fromkeys(("width_pm_phi1_cosphi2", "width_pm_phi2"), "mas/yr"),
            },
        ),
    ),
    license="BSD-3-Clause",
    citation="2023MNRAS.520.5225M Mateu 2023, galstreams: A library of Milky Way stellar stream footprints and tracks",
    notes="InfoFlags (sky, distance, proper motion, velocity) says what is known; what is not holds 0 or +-999.",
)

STREAMFINDER_DR3 = Dataset(
    name="streamfinder_dr3",
    title="STREAMFINDER: 24,540 member stars of 87 streams in Gaia DR3",
    papers=(2, 11),
    files=(
        DataFile(
            name="members",
            file_name="members.parquet",
            meaning="Gaia DR3 astrometry, extinction-corrected photometry, velocity of 2,178 stars, stream",
            sources=(
                Download(
                    (
                        RemoteFile(
                            f"{_ATLAS}/members/input/ibata_apj_labeled.fits",
                            "16182d83ece7b1e9af84334c9dbe298cd74ad72a09ee5d0d9a29c5a7c3c2565c",
                            2661120,
                        ),
                    ),
                    convert=conversions.streamfinder_members,
                ),
            ),
            units={
                **dict.fromkeys(("RAdeg", "DEdeg"), "deg"),
                "plx": "mas",
                **dict.fromkeys(("pmRA", "pmDE"), "mas/yr"),
                **dict.fromkeys(("Gmag", "BP_RP"), "mag"),
                **dict.fromkeys(("VHel", "e_VHel"), "km/s"),
            },
        ),
    ),
    license="a published journal table; the repository that serves it (abonaca/streams_overview) states no licence",
    citation=(
        "2024ApJ...967...89I Ibata et al. 2024, Charting the Galactic Acceleration Field. II. A Global Mass Model of "
        "the Milky Way from the STREAMFINDER Atlas of Stellar Streams Detected in Gaia DR3"
    ),
    notes="pmRA includes cos dec. Ids are of Gaia DR3: against a DR2 table match on the sky, not by id.",
)

DATASETS = (GD1_GAIA_PS1, GD1_HECTOCHELLE, GALSTREAMS_TRACKS, STREAMFINDER_DR3)
