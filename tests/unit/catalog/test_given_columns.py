"""A table's own columns survive results of the same name."""

from __future__ import annotations

from astropy.table import QTable

from starloom.catalog.given_columns import keep_given


def test_capitals_count_as_the_same_name():
    table = QTable({"EEP": [1.0], "age": [2.0], "mass": [3.0]})
    assert keep_given(table, ["eep", "age"]) == ["EEP", "age"]
    assert table.colnames == ["given_EEP", "given_age", "mass"]


def test_what_was_given_first_stays():
    table = QTable({"given_age": [1.0], "age": [2.0]})
    keep_given(table, ["age"])
    assert table.colnames == ["given_age"]
    assert table["given_age"].tolist() == [1.0]
