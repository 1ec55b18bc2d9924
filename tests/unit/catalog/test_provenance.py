"""The history of a table: kept in memory and in files, read from damaged ones without failing."""

from __future__ import annotations

import pytest
from astropy.table import QTable

from starloom import describe, read_table, write_table
from starloom.catalog.partitions import map_partitions
from starloom.catalog.provenance import KEY, history, record


@pytest.fixture
def table():
    made = QTable({"a": [1.0, 2.0, 3.0]})
    record(made, "first", text="é" * 60, values=[1, 2.5] * 40)
    record(made, "second", seed=7)
    return made


@pytest.mark.parametrize("ending", ["parquet", "fits", "ecsv"])
def test_files_keep_it(table, tmp_path, ending):
    back = read_table(write_table(table, tmp_path / f"t.{ending}"))
    assert history(back) == history(table)
    record(back, "third")
    assert [entry["step"] for entry in history(back)] == ["first", "second", "third"]


def test_batches_keep_it_once(table, tmp_path):
    def step(part):
        result = part.copy()
        record(result, "third")
        return result

    write_table(table, tmp_path / "in.parquet")
    map_partitions(step, tmp_path / "in.parquet", tmp_path / "out.parquet", rows=1)
    found = history(read_table(tmp_path / "out.parquet"))
    assert [entry["step"] for entry in found] == ["first", "second", "third"]


@pytest.mark.parametrize("damaged", ["[{", "3", '["text"]', 5, None])
def test_a_damaged_history_is_none(table, damaged):
    table.meta[KEY] = damaged
    assert history(table) == []


def test_selecting_rows_and_columns_keeps_it(table):
    assert history(table[:1]) == history(table)
    assert history(table[["a"]]) == history(table)


def test_describe_tells_it(table):
    text = describe(table).text()
    assert "2. second (starloom" in text
    assert "seed 7" in text
    assert "How it was made" not in describe({"a": [1.0]}).text()
