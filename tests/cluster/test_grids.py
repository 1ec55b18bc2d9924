"""Grids of simulations of two studies on a cluster: what they keep is the same, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from starloom import executors
from starloom.dynamics.distribution_functions import constant_anisotropy
from starloom.dynamics.potentials import potential
from starloom.dynamics.spherical_potentials import SphericalPotential
from starloom.dynamics.tracer_densities import PowerLawTracer
from starloom.galactic_center.ejection import CenterStars, Ejected
from starloom.galactic_center.exclusion import expected_map
from starloom.galactic_center.library import Weighing
from starloom.halo import completeness


def test_completeness_of_the_halo(cluster, tmp_path, monkeypatch):
    """The grid of `gse-mass`: draws from distribution functions at places, through a selection."""
    monkeypatch.setattr(completeness, "PLACES", 4)
    galaxy = potential("MWPotential2014")
    sphere = SphericalPotential.of(galaxy)
    functions = [constant_anisotropy(sphere, PowerLawTracer(), beta) for beta in (0.8, 0.3)]
    test = completeness.KinematicTest(*functions, galaxy, "e-Lz", 20)
    places = np.random.default_rng(1).normal(size=(18, 3)) * 8 + 3
    for name, address in (("here", None), ("there", cluster.scheduler_address)):
        with executors.on(address):
            completeness.count_at(test, places, seed=1, folder=tmp_path / name, workers=1)
    kept = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("here", "there")]
    assert len(kept[0]) == 5
    assert kept[0] == kept[1]


def test_expected_candidates(cluster):
    """The grid of `sgra-companion`: a library of thrown out stars weighed for binaries."""
    rng = np.random.default_rng(3)
    count = 2000
    direction = rng.normal(size=(count, 3))
    ejected = Ejected(
        rng.uniform(0.1, 100.0, count), rng.uniform(600.0, 2500.0, count),
        direction / np.linalg.norm(direction, axis=1)[:, None], rng.uniform(0.5, 5.0, count), np.zeros(count),
        rng.uniform(0.0, 1.0, count), rng.uniform(0.1, 10.0, count),
    )  # fmt: skip
    library = Library(Weighing(ejected, rng.uniform(1e-4, 1e-3, count)))
    made = []
    for address in (None, cluster.scheduler_address):
        with executors.on(address):
            made.append(
                expected_map(library, np.ones(count), CenterStars(), np.geomspace(100.0, 1e4, 6), [0.3, 1.0, 3.0])
            )  # fmt: skip
    assert (made[0].value > 0).all()
    assert made[0].value.tobytes() == made[1].value.tobytes()
    assert made[0].error.tobytes() == made[1].error.tobytes()


@dataclass(frozen=True)
class Library:
    """Stands in for a library of stars; the stellar tracks are not needed to weigh them."""

    weighing: Weighing

    def take(self, rows, stars):
        return self.weighing
