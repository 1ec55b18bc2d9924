"""Queries in pieces against a TAP service on loopback: whole answers, faults, refusals, overflow, resuming."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table

from starloom.catalog import archive
from starloom.catalog.archive import Archive, Piece
from starloom.catalog.tables import read_table
from starloom.errors import CatalogError, ConfigError, DatasetError

_SPEC = importlib.util.spec_from_file_location("tap_stand_in", Path(__file__).with_name("tap_stand_in.py"))
tap_stand_in = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tap_stand_in)
BIG = 4611686018427387905  # an id that a float64 does not hold


def answer(adql):
    """Stars with ``lower <= n < upper`` for "n BETWEEN lower AND upper"."""
    low, high = map(int, re.search(r"BETWEEN (\d+) AND (\d+)", adql).groups())
    n = np.arange(low, high)
    table = Table({"source_id": BIG + n, "ra": n * 0.1 * u.deg})
    table["parallax"] = MaskedColumn(np.full(len(n), 0.5), mask=n % 3 == 0, unit=u.mas)
    return table


def piece(low, high):
    def halves():
        middle = (low + high) // 2
        return piece(low, middle), piece(middle, high)

    return Piece(f"n_{low}_{high}", f"SELECT * FROM t WHERE n BETWEEN {low} AND {high}", halves)


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(archive, "FIRST_POLL", 0.01)
    with tap_stand_in.StandIn(answer) as running:
        yield running


@pytest.fixture(params=[True, False], ids=["jobs", "synchronous"])
def asked(request, service):
    return service, Archive(service.url, asynchronous=request.param, attempts=3, pause=0.01, timeout=5.0)


def rows(paths):
    return np.concatenate([np.asarray(read_table(path)["source_id"]) for path in paths]) - BIG


def test_answers_come_whole_and_are_kept(asked, tmp_path):
    service, client = asked
    paths = client.fetch([piece(0, 10), piece(10, 15)], tmp_path)
    np.testing.assert_array_equal(rows(paths), np.arange(15))
    table = read_table(paths[0])
    assert table["ra"].unit == u.deg
    np.testing.assert_array_equal(np.isnan(table["parallax"].value), np.arange(10) % 3 == 0)
    assert len(service.asked) == 2
    assert client.fetch([piece(0, 10), piece(10, 15)], tmp_path) == paths
    assert len(service.asked) == 2, "what is there is not asked for again"
    if client.asynchronous:
        assert service.deleted == [1, 2], "jobs are cleared away"


def test_another_query_does_not_take_the_answer(asked, tmp_path):
    service, client = asked
    client.fetch([piece(0, 10)], tmp_path)
    other = Piece("n_0_10", "SELECT * FROM t WHERE n BETWEEN 5 AND 8")
    np.testing.assert_array_equal(rows(client.fetch([other], tmp_path)), [5, 6, 7])
    assert len(service.asked) == 2


@pytest.mark.parametrize("fault", [503, 500, 429, "truncated"])
def test_a_fault_that_passes_is_tried_again(asked, tmp_path, fault):
    service, client = asked
    service.faults = [fault, fault]
    np.testing.assert_array_equal(rows(client.fetch([piece(0, 10)], tmp_path)), np.arange(10))
    assert len(service.asked) == 3


@pytest.mark.parametrize("fault", [503, "truncated"])
def test_a_fault_that_stays_is_an_error_and_the_rest_is_kept(asked, tmp_path, fault):
    service, client = asked
    service.faults = [None, fault, fault, fault]
    with pytest.raises(DatasetError, match=r"did not answer n_10_15 in 3 attempts.*goes on from what is there"):
        client.fetch([piece(0, 10), piece(10, 15)], tmp_path)
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    np.testing.assert_array_equal(rows(client.fetch([piece(0, 10), piece(10, 15)], tmp_path)), np.arange(15))
    assert len(service.asked) == 5


def test_what_the_service_refuses_is_not_tried_again(asked, tmp_path):
    service, client = asked
    service.faults = ["refused"]
    with pytest.raises(CatalogError, match=r"refused n_0_10.*unknown column g\.rowe"):
        client.fetch([piece(0, 10)], tmp_path)
    assert len(service.asked) == 1
    assert not list(tmp_path.iterdir())


def test_a_wrong_address(tmp_path, service):
    client = Archive(service.url.replace("/tap", "/nothing/here"), asynchronous=False, attempts=2, pause=0.01)
    with pytest.raises((CatalogError, DatasetError), match="n_0_10"):
        client.fetch([piece(0, 10)], tmp_path)


def test_nobody_there(tmp_path):
    client = Archive("http://127.0.0.1:9/tap", attempts=2, pause=0.01)
    with pytest.raises(DatasetError, match="did not answer"):
        client.fetch([piece(0, 10)], tmp_path)


def test_an_overflow_is_split(asked, tmp_path):
    service, client = asked
    service.limit = 4
    paths = client.fetch([piece(0, 10)], tmp_path)
    np.testing.assert_array_equal(rows(paths), np.arange(10))
    assert len(paths) == 4
    count = len(service.asked)
    assert client.fetch([piece(0, 10)], tmp_path) == paths
    assert len(service.asked) == count, "that it was split is remembered"


def test_the_limit_one_sets_is_an_overflow_too(asked, tmp_path):
    service, client = asked
    client = Archive(client.url, asynchronous=client.asynchronous, rows=6, attempts=1)
    np.testing.assert_array_equal(rows(client.fetch([piece(0, 10)], tmp_path)), np.arange(10))
    assert len(service.asked) == 3


def test_an_overflow_that_cannot_be_split(asked, tmp_path):
    service, client = asked
    service.limit = 4
    with pytest.raises(CatalogError, match="cannot be split"):
        client.fetch([Piece("all", "n BETWEEN 0 AND 10")], tmp_path)
    with pytest.raises(CatalogError, match="cannot be split"):
        client.fetch([piece(0, 10_000)], tmp_path)


def test_a_job_that_never_ends(service, tmp_path):
    service.faults = ["hangs"]
    client = Archive(service.url, attempts=1, timeout=0.05)
    with pytest.raises(DatasetError, match="still executing"):
        client.fetch([piece(0, 10)], tmp_path)
    assert service.deleted == [1]


def test_an_interrupt_keeps_what_is_there(asked, tmp_path, monkeypatch):
    service, client = asked
    whole = service.answer

    def interrupted(self, one):
        if one.name == "n_10_15":
            raise KeyboardInterrupt
        return real(self, one)

    real = Archive._answer
    monkeypatch.setattr(Archive, "_answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.fetch([piece(0, 10), piece(10, 15)], tmp_path)
    monkeypatch.setattr(Archive, "_answer", real)
    service.answer = whole
    np.testing.assert_array_equal(rows(client.fetch([piece(0, 10), piece(10, 15)], tmp_path)), np.arange(15))
    assert len(service.asked) == 2


def test_two_pieces_of_one_name(tmp_path):
    with pytest.raises(ConfigError, match="one name"):
        Archive().fetch([piece(0, 1), piece(0, 1)], tmp_path)


def test_without_pyvo(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyvo", None)
    with pytest.raises(ConfigError, match=r"starloom\[archive\]"):
        Archive("http://127.0.0.1:9/tap").fetch([piece(0, 1)], tmp_path)
