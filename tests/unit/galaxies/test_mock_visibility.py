"""What of a made galaxy shows: against a closed form, and what has to follow from looking at the picture alone."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import CatalogError
from starloom.galaxies.mock_population import Population, draw
from starloom.galaxies.mock_visibility import BANDS, FEATURES, NOTICED, noticed, significances

DISK = {"bulge_fraction": 0.1, "disk_scale": 0.2, "axis_ratio": 0.9, "psf_fwhm": 0.04, "flux": 2e4, "star_flux": 0.0,
        "lopsidedness": 0.0, "clumps": 0.0, "old_color": 1.0, "young_color": 1.0, "neighbors": 0.0}  # fmt: skip


def galaxies(count=1, **changes):
    table = draw(count, seed=3, population=Population(mergers=0.0, tidal=0.0, artifacts=0.0))
    absent = {name: 0.0 for names, _ in FEATURES.values() for name in names}
    for name, value in (DISK | absent | changes).items():
        table[name] = value
    return table


def test_a_faint_glow_on_empty_sky_has_the_significance_of_its_formula():
    bright, width = 0.02, 0.19 * 32  # in units of the sky's noise in a pixel; pixels
    found = significances(galaxies(flux=1e-6, plume=bright, psf_fwhm=0.05))["tidal"][0]
    light = BANDS[0] * (0.45 * 0.52 + 0.55 * 0.95) + BANDS[1] + BANDS[2] * (0.45 * 1.42 + 0.55 * 1.02)
    noise = np.sqrt(np.sum(np.square(BANDS)))
    element = 4 * np.pi * (0.05 * 32 / 2.35482) ** 2
    assert found == pytest.approx(bright * light / noise * np.sqrt(np.pi * width**2 / element), rel=0.03)


def test_what_is_not_there_does_not_show_and_threads_do_not_matter():
    found = significances(galaxies(3))
    assert all((values == 0).all() for values in found.values())
    table = draw(130, seed=5)
    one, three = significances(table, threads=1), significances(table, threads=3)
    for name, values in one.items():
        assert np.array_equal(values, three[name])
        there = np.any([np.asarray(table[column]) != 0 for column in FEATURES[name][0]], axis=0)
        assert np.array_equal(values > 0, there)


def test_noise_blur_and_inclination_hide_arms_and_turning_the_picture_does_not():
    arms = {"arm_strength": 0.8, "arm_count": 2.0, "arm_pitch": 0.4, "flocculence": 0.0}
    plain, faint, blurred, inclined, turned = (
        significances(galaxies(**(arms | more)))["arms"][0]
        for more in ({}, {"flux": 300.0}, {"psf_fwhm": 0.4}, {"axis_ratio": 0.15}, {"position_angle": 1.0})
    )
    assert plain > 2 * NOTICED
    assert max(faint, inclined) < 0.6 * plain
    assert blurred < 0.15 * plain
    assert turned == pytest.approx(plain, rel=0.1)


def test_light_spread_evenly_over_the_disk_is_not_a_feature():
    """Rings as wide as the disk: hardly anything is left of them; thin ones of the same light show."""
    ring = {"ring_strength": 0.3, "ring_radius": 0.5}
    thin, wide = (significances(galaxies(**(ring | more)))["ring"][0] for more in ({}, {"psf_fwhm": 0.5}))
    assert wide < 0.1 * thin


def test_half_of_the_volunteers_notice_the_threshold():
    assert noticed(np.array([0.0, NOTICED]))[1] == pytest.approx(0.5)
    assert noticed(np.array([0.0]))[0] == 0.0
    rising = noticed(np.geomspace(0.1, 1e3, 50))
    assert (np.diff(rising) > 0).all()
    assert rising[-1] > 0.99


def test_bad_rows_are_named():
    table = galaxies(2)
    table["flux"] = [1.0, np.nan]
    with pytest.raises(CatalogError, match="row 1"):
        significances(table)
