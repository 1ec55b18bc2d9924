"""SDSS parameter files."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.catalog.yanny import read_yanny
from starloom.errors import CatalogError

TEXT = """#%yanny
# a comment
MJD 60523
name two words
empty

typedef enum {
    BOSS,
    APOGEE
} KIND;

typedef struct {
    long catalogid;
    char carton[20];
    KIND kind;
    float mag[3];
    double ra;
} FIBER;

FIBER 4500000000000000001 "a b" BOSS {1.0 2.0 -999.0} 10.5
fiber 63050395065866481 "" APOGEE {4 5 6} 359.9
"""


def test_keywords_and_tables(tmp_path):
    path = tmp_path / "x.par"
    path.write_text(TEXT)
    read = read_yanny(path)
    assert read.keywords == {"MJD": "60523", "name": "two words", "empty": ""}
    table = read.tables["FIBER"]
    assert table["catalogid"].tolist() == [4500000000000000001, 63050395065866481]
    assert table["catalogid"].dtype == np.int64
    assert table["carton"].tolist() == ["a b", ""]
    assert table["kind"].tolist() == ["BOSS", "APOGEE"]
    assert table["mag"].shape == (2, 3)
    assert table["ra"].tolist() == [10.5, 359.9]


def test_broken_files(tmp_path):
    path = tmp_path / "x.par"
    path.write_text(TEXT + "FIBER 1 2\n")
    with pytest.raises(CatalogError, match="line 22"):
        read_yanny(path)
    path.write_text(TEXT.replace("10.5", "ten"))
    with pytest.raises(CatalogError, match="ra of FIBER"):
        read_yanny(path)
    path.write_text("# nothing\n")
    with pytest.raises(CatalogError, match="no keyword"):
        read_yanny(path)
    with pytest.raises(CatalogError, match="cannot be read"):
        read_yanny(tmp_path / "absent.par")
