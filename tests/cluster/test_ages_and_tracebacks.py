"""Ages, seismic ages and tracebacks over a HATS catalog: the same bytes on a cluster, as Parquet and as HATS."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom import executors, write_table
from starloom.galactic_center.traceback_tables import tracebacks_of_table
from starloom.stars.age_jobs import forest_ages_of_table, seismic_ages_of_table
from starloom.stars.age_tables import SCHEMA
from starloom.stars.ages import AgeForest
from starloom.stars.seismic_ages import SeismicAges
from starloom.stars.seismic_network import NetworkSettings
from starloom.stars.seismic_tables import xp_spectra

COUNT, PIXELS = 90, 343


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """Three pixels of order 1 with 30 stars each, with everything that the three jobs need."""
    rng = np.random.default_rng(1)
    mass = rng.uniform(0.9, 2.2, COUNT)
    table = QTable({"source_id": np.arange(COUNT, dtype=np.int64), "_healpix_29": np.arange(COUNT, dtype=np.int64)})
    for name, values, error, unit in (
        ("ra", rng.uniform(40, 50, COUNT), 1e-4, u.deg),
        ("dec", rng.uniform(0, 10, COUNT), 1e-4, u.deg),
        ("parallax", rng.uniform(1, 3, COUNT), 0.02, u.mas),
        ("pmra", rng.normal(0, 5, COUNT), 0.02, u.mas / u.yr),
        ("pmdec", rng.normal(0, 5, COUNT), 0.02, u.mas / u.yr),
        ("radial_velocity", rng.normal(0, 40, COUNT), 0.5, u.km / u.s),
        ("teff", 4700 + 300 * mass, 50.0, u.K),
        ("fe_h", rng.normal(0, 0.2, COUNT), 0.03, u.one),
    ):
        table[name] = values * unit
        table[f"{name}_error"] = np.full(COUNT, error) * unit
    table["mass"], table["age"] = mass * u.Msun, 10.0 * mass**-3.0 * u.Gyr
    lines = 1.0 + 0.1 * mass[:, None] * np.sin(np.linspace(0, 9, PIXELS))
    table["flux"] = lines + rng.normal(0, 0.01, lines.shape)
    table["flux_error"] = np.full(lines.shape, 0.01)
    root = tmp_path_factory.mktemp("sky") / "stars"
    for place in range(3):
        file = root / "dataset" / "Norder=1" / "Dir=0" / f"Npix={4 * place}.parquet"
        write_table(table[30 * place : 30 * place + 30], file)
    (root / "hats.properties").write_text(f"obs_collection=stars\nhats_nrows={COUNT}\nhats_col_ra=ra\n")
    return root, table


@pytest.fixture(scope="module")
def models(catalog, tmp_path_factory):
    _, table = catalog
    folder = tmp_path_factory.mktemp("models")
    AgeForest(["mass", "fe_h"], n_trees=10).fit(SCHEMA.apply(table, unique=None)).save(folder / "forest")
    spectra = xp_spectra(table["flux"], table["flux_error"])
    target = np.log(np.asarray(table["mass"].value))[:, None] * np.ones(40)
    settings = NetworkSettings(latents=2, encoder=(8,), decoder=(8,), steps=60, pressure=1e4)
    seismic = SeismicAges.fit_latents(spectra.flux, spectra.error, target, seed=1, size=6, settings=settings)
    seismic.fit_ages(seismic.encode(spectra.flux, spectra.error), table, trees=10)
    seismic.save(folder / "seismic")
    return folder


def files(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_same_on_a_cluster(cluster, catalog, models, tmp_path):
    source, _ = catalog
    jobs = {
        "forest": lambda out: forest_ages_of_table(source, out, model=models / "forest")[0],
        "seismic": lambda out: seismic_ages_of_table(source, out, model=models / "seismic"),
        "traced": lambda out: tracebacks_of_table(source, out, samples=8, workers=1),
    }
    for name, job in jobs.items():
        here = job(tmp_path / f"{name}.parquet")
        with executors.on(cluster.scheduler_address):
            there = job(tmp_path / f"{name}_there.parquet")
            job(tmp_path / f"{name}.hats")
        assert here == there
        assert here.rows == COUNT
        assert (tmp_path / f"{name}.parquet").read_bytes() == (tmp_path / f"{name}_there.parquet").read_bytes()
        before = files(tmp_path / f"{name}.hats")
        job(tmp_path / f"{name}.hats")  # in this process, over what is there
        assert files(tmp_path / f"{name}.hats") == before
    assert not list(tmp_path.glob(".*"))
