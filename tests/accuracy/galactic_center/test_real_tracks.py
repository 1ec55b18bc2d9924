"""The Galactic center with MIST tracks and corrections: the Sun, lifetimes, and the thresholds of the study."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.datasets.access import locate
from starloom.errors import DatasetError
from starloom.galactic_center.detection import Candidate
from starloom.galactic_center.ejection import CenterStars
from starloom.galactic_center.exclusion import expected_map
from starloom.galactic_center.library import StarLibrary
from starloom.galactic_center.photometry import Photometer
from starloom.galactic_center.sky import Sky
from starloom.simulation.gaia_errors import release
from starloom.stellar.isochrone_grids import IsochroneGrid


@pytest.fixture(scope="module")
def sky():
    try:
        return Sky.real("Marchetti2017")
    except DatasetError as error:
        pytest.skip(f"the stellar models cannot be had here: {error}")


def test_the_sun_at_ten_parsecs(sky):
    """G = 4.67 +- 0.05 without dust; MIST's Sun is 0.02 dex brighter at 4.57 Gyr."""
    sun = sky.tracks.at(1.0, 4.57, 0.0)
    clear = Photometer(sky.photometer.corrections, None)
    g = clear.magnitudes(sun, [0.0], [0.0], [0.0], [0.01]).g[0] + 2.5 * sun.log_l[0]
    assert g == pytest.approx(4.67, abs=0.05)
    assert 10 ** sun.log_l[0] == pytest.approx(1.0, abs=0.1)
    assert 10 ** sun.log_teff[0] == pytest.approx(5772.0, abs=100.0)


def test_stars_at_native_nodes_are_the_isochrones(sky):
    grid = IsochroneGrid.open(locate("isochrone_grids", "mist").path)
    for log_age, fe_h in ((6.5, 0.0), (8.0, -0.25), (9.6, 0.25), (10.0, 0.0)):
        native = grid.isochrone(10.0 ** (log_age - 9.0), fe_h)
        rows = np.flatnonzero((native.eep < 700) & (native.initial_mass < 80))[10:-5:23]
        rising = np.diff(native.initial_mass, append=np.inf)[rows] > 1e-9
        rows = rows[rising]
        found = sky.tracks.at(native.initial_mass[rows], np.full(len(rows), native.age), fe_h)
        np.testing.assert_allclose(found.log_l, native.log_l[rows], atol=2e-3)
        np.testing.assert_allclose(found.log_teff, native.log_teff[rows], atol=5e-4)


def test_between_nodes_the_grid_agrees(sky):
    """Stars between native ages and metallicities against the grid's own interpolation."""
    grid = IsochroneGrid.open(locate("isochrone_grids", "mist").path)
    native = grid.isochrone(0.0537, 0.11)
    rows = np.flatnonzero((native.eep > 210) & (native.eep < 600))[::29]
    found = sky.tracks.at(native.initial_mass[rows], np.full(len(rows), 0.0537), 0.11)
    np.testing.assert_allclose(found.log_l, native.log_l[rows], atol=5e-3)


def test_lifetimes(sky):
    """The Sun's is about 11.7 Gyr until the AGB; massive stars live a few Myr; metal-poor stars live shorter."""
    life = sky.tracks.lifetime([0.5, 1.0, 20.0, 100.0], 0.0)
    assert life[0] == 13.8
    assert 11.0 < life[1] < 12.5
    assert 0.008 < life[2] < 0.012
    assert 0.0025 < life[3] < 0.0045
    mass = np.geomspace(0.9, 100.0, 300)
    assert (np.diff(sky.tracks.lifetime(mass, 0.1)) <= 0).all()
    # a star a little before its end is still there, a little after it is not
    for m in (1.2, 3.0, 12.0, 40.0):
        end = float(sky.tracks.lifetime(m, 0.0))
        assert np.isfinite(sky.tracks.at(m, 0.97 * end, 0.0).log_l[0])
        assert np.isnan(sky.tracks.at(m, 1.2 * end, 0.0).log_l[0])


def test_thresholds(sky):
    """The study's, from a tenth of its library."""
    library = StarLibrary.build(sky, 20_000, seed=5)
    assert np.nanmax(library.arrived.flown.energy_error) < 1e-8
    candidate = library.arrived.detected(sky, release("dr3"), Candidate(), seed=5, noise=4).candidate
    masses = np.geomspace(100.0, 3e4, 40)
    now = expected_map(library, candidate, CenterStars(), masses, [1.0]).threshold(0.95, 0)
    merged = expected_map(library, candidate, CenterStars(), masses, [5.0], kind="since_merger").threshold(0.95, 0)
    assert 500.0 < now[0] < 4000.0
    assert 200.0 < merged[0] < 1500.0
    assert now[2] - now[1] < 0.25 * now[0]
