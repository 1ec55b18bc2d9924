"""SDSS-V targeting: bits, generations, cadences, one real fiber configuration."""

from __future__ import annotations

from starloom.datasets import sdss_files
from starloom.datasets.dataset import DataFile, Dataset, Download, Packaged, RemoteFile

_DB = "https://raw.githubusercontent.com/sdss/sdssdb/9cfdea4e776eac88c0f3fe39cbcbb37315e226d9/schema/sdss5db/targetdb"
_SELECTION = "https://raw.githubusercontent.com/sdss/target_selection/a0df01760e465d380f5a3aa23a62457707158c7f"


def _listing(name: str, meaning: str, sha256: str, size: int) -> DataFile:
    source = Download((RemoteFile(f"{_DB}/load_table/targeting_generation/{name}.csv", sha256, size),))
    return DataFile(name, f"{name}.csv", meaning, (source,))


SDSSV_TARGETING = Dataset(
    name="sdssv_targeting",
    title="SDSS-V target bits, targeting generations, one real fiber configuration",
    papers=(9,),
    files=(
        DataFile(
            "target_bits",
            "sdss5_target_bits.parquet",
            "bit, carton, plan, program and mapper of the four mappings of SDSS5_TARGET_FLAGS",
            (
                Packaged(
                    "sdss-semaphore",
                    "0.2.9",
                    "989dc5806cbfb6e22920849e3ad8780b1563f38d3fa67e8e7c54e9c93e1d9264",
                    49514,
                    "sdss_semaphore/etc/",
                    convert=sdss_files.target_bits,
                ),
            ),
        ),
        _listing(
            "targeting_generation",
            "the targeting generations and the release that first had each",
            "3e594f88c4a4e065cbb80a53178f77700495ccbd3ac7d2c9f5c684280647e1d4",
            167,
        ),
        _listing(
            "targeting_generation_to_carton",
            "the cartons of each targeting generation",
            "cf235422cd1c92deebc50bc661f50b242adeb7d3b8033842eefab23d7038d53f",
            25040,
        ),
        DataFile(
            "fibers",
            "confsummary_15130_fibermap.parquet",
            "the 1,500 fibers of one observed configuration (15130, Apache Point, MJD 60523); -999 is missing",
            (
                Download(
                    (
                        RemoteFile(
                            f"{_SELECTION}/tests/data/confSummary-15130.par",
                            "49a8039fd2a1e88e7d06f5695cee082a9098c7fa3efc67e870b30b040f3536fb",
                            682771,
                        ),
                    ),
                    convert=sdss_files.configuration_fibers,
                ),
            ),
        ),
    ),
    license="BSD-3-Clause (SDSS software packages)",
    citation="2023ApJS..267...44A Almeida et al., The Eighteenth Data Release of the Sloan Digital Sky Surveys",
    notes="Bits are only ever added: every carton of an earlier mapping keeps its bit in the later ones.",
)

DATASETS = (SDSSV_TARGETING,)
