"""A made disk behind dust, targeted and observed unevenly, gives its scales back."""

from __future__ import annotations

import numpy as np
import pytest

from starloom import read_table
from starloom.catalog.provenance import history
from starloom.errors import DatasetError


def test_scales_of_a_made_disk(load, tmp_path):
    workflow = load("carton_to_density")
    try:
        parent = workflow.mock_parent(30_000, workflow.Setting(), 1)
    except DatasetError as error:
        pytest.skip(f"a dataset is not on this machine: {error}")
    out = tmp_path / "targets.parquet"
    fit = workflow.run(parent, out)
    rows = read_table(out)
    assert len(rows) == len(parent)
    assert [entry["step"] for entry in history(rows)] == [
        "cartons",
        "selection function from a parent catalog",
        "exponential disk",
    ]
    targeted = np.asarray(rows["targeted"])
    assert set(np.asarray(rows["carton"])[targeted].astype(str)) == {"mwm_galactic_core"}
    # counting errors of 3,700 stars are 2 %; one extinction law for all giants costs 4 % more
    assert fit["value"].value == pytest.approx([2.6, 0.3], rel=0.1)
    assert np.isfinite(rows["density"].value).sum() == fit.meta["stars"]
    # what was not corrected for: of all observed stars the plain mean height is another
    assert len(read_table(out.with_suffix(".density.ecsv"))) == 2
