from __future__ import annotations

import numpy as np
import pytest

from starloom.catalog.tables import read_table, write_table
from starloom.cli import app as cli


def call(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["starloom", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(1)
    z, x = rng.random(3000), rng.normal(size=3000)
    path = tmp_path / "t.parquet"
    write_table({"z": z, "x": x, "y": x + rng.normal(size=3000), "one": np.ones(3000)}, path)
    return path


def test_copula_of_two_columns(table, tmp_path, monkeypatch, capsys):
    out = tmp_path / "c.csv"
    assert call(monkeypatch, "dependence", "copula", str(table), "x", "y", "--weights", "one", "--out", str(out)) == 0
    assert "Spearman        +0.6" in capsys.readouterr().out
    assert len(read_table(out)) == 51 * 51


def test_map_of_a_correlation(table, tmp_path, monkeypatch, capsys):
    out = tmp_path / "m.parquet"
    words = ("dependence", "map", str(table), "z", "--x", "x", "--y", "y", "--refits", "4", "--points", "9")
    assert call(monkeypatch, *words, "--out", str(out)) == 0
    assert "places          9 of 9" in capsys.readouterr().out
    found = read_table(out)
    assert np.abs(np.asarray(found["value"]) - 0.7).max() < 0.1


def test_bad_words_end_in_one_line(table, monkeypatch, capsys):
    for words, match in (
        (("copula", str(table), "x", "nothing"), "nothing"),
        (("copula", str(table), "x", "one"), "two values"),
        (("map", str(table), "z", "--x", "x", "--functional", "mode"), "none of mean"),
    ):
        assert call(monkeypatch, "dependence", *words) == 2
        err = capsys.readouterr().err
        assert match in err
        assert err.count("\n") == 1


def test_fill_values_are_missing_and_said(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 500))
    x[:200] = y[:200] = -9999.0
    path = tmp_path / "f.csv"
    write_table({"FE_H": x, "AL_H": y}, path)
    assert call(monkeypatch, "dependence", "copula", str(path), "FE_H", "AL_H") == 0
    said = capsys.readouterr()
    assert "rows            300 of 500" in said.out
    assert "column 'FE_H': -9999 in 200 rows is taken as missing" in said.err
    assert abs(float(said.out.split("Spearman")[1].split()[0])) < 0.2
