"""Jobs on a cluster of two processes: the same bytes as in this process, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom import executors, read_table, write_table
from starloom.catalog import row_jobs
from starloom.catalog.provenance import history
from starloom.dynamics.star_orbits import OrbitJob
from starloom.errors import ConfigError, MissingColumnError
from starloom.sdss.targeting import targets_of_table
from starloom.stars.answering import AnswerJob
from starloom.stats.intervals import fraction_interval

ORBITS = OrbitJob(("MWPotential2014", "astropy_v4.0", 4, 0.0, 3, 1), None, "stars")


@pytest.fixture(scope="module")
def stars(tmp_path_factory):
    """Two Parquet files with 2,500 and 1,500 stars, labels and magnitudes among them."""
    rng, count = np.random.default_rng(1), 4000
    table = QTable({"source_id": np.arange(count, dtype=np.int64) + 2**60})
    for name, values, unit in (
        ("ra", rng.uniform(0, 360, count), u.deg),
        ("dec", rng.uniform(-80, 80, count), u.deg),
        ("parallax", rng.uniform(0.5, 3.0, count), u.mas),
        ("pmra", rng.normal(0, 5, count), u.mas / u.yr),
        ("pmdec", rng.normal(0, 5, count), u.mas / u.yr),
        ("radial_velocity", rng.normal(0, 40, count), u.km / u.s),
    ):
        table[name] = values * unit
        table[f"{name}_error"] = np.full(count, 0.02) * (u.mas if name in ("ra", "dec") else unit)
    table["parallax"][::97] = np.nan * u.mas
    for name, low, high in (("phot_g_mean_mag", 9, 14), ("h_m", 6, 12), ("bp_rp", 0.5, 2.0)):
        table[name] = rng.uniform(low, high, count) * u.mag
    table["ph_qual"], table["cc_flg"], table["rd_flg"] = "AAA", "000", "222"
    table["gal_contam"] = np.zeros(count, dtype=np.int64)
    folder = tmp_path_factory.mktemp("stars")
    write_table(table[:2500], folder / "a.parquet")
    write_table(table[2500:], folder / "b.parquet")
    return folder


def test_killed_worker_loses_and_doubles_nothing(cluster, processes, stars, tmp_path):
    # small parts, so that some are done and many are not when the worker dies
    settings = {"rows": 256, "align": 256}
    here = row_jobs.run(ORBITS, stars, tmp_path / "here.parquet", **settings)
    victim = min(processes(cluster))

    def kill() -> None:
        for _ in range(3000):
            if len(list(tmp_path.glob(".there*/*.parquet"))) >= 2:
                os.kill(victim, signal.SIGKILL)
                return
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    with executors.on(cluster.scheduler_address):
        there = row_jobs.run(ORBITS, stars, tmp_path / "there.parquet", **settings)
    killer.join()
    assert victim not in processes(cluster)
    assert here == there
    assert here.rows == 4000
    assert (tmp_path / "here.parquet").read_bytes() == (tmp_path / "there.parquet").read_bytes()
    assert len(np.unique(read_table(tmp_path / "there.parquet")["source_id"])) == 4000
    assert not list(tmp_path.glob(".*parts"))


def test_answers_and_targets_are_the_same(cluster, stars, tmp_path):
    job = AnswerJob(None, ("teff",), None, "stars")
    columns = ["source_id", "phot_g_mean_mag", "bp_rp"]
    few = read_table(stars / "a.parquet")[:300]
    for name, address in (("here", None), ("there", cluster.scheduler_address)):
        with executors.on(address):
            row_jobs.run(job, stars / "b.parquet", tmp_path / f"answers_{name}.parquet", columns=columns, rows=500)
            out = tmp_path / f"targets_{name}.parquet"
            targets_of_table(stars, out, plan="0.5.0", names=("mwm_galactic_core",), rows=700)
            # a table of another kind goes through as well
            row_jobs.run(ORBITS, few, tmp_path / f"orbits_{name}.ecsv", align=256)
    for name in ("answers_{}.parquet", "targets_{}.parquet"):
        assert (tmp_path / name.format("here")).read_bytes() == (tmp_path / name.format("there")).read_bytes()
    found = [read_table(tmp_path / f"orbits_{name}.ecsv") for name in ("here", "there")]
    for name in found[0].colnames:
        np.testing.assert_array_equal(found[0][name], found[1][name])
    assert history(found[0]) == history(found[1])
    rows = np.asarray(read_table(tmp_path / "targets_here.parquet")["row"])
    assert (np.diff(rows) > 0).all()
    assert rows.max() > 2500


def test_pieces_of_a_grid_are_the_same(cluster):
    def gathered(address):
        with executors.on(address):
            return dict(executors.each(fraction_interval_of_ten, list(range(9)), what="count"))

    assert gathered(None) == gathered(cluster.scheduler_address)


def fraction_interval_of_ten(count):
    return tuple(float(np.squeeze(end)) for end in fraction_interval(count, 10))


def test_what_goes_wrong_there_is_said_here(cluster, stars, tmp_path):
    with executors.on(cluster.scheduler_address), pytest.raises(MissingColumnError, match="ra"):
        row_jobs.run(ORBITS, stars, tmp_path / "out.parquet", columns=["source_id"], rows=4000, align=256)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="no Dask scheduler"), executors.on("nonsense://nowhere:1"):
        pass
