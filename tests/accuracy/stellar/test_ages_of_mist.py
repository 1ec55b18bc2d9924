"""Guards of the long bars of ages (benchmarks/accuracy_ages.py): few stars, fixed seeds, real MIST models."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import DatasetError, OutputError
from starloom.inference.calibration import uniform_distance
from starloom.stellar.age_lattice import AgeLattice
from starloom.stellar.age_mock import Errors, MadeStars
from starloom.stellar.ages import Floors, StarAges
from starloom.studies.metal_poor_checks import age_places, population_of_one
from starloom.studies.metal_poor_disk import GAIA, Config, Models

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def models():
    try:
        return Models.open(Config(), (-3.6, -0.4))
    except (DatasetError, OutputError) as error:
        pytest.skip(f"the stellar models cannot be had here: {error}")


def test_ages_are_calibrated(models):
    """80 stars; one run in a hundred fails by chance."""
    assert uniform_distance(age_places(models, GAIA, 80, 1, 1))[1] > 0.01


def test_a_population_of_one_age_is_found(models):
    """The mean of 50 stars has an error of 0.16 Gyr; the limit on the spread is 0.67 in the median, up to 1.0."""
    found = population_of_one(models, 0, 1)
    assert abs(found["mean"] - 12.0) < 0.5
    assert found["limit"] < 1.1


def test_the_eep_weight_matters_for_loosely_measured_stars(models):
    errors = Errors(teff=150.0, logg=0.2, fe_h=0.1, magnitude=0.05, parallax=1.0)
    makes = MadeStars(
        models.grid, models.corrections, GAIA, lambda r: 12.0, lambda r: r.uniform(-3.0, -2.0), errors=errors,
        logg=(3.5, 4.5),
    )  # fmt: skip
    stars = makes.sample(20, 5)
    wrong = AgeLattice.build(models.grid, models.corrections, GAIA, fe_h=(-3.6, -1.4), weighted_by="eep")
    right, without = (
        np.mean(StarAges(lattice, floors=Floors(0.0, 0.0, 0.0, 0.0), workers=1).posteriors(stars).age_quantiles()[:, 1])
        for lattice in (models.lattice, wrong)
    )
    assert right - without > 0.7


def test_the_lattice_gives_back_isochrones_between_its_nodes(models):
    """Teff and magnitudes at random ages and [Fe/H], against isochrones of their own."""
    from starloom.stellar.photometry import with_photometry

    lattice, rng = models.lattice, np.random.default_rng(1)
    for _ in range(6):
        age, iron = rng.uniform(2.0, 18.0), rng.uniform(-3.2, -0.8)
        star = models.grid.isochrone(age, iron).cut(eep=(320, 520)).at_eep(rng.uniform(330.0, 500.0, 20))
        star = with_photometry(star, models.corrections, GAIA, 0.2)
        i = np.searchsorted(lattice.fe_h, iron) - 1
        j = np.searchsorted(lattice.log_age, np.log10(age) + 9.0) - 1
        x = (iron - lattice.fe_h[i]) / (lattice.fe_h[i + 1] - lattice.fe_h[i])
        y = (np.log10(age) + 9.0 - lattice.log_age[j]) / (lattice.log_age[j + 1] - lattice.log_age[j])
        for values, true, limit in (
            (lattice.log_teff, star.log_teff, 4e-4),
            (lattice.magnitudes[..., 0] + 0.2 * lattice.reddening[..., 0], star.bands["gaia_g"], 0.01),
            (lattice.magnitudes[..., 1] + 0.2 * lattice.reddening[..., 1], star.bands["gaia_bp"], 0.01),
        ):
            plane = (1 - x) * ((1 - y) * values[i, j] + y * values[i, j + 1])
            plane = plane + x * ((1 - y) * values[i + 1, j] + y * values[i + 1, j + 1])
            assert np.abs(np.interp(star.eep, lattice.eep, plane) - true).max() < limit
