"""Files with flipped bits, missing ends, blocks of zeros: a reader gives a table or one clear error, nothing else.

200 damaged files a reader, from a fixed seed. What comes back without an error may hold wrong values: only a checksum
(of a dataset or a saved model) can tell that.
"""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable

from starloom.catalog.tables import read_table, write_table
from starloom.errors import StarloomError

DAMAGED = 200


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(5)
    made = QTable({"source_id": rng.integers(1, 2**62, 300), "ra": rng.uniform(0, 360, 300) * u.deg})
    made["name"] = [f"star {n}" for n in range(300)]
    made["count"] = MaskedColumn(rng.integers(0, 9, 300), mask=rng.random(300) < 0.2)
    made["spectrum"] = rng.normal(size=(300, 4))
    return made


@pytest.mark.parametrize("ending", ["parquet", "fits", "ecsv", "vot", "csv", "csv.gz"])
def test_tables(table, ending, damaged, tmp_path):
    import gzip

    kept = table[["source_id", "ra", "name", "count"]] if ending.startswith("csv") else table
    path = write_table(kept, tmp_path / f"whole.{ending.removesuffix('.gz')}")
    content = path.read_bytes()
    content = gzip.compress(content) if ending.endswith("gz") else content
    rng = np.random.default_rng(11)
    target, refused = tmp_path / f"damaged.{ending}", 0
    for _ in range(DAMAGED):
        target.write_bytes(damaged(content, rng))
        try:
            found = read_table(target)
        except StarloomError as error:
            refused += str(target) in str(error) or pytest.fail(f"the file is not named: {error}")
        else:
            assert isinstance(found, QTable)
    assert refused > 20
    assert refused < DAMAGED or ending == "csv.gz"
