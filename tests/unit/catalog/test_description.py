"""What describe says of a table."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable
from astropy.time import TimeDelta

from starloom.catalog.description import describe
from starloom.catalog.schema import Column, Schema
from starloom.catalog.tables import write_table
from starloom.errors import CatalogError

MODELS = {
    "tracks": Schema("tracks", "", (Column("ra", "deg", "", required=True), Column("distance", "kpc", ""))),
    "orbits": Schema("orbits", "", (Column("pmra", "mas/yr", "", required=True), Column("ra", "deg", ""))),
}


def sample() -> QTable:
    table = QTable()
    table["source_id"] = [4611686018427387905, 2, 3]
    table["RAdeg"] = [1.0, np.nan, np.inf] * u.hourangle
    table["DEdeg"] = [np.nan] * 3
    table["name"] = MaskedColumn(["a", "b", "c"], mask=[False, False, True])
    table["flux"] = np.ones((3, 2), dtype=np.float32)
    table["sky"] = SkyCoord([1, 2, 3] * u.deg, [0, 0, 0] * u.deg)
    table["wait"] = TimeDelta([1, 2, 3], format="jd")
    return table


def test_columns():
    found = {column.name: column for column in describe(sample()).columns}
    assert found["source_id"].high == 4611686018427387905
    assert (found["RAdeg"].unit, found["RAdeg"].missing, found["RAdeg"].infinite) == ("hourangle", 1, 1)
    assert found["RAdeg"].low == found["RAdeg"].median == found["RAdeg"].high == 1.0
    assert (found["DEdeg"].missing, found["DEdeg"].low) == (3, None)
    assert (found["name"].dtype, found["name"].missing, found["name"].low) == ("text", 1, None)
    assert found["flux"].dtype == "float32 x 2"
    assert (found["sky_ra"].dtype, found["sky_ra"].unit, found["sky_ra"].high) == ("float64", "deg", 3.0)
    assert found["wait"].dtype == "TimeDelta"


def test_surveys_and_models():
    description = describe(sample(), MODELS)
    assert description.survey == "streamfinder_dr3"
    assert description.can_run("tracks")
    assert not description.can_run("orbits")
    assert description.models["orbits"].missing_required == ("pmra",)
    wrong = QTable({"ra": [1.0] * u.km, "pmra": [1.0]})
    assert not describe(wrong, MODELS).can_run("tracks")
    assert "'km', which cannot be converted to 'deg'" in describe(wrong, MODELS).text()


def test_text():
    text = describe(sample(), MODELS).text()
    lines = text.split("\n")
    assert lines[0] == "3 rows, 8 columns"
    assert "4611686018427387905" in text
    assert "1 +1 infinite" in text
    assert "streamfinder_dr3   3 of 11 columns" in text
    start = lines.index("  tracks: can be run")
    assert lines[start + 1 : start + 4] == [
        "    under other names: ra = RAdeg",
        "    to be converted: ra from hourangle to deg",
        "    could be used and missing: distance",
    ]
    assert lines[lines.index("  orbits: cannot be run") + 1] == "    needed and missing: pmra"


def test_tables_without_rows_or_columns():
    empty = describe(sample()[:0], MODELS)
    assert empty.rows == 0
    assert not empty.can_run("tracks")
    assert "the table has no rows" in empty.text()
    assert describe({}).text().startswith("0 rows, 0 columns")
    assert "no column of a survey known here" in describe({"x": [1]}).text()


def test_files(tmp_path):
    path = write_table({"ra": [1.0]}, tmp_path / "t.fits")
    assert describe(path).rows == 1
    with pytest.raises(CatalogError, match="does not exist"):
        describe(tmp_path / "absent.fits")
