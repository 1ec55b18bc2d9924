"""Integrals of objects, distances with covariances, probabilities, false discoveries, clustering."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.integrals import energy
from starloom.dynamics.orbits import integrate
from starloom.dynamics.potentials import potential
from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.streams.association import (
    DEBRIS,
    SmoothHalo,
    associate,
    discoveries,
    distances,
    nearest_pairs,
    shuffled_parents,
)
from starloom.streams.clustering import clustering
from starloom.streams.motion_integrals import MotionIntegrals, motion_integrals, phase_space_samples
from starloom.streams.orbit_match import orbit_matches
from starloom.streams.orbit_mock import halo_orbits
from starloom.streams.origins import host_centers
from starloom.streams.progenitors import clusters_and_satellites, dwarf_galaxies

FRAME, GALAXY = GalacticFrame(), potential("MilkyWayPotential")


def objects(centers, names=None, spread=0.1, seed=0, count=60):
    rng = np.random.default_rng(seed)
    samples = []
    for center in centers:
        three = center + spread * np.array(DEBRIS) * rng.standard_normal((count, 3))
        samples.append(np.concatenate([three, np.tile([10.0, 30.0, 0.5], (count, 1))], axis=1))
    names = names or [f"o{k}" for k in range(len(samples))]
    return MotionIntegrals(tuple(names), tuple(samples), np.zeros((len(samples), 6)), ("",) * len(samples))


def halo_like(n, rng):
    return np.stack([rng.normal(-9e4, 1.5e4, n), rng.normal(-500, 1500, n), rng.gamma(3.0, 700, n)], axis=1)


def test_integrals_of_samples():
    phase = halo_orbits(GALAXY, 3, np.random.default_rng(1))
    found = motion_integrals(GALAXY, ["a", "b", "c"], [phase[k : k + 1] for k in range(3)])
    assert found.usable.all()
    assert found.centers[:, 0] == pytest.approx(energy(GALAXY, phase[:, :3], phase[:, 3:]))
    assert found.centers[:, 1] == pytest.approx(np.cross(phase[:, :3], phase[:, 3:])[:, 2])
    orbit = integrate(GALAXY, phase[:1, :3], phase[:1, 3:], np.linspace(0, 5, 161))
    assert found["a"][0, 2] == pytest.approx(orbit.l_perp[0], rel=1e-3)
    assert found["a"][0, 3] == pytest.approx(orbit.pericenter[0], rel=1e-3)
    assert found.energy_error < 1e-3
    assert not found.covariances.any()
    table = found.summary()
    assert table["energy"].unit == u.km**2 / u.s**2
    assert list(table["name"]) == ["a", "b", "c"]


def test_unbound_and_incomplete_objects_come_back_with_a_reason():
    fast = np.array([[10.0, 0, 0, 900.0, 0, 0]])
    empty = np.full((2, 6), np.nan)
    found = motion_integrals(GALAXY, ["fast", "empty"], [fast, empty])
    assert found.reason == ("not bound in this potential", "no complete six-dimensional position")
    assert np.isnan(found.centers).all()
    with pytest.raises(ConfigError, match=r"\(s, 6\)"):
        motion_integrals(GALAXY, ["x"], [np.zeros((4, 5))])
    with pytest.raises(ConfigError, match="names"):
        motion_integrals(GALAXY, ["x", "y"], [fast])


def test_distance_is_mahalanobis_with_all_covariances():
    a, b = objects([[-9e4, 1000.0, 2000.0]]), objects([[-9.5e4, 1300.0, 1500.0], [-9e4, 1000.0, 2000.0]], seed=1)
    between = distances(a, b)
    delta = a.centers[0] - b.centers[0]
    total = a.covariances[0] + b.covariances[0] + np.diag(np.square(DEBRIS))
    assert between[0, 0] == pytest.approx(np.sqrt(delta @ np.linalg.solve(total, delta)))
    assert between[0, 1] < 0.3
    assert np.allclose(distances(b, a), between.T)


def test_bad_covariances_and_scales_are_refused():
    a = objects([[-9e4, 1000.0, 2000.0]])
    broken = MotionIntegrals(("x",), (np.full((3, 6), np.nan),), np.zeros((1, 6)), ("",))
    with pytest.raises(CatalogError, match="without integrals"):
        distances(a, broken)
    with pytest.raises(CatalogError, match="nothing to compare"):
        distances(a, a.take([]))
    with pytest.raises(ConfigError, match="positive"):
        distances(a, a, (0.0, 1.0, 1.0))


def test_true_parents_are_found_and_chance_is_counted():
    rng = np.random.default_rng(3)
    parents = objects(halo_like(60, rng), [f"c{k}" for k in range(60)], 0.05)
    near = parents.centers[[5, 20]] + 0.1 * np.array(DEBRIS)
    streams = objects(np.concatenate([near, halo_like(8, rng)]), [f"s{k}" for k in range(10)], 0.2)
    halo = SmoothHalo.around(parents, streams)
    found = associate(streams, parents, halo)
    assert found.rank("s0", "c5") == 1
    assert found.rank("s1", "c20") == 1
    assert 0.0 < found.share < 1.0
    assert (found.probability.sum(axis=1) < 1.0).all()
    chance = discoveries(streams, parents, halo, found, rng, with_orbits=False, shuffles=30)
    assert chance.by_chance < 1.0
    assert chance.shuffles.shape == (30,)


def test_a_poorly_known_parent_does_not_win_by_being_near_to_everything():
    streams = objects([[-9e4, 1000.0, 2000.0]], ["s"])
    parents = objects([[-9.1e4, 1150.0, 2100.0]], ["good"])
    vague = objects([[-9e4, 1000.0, 2000.0]], ["vague"], spread=30.0)
    both = MotionIntegrals(("good", "vague"), parents.samples + vague.samples, np.zeros((2, 6)), ("", ""))
    assert distances(streams, both)[0].argmin() == 1
    halo = SmoothHalo(halo_like(40, np.random.default_rng(0)), np.diag(np.square([1e4, 800.0, 800.0])))
    assert associate(streams, both, halo).rank("s", "good") == 1


def test_smooth_halo_integrates_to_one():
    halo = SmoothHalo(np.zeros((1, 3)), np.diag(np.square([2.0, 3.0, 4.0])))
    grid = np.linspace(-20, 20, 41)
    points = np.stack(np.meshgrid(grid, grid, grid), axis=-1).reshape(-1, 3)
    density = np.exp(halo.log_density(points, np.zeros((len(points), 3, 3)), (1e-3, 1e-3, 1e-3)))
    # in units of the scales: a volume element is 1 / product of them
    assert density.sum() / 1e-9 == pytest.approx(1.0, rel=1e-3)
    with pytest.raises(CatalogError, match="at least 5"):
        SmoothHalo.around(objects([[-9e4, 1.0, 1.0]]))


def test_shuffled_parents_keep_each_column():
    rng = np.random.default_rng(5)
    centers = halo_like(40, rng)
    covariance = np.repeat(np.diag([1.0, 4.0, 9.0])[None], 40, axis=0)
    new, cov = shuffled_parents(centers, covariance, rng)
    for column in range(3):
        assert np.allclose(np.sort(new[:, column]), np.sort(centers[:, column]))
    assert np.allclose(new[:, 0], centers[:, 0])
    assert not np.allclose(new[:, 1], centers[:, 1])
    assert np.allclose(cov, covariance)


def test_pairs_and_clustering():
    rng = np.random.default_rng(7)
    groups = np.repeat(halo_like(5, rng), 3, axis=0) + 0.1 * np.array(DEBRIS) * rng.standard_normal((15, 3))
    clumped = objects(groups)
    assert np.asarray(nearest_pairs(objects(groups[[0, 1]]))["mutual"]).all()
    halo = SmoothHalo(halo_like(100, rng), np.diag(np.square([5e3, 400.0, 400.0])))
    population = objects(halo_like(40, rng))
    strong = clustering(clumped, population, halo, rng, draws=60)
    weak = clustering(objects(halo.sample(15, rng)), population, halo, rng, draws=60)
    assert max(test.p_value for test in strong) < 0.05
    assert {test.null: test.p_value for test in weak}["smooth halo"] > 0.01  # false alarm 1 %
    with pytest.raises(CatalogError, match="three"):
        clustering(objects(groups[:2]), population, halo, rng)


def test_debris_lies_on_the_orbit_of_its_parent_and_others_do_not():
    phase = halo_orbits(GALAXY, 6, np.random.default_rng(11))
    parents = motion_integrals(GALAXY, [f"c{k}" for k in range(6)], [phase[k : k + 1] for k in range(6)])
    ahead = integrate(GALAXY, phase[:1, :3], phase[:1, 3:], [0.08])
    stream = np.concatenate([ahead.positions[0], ahead.velocities[0]], axis=1)
    asked = np.ones((1, 6), dtype=bool)
    asked[0, 5] = False
    found = orbit_matches(GALAXY, [stream], parents, FRAME.sun.x, asked, np.random.default_rng(0))
    assert found.p_value[0, 0] < 0.01
    assert found.time[0, 0] == pytest.approx(-0.08, abs=0.005)
    assert found.distance[0, 0] < 0.5
    assert found.orbital_angle[0, 0] > 1.0
    assert np.isnan(found.p_value[0, 5])
    assert np.nanmin(found.p_value[0, 1:]) > found.p_value[0, 0]


def galpy_like():
    names = ["Draco", "Sgr", "NGC104", "NGC5139", "Kim3-missingvlos", "Venus", "GD-1"]
    n = len(names)
    table = QTable({"name": names, "ra": np.full(n, 10.0), "dec": np.full(n, -5.0), "distance": np.full(n, 5.0)})
    table["pmra"], table["pmdec"], table["vlos"] = np.ones(n), np.ones(n), np.full(n, 100.0)
    table["distance_e"] = np.full(n, 0.1)
    return table


def test_clusters_and_satellites_are_told_apart():
    clusters, satellites = clusters_and_satellites(galpy_like())
    assert list(clusters["name"]) == ["NGC104", "NGC5139"]
    assert list(satellites["name"]) == ["Draco", "Sgr"]
    table = galpy_like()
    table["collection"] = ["", "", "cluster", "", "cluster", "", ""]
    assert list(clusters_and_satellites(table)[0]["name"]) == ["NGC104"]
    del table["vlos"]
    with pytest.raises(MissingColumnError, match="vlos"):
        clusters_and_satellites(table)
    with pytest.raises(CatalogError, match="NGC104"):
        clusters_and_satellites(galpy_like()[:2])
    with pytest.raises(MissingColumnError):
        dwarf_galaxies(galpy_like())


def test_samples_of_positions_with_errors():
    clusters, _ = clusters_and_satellites(galpy_like())
    clusters["distance"][1] = -1.0 * u.kpc
    samples, reason = phase_space_samples(clusters, FRAME, 50, np.random.default_rng(0))
    assert list(reason) == ["", "distance not positive"]
    assert np.isnan(samples[1]).all()
    from_sun = np.linalg.norm(samples[0, :, :3] - FRAME.sun.x, axis=1)
    assert from_sun[0] == pytest.approx(5.0)
    assert from_sun.std() == pytest.approx(0.1, rel=0.4)
    with pytest.raises(CatalogError):
        phase_space_samples(clusters[:0], FRAME, 5, np.random.default_rng(0))


def test_merged_groups_carry_the_spread_of_their_clusters():
    clusters = objects(
        [[-9e4, 0.0, 500.0], [-8e4, 900.0, 900.0], [-7e4, -900.0, 700.0], [-5e4, 0.0, 0.0]], list("abcd")
    )
    groups = host_centers(clusters, {"one": ("a", "b", "c"), "two": ("c", "d")})
    assert groups.names == ("one",)
    assert groups.covariances[0, 0, 0] > clusters.covariances[0, 0, 0]
