"""Any table of plain columns comes back from a Parquet file and from memory as it was."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from astropy import units as u
from astropy.table import MaskedColumn, QTable
from hypothesis import given, settings
from hypothesis import strategies as st

from starloom.catalog.arrow_tables import from_arrow, to_arrow
from starloom.catalog.tables import read_table, write_table

UNITS = [None, u.deg, u.mas / u.yr, u.km / u.s, u.mag, u.dex, u.kpc**-3, u.Msun / u.pc**2]


@st.composite
def tables(draw):
    rows = draw(st.integers(0, 8))
    table = QTable()
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["float", "integer", "text", "boolean"]))
        elements = {
            "float": st.floats(width=64),
            "integer": st.integers(-(2**63), 2**63 - 1),
            "text": st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=5),
            "boolean": st.booleans(),
        }[kind]
        dtype = {"float": np.float64, "integer": np.int64, "text": np.str_, "boolean": np.bool_}[kind]
        values = np.array(draw(st.lists(elements, min_size=rows, max_size=rows)), dtype=dtype)
        name = f"column {number}"
        if kind == "float" and (unit := draw(st.sampled_from(UNITS))) is not None:
            table[name] = u.Quantity(values, unit)
        elif kind != "float" and draw(st.booleans()):
            table[name] = MaskedColumn(values, mask=draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
        else:
            table[name] = values
    return table


def assert_equal(first: QTable, second: QTable) -> None:
    assert first.colnames == second.colnames
    assert len(first) == len(second)
    for name in first.colnames:
        one, two = first[name], second[name]
        assert one.dtype.kind == two.dtype.kind
        assert getattr(one, "unit", None) == getattr(two, "unit", None)
        if isinstance(one, u.Quantity):
            np.testing.assert_array_equal(one.value, two.value)
        elif one.dtype.kind == "f":
            np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
        else:
            assert one.tolist() == two.tolist()


@settings(max_examples=40, deadline=None)
@given(tables())
def test_parquet(table):
    with tempfile.TemporaryDirectory() as folder:
        assert_equal(table, read_table(write_table(table, Path(folder) / "table.parquet")))


@settings(max_examples=40, deadline=None)
@given(tables())
def test_memory(table):
    assert_equal(table, read_table(table))
    assert_equal(table, from_arrow(to_arrow(table)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=20))
def test_integers_with_nulls_keep_every_digit(values):
    column = read_table(pa.table({"id": pa.array(values, pa.int64())}))["id"]
    assert column.dtype == np.int64
    assert column.tolist() == values
