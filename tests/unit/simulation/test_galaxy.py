"""Made galaxies: dust and densities in closed form, exact draws, motions, what surveys see."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import Galactic, SkyCoord

from starloom.catalog.schema import plain
from starloom.datasets.access import locate
from starloom.errors import ConfigError, DatasetError
from starloom.simulation.components import ExponentialDisk, GalacticBar, PowerLawHalo, StellarComponent, milky_way
from starloom.simulation.milky_way import Galaxy
from starloom.simulation.observing import AllWise, Gaia, TwoMass, observe
from starloom.simulation.parent_catalog import Layers, parent_catalog
from starloom.simulation.stellar_library import normal_nodes


def test_normal_nodes_have_the_moments_of_a_normal():
    x, w = normal_nodes(-0.3, 0.2, 5)
    assert w.sum() == pytest.approx(1.0)
    assert (w * x).sum() == pytest.approx(-0.3)
    assert (w * (x + 0.3) ** 2).sum() == pytest.approx(0.04)


def test_components_of_the_milky_way():
    parts = milky_way()
    thin = sum(part.local_density for part in parts if part.name.startswith("thin"))
    assert thin == pytest.approx(0.034)
    assert GalacticBar()(np.array(0.0), np.array(0.0), np.array(0.0)) == 1.0
    near, far = GalacticBar()(np.array([-1.0, -1.0]), np.array([0.5, -0.5]), np.zeros(2))
    assert near > far  # the near end is at positive longitude
    halo = PowerLawHalo(core=0.0)
    assert halo(np.array(2.0), np.array(0.0), np.array(0.0)) / halo(np.array(4.0), np.array(0.0), np.array(0.0)) == (
        pytest.approx(2**2.77)
    )
    with pytest.raises(ConfigError, match="either"):
        StellarComponent("x", ExponentialDisk(1.0, 1.0), (1.0, 2.0), (0.0, 0.1), (0.0, 0.1), (1.0, 1.0, 1.0), 0.0)


@pytest.fixture(scope="module")
def galaxy():
    try:
        locate("isochrone_grids", "mist", download=False)
        locate("bolometric_corrections", download=False)
    except DatasetError as error:
        pytest.skip(f"the stellar models are not here: {error}")
    thin, old = ExponentialDisk(2.6, 0.3), PowerLawHalo()
    disk = StellarComponent(
        "disk", thin, (2.0, 8.0), (0.0, 0.2), (0.0, 0.05), (35.0, 25.0, 20.0), 10.0, local_density=0.03
    )
    halo = StellarComponent(
        "halo", old, (12.0, 12.0), (-1.5, 0.3), (0.3, 0.1), (140.0, 80.0, 80.0), 229.0, local_density=0.0002
    )
    return Galaxy(components=(disk, halo), nside=8)


@pytest.fixture(scope="module")
def stars(galaxy):
    return galaxy.sample(20_000, "gaia_g", 14.0, seed=4)


def test_a_sample_is_reproducible_and_within_its_limit(galaxy, stars):
    again = galaxy.sample(20_000, "gaia_g", 14.0, seed=4)
    for name in ("source_id", "ra", "distance", "true_gaia_g", "v_x"):
        np.testing.assert_array_equal(np.asarray(stars[name]), np.asarray(again[name]))
    g = plain(stars, "true_gaia_g")
    assert len(stars) == 20_000
    assert g.max() < 14.0
    absolute = g - 5 * np.log10(plain(stars, "distance") * 100)
    assert np.isfinite(absolute).all()
    assert (plain(stars, "initial_mass") >= 0.1).all()
    assert len(set(np.asarray(stars["source_id"]).tolist())) == len(stars)


def test_numbers_follow_the_limit(galaxy, stars):
    """The share of stars brighter than a brighter limit is the ratio of the expected numbers (binomial, 4 sigma)."""
    total, fewer = galaxy.expected("gaia_g", 14.0).sum(), galaxy.expected("gaia_g", 12.0).sum()
    drawn = stars.meta["weight"] * len(stars)
    assert drawn == pytest.approx(total, rel=0.05)  # the dust of a place differs from that of its cell
    share, expected = float((plain(stars, "true_gaia_g") < 12.0).mean()), fewer / total
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / len(stars)) + 0.05 * expected


def test_the_local_density_is_the_one_asked_for(galaxy):
    """Stars within 60 pc, down to a G that none is fainter than: their number follows from the mass density."""
    near = galaxy.sample(4000, "gaia_g", 30.0, seed=6, distances=(0.003, 0.06))
    volume = 4.0 / 3.0 * np.pi * 60.0**3
    mass = near.meta["weight"] * float(np.asarray(near["star_mass"]).sum())
    edges = galaxy.cells.edges
    reach = edges[np.searchsorted(galaxy.cells.distance, 0.06)]
    assert mass / (volume * (reach / 0.06) ** 3) == pytest.approx(0.0302, rel=0.06)


def test_motions_are_those_of_astropy(galaxy, stars):
    few = stars[:50]
    sky = SkyCoord(
        ra=few["ra"], dec=few["dec"], distance=few["distance"], pm_ra_cosdec=few["pmra"], pm_dec=few["pmdec"],
        radial_velocity=few["radial_velocity"],
    )  # fmt: skip
    np.testing.assert_allclose(sky.transform_to(Galactic()).l.deg, plain(few, "l") % 360.0, atol=1e-6)
    there = sky.transform_to(galaxy.frame.galactocentric())
    np.testing.assert_allclose(
        there.x.to_value("kpc"), plain(few, "x"), atol=0.02 + 0.003 * plain(few, "distance").max()
    )
    velocity = there.velocity.d_xyz.to_value("km/s")
    np.testing.assert_allclose(velocity[0], plain(few, "v_x"), atol=2.0)
    np.testing.assert_allclose(velocity[1], plain(few, "v_y"), atol=2.0)


def test_bad_requests(galaxy):
    for arguments, word in (
        ((0, "gaia_g", 10.0), "at least one"), ((5, "b", 10.0), "no band"), ((5, "gaia_g", -40.0), "no star")
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=word):
            galaxy.sample(*arguments, seed=1)
    with pytest.raises(ConfigError, match="grow"):
        galaxy.sample(5, "gaia_g", 10.0, seed=1, distances=(2.0, 1.0))
    with pytest.raises(ConfigError, match="distinct"):
        Galaxy(components=())


def test_observations_scatter_by_their_errors_and_miss_what_they_should(stars):
    seen = observe(stars, [Gaia("dr2"), TwoMass(), AllWise()], seed=8)
    there = np.isfinite(plain(seen, "parallax"))
    pull = (plain(seen, "parallax") - plain(seen, "true_parallax"))[there] / plain(seen, "parallax_error")[there]
    assert abs(pull.std() - 1.0) < 0.03
    assert abs(pull.mean()) < 0.03
    assert np.ma.getmaskarray(seen["source_id"]).sum() == np.isnan(plain(seen, "phot_g_mean_mag")).sum()
    gone = ~np.isfinite(plain(seen, "w4mpro"))
    assert gone.mean() > 0.3
    faint = plain(seen, "true_wise_w4")
    assert faint[gone].mean() > faint[~gone].mean()
    letters = np.asarray(seen["ph_qual"]).astype(str)
    assert set("".join(letters)) <= set("ABCDEU")
    same = observe(stars, [Gaia("dr2"), TwoMass(), AllWise()], seed=8)
    np.testing.assert_array_equal(plain(same, "h_m"), plain(seen, "h_m"))
    with pytest.raises(ConfigError, match="dr9"):
        Gaia("dr9")
    with pytest.raises(ConfigError, match="two surveys"):
        observe(stars, [TwoMass(), TwoMass()], seed=1)


def test_layers_of_a_parent_catalog_do_not_overlap(galaxy):
    table = parent_catalog(
        3000, seed=2, galaxy=galaxy, layers=Layers(h_limit=11.0, g_limit=14.0, nearby=0.1, nearby_g=16.0)
    )
    assert len(table) == 3000
    layer, h, g = np.asarray(table["layer"]), plain(table, "true_2mass_h"), plain(table, "true_gaia_g")
    assert (h[layer == 0] < 11.0).all()
    assert ((h[layer == 1] >= 11.0) & (g[layer == 1] < 14.0)).all()
    assert ((h[layer == 2] >= 11.0) & (g[layer == 2] >= 14.0) & (plain(table, "distance")[layer == 2] < 0.11)).all()
    ids = np.asarray(table["catalogid"])
    assert (ids > 10**18).all()
    assert len(set(ids.tolist())) == len(ids)
    stars = galaxy.sample(20_000, "2mass_h", 11.0, seed=3)
    bright = float(stars.meta["weight"]) * len(stars)
    assert float(np.asarray(table["weight"])[layer == 0].sum()) == pytest.approx(bright, rel=0.03)
    # a layer of few rows keeps a small part of what is drawn for it
    small = parent_catalog(200, seed=5, galaxy=galaxy, layers=Layers(h_limit=11.0, g_limit=14.0))
    weight = np.asarray(small["weight"])[np.asarray(small["layer"]) == 0].sum()
    assert weight == pytest.approx(bright, rel=0.1)
    with pytest.raises(ConfigError, match="shares"):
        parent_catalog(100, seed=1, galaxy=galaxy, layers=Layers(shares=(0.5, 0.5, 0.5)))
