"""Made galaxies: the renderer, the population, their votes and the labeled sets."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.galaxies import mock_votes
from starloom.galaxies.mock_images import PARAMETERS, render, render_bands
from starloom.galaxies.mock_population import Population, draw
from starloom.galaxies.mock_tasks import TASKS, draw_task


def plain(count=1, **changes):
    """Galaxies that are one smooth round spheroid each, in a noiseless-bright picture."""
    table = draw(count, seed=3, population=Population(disks=0.0, mergers=0.0, tidal=0.0, artifacts=0.0))
    settings = {"flux": 2e6, "psf_fwhm": 0.05, "neighbors": 0.0, "bulge_fraction": 1.0, "bulge_radius": 0.12,
                "bulge_sersic": 1.0, "bulge_axis_ratio": 1.0, "axis_ratio": 1.0, "boxiness": 0.0}  # fmt: skip
    for name, value in (settings | changes).items():
        table[name] = value
    return table


def test_a_picture_does_not_depend_on_threads_or_on_its_neighbors_in_the_table():
    table = draw(130, seed=5)
    whole = render(table, 24, threads=1)
    assert np.array_equal(whole, render(table, 24, threads=3))
    assert np.array_equal(whole[70:72], render(table[70:72], 24))
    assert not np.array_equal(whole[0], whole[1])


def test_flux_is_kept_and_the_profile_is_that_of_sersic():
    size, radius = 96, 0.12
    bands = render_bands(plain(flux=2e6), size)[0]
    assert bands[1].sum() == pytest.approx(2e6, rel=0.02)  # all of an exponential lies inside the picture
    axis = (np.arange(size) + 0.5) * 2 / size - 1
    r = np.hypot(axis[:, None], axis[None, :])
    inside = bands[1][r < radius].sum() / bands[1].sum()
    assert inside == pytest.approx(0.5, abs=0.03)  # the radius of half of the light, a little blurred


def test_noise_is_that_of_the_same_exposure_at_any_size():
    for size in (32, 64, 128):
        table = plain(8, flux=1e-3, noise_smoothing=0.0)
        noise = render_bands(table, size)[:, 1]
        assert noise.std() == pytest.approx(64 / size, rel=0.02)
        assert abs(noise.mean()) < 0.02


def test_smoothed_noise_keeps_its_variance():
    noise = render_bands(plain(16, flux=1e-3, noise_smoothing=0.7), 64)[:, 1]
    assert noise[:, 4:-4, 4:-4].std() == pytest.approx(1.0, rel=0.03)
    next_to = np.mean(noise[:, :, 1:] * noise[:, :, :-1])
    assert next_to > 0.3


def test_a_ring_shows_where_it_is():
    ring = {"bulge_fraction": 0.0, "disk_scale": 0.1, "ring_strength": 0.5, "ring_radius": 0.5, "axis_ratio": 1.0}
    with_ring, without = (render_bands(plain(**(ring | more)), 64)[0, 1] for more in ({}, {"ring_strength": 0.0}))
    axis = (np.arange(64) + 0.5) / 32 - 1
    r = np.hypot(axis[:, None], axis[None, :])
    excess = with_ring - without
    assert excess[np.abs(r - 0.5) < 0.05].mean() > 20 * abs(excess[np.abs(r - 0.8) < 0.05].mean())


def test_bad_tables_and_sizes_are_refused():
    table = draw(2, seed=1)
    with pytest.raises(ConfigError, match="pixels across"):
        render(table, 2)
    lost = table.copy()
    lost.remove_column("flux")
    with pytest.raises(MissingColumnError, match="flux"):
        render(lost)
    for value, words in ((np.nan, "no number"), (np.inf, "no number")):
        wrong = table.copy()
        wrong["ring_radius"][1] = value
        with pytest.raises(CatalogError, match=f"row 1 has {words}"):
            render(wrong)
    wrong = table.copy()
    wrong["psf_fwhm"][0] = -1.0
    with pytest.raises(CatalogError, match="row 0: psf_fwhm"):
        render(wrong)
    assert render(draw(0, seed=1), 16).shape == (0, 16, 16, 3)


def test_the_population_is_drawn_anew_with_its_seed():
    one, two, other = draw(50, seed=1), draw(50, seed=1), draw(50, seed=2)
    for name in PARAMETERS:
        assert np.array_equal(one[name], two[name])
        assert np.isfinite(one[name]).all()
    assert not np.array_equal(one["flux"], other["flux"])
    with pytest.raises(ConfigError, match="negative"):
        draw(-1, seed=1)
    with pytest.raises(ConfigError, match="share"):
        Population(disks=1.4)


# ------------------------------------------------------------------------------------------------------------ votes


def fractions_of(table):
    columns = mock_votes.schema().columns
    found = mock_votes.answer_fractions(table)
    return {name: found[:, k] for k, name in enumerate(columns)}


def test_probabilities_sum_to_one_and_follow_what_is_seen():
    table = draw(400, seed=2)
    schema, found = mock_votes.schema(), mock_votes.answer_fractions(table)
    for question in schema.questions:
        assert np.allclose(found[:, schema.slice_of(question.name)].sum(axis=1), 1.0)
    assert (found > 0).all()
    disk = {"bulge_fraction": 0.1, "disk_scale": 0.2, "axis_ratio": 0.9, "flux": 3e4, "arm_strength": 0.9}
    sharp, blurred, edge_on, none = (
        fractions_of(plain(**(disk | more)))
        for more in ({"psf_fwhm": 0.03}, {"psf_fwhm": 0.5}, {"axis_ratio": 0.12}, {"arm_strength": 0.0})
    )
    spiral = "has-spiral-arms-dr5_yes"
    assert sharp[spiral] > 0.85
    assert blurred[spiral] < 0.3
    assert none[spiral] < 0.15
    assert edge_on["disk-edge-on-dr5_yes"] > 0.9
    assert sharp["smooth-or-featured-dr5_featured-or-disk"] > 0.8
    assert plain(1)["star_flux"][0] == 0
    assert fractions_of(plain(star_flux=1e5))["smooth-or-featured-dr5_artifact"] > 0.9


def test_votes_follow_the_tree():
    table = draw(600, seed=4)
    schema, fractions = mock_votes.schema(), mock_votes.answer_fractions(table)
    totals = mock_votes.made_totals(600, seed=1)
    votes = mock_votes.cast(fractions, totals, seed=2)
    place = {name: k for k, name in enumerate(schema.columns)}
    for question in schema.questions:
        asked = votes[:, schema.slice_of(question.name)].sum(axis=1)
        expected = totals if not question.after else sum(votes[:, place[answer]] for answer in question.after)
        assert np.array_equal(asked, expected)
    root = votes[:, schema.slice_of("smooth-or-featured-dr5")] / totals[:, None]
    assert np.abs((root - fractions[:, :3]).mean(axis=0)).max() < 0.01
    # more scatter than of a multinomial: volunteers differ
    p, n = fractions[:, 0], totals
    assert 1.5 < np.mean((root[:, 0] - p) ** 2 / (p * (1 - p) / n)) < 2.6  # (n + A) / (1 + A) is 2


def test_totals_come_from_the_real_ones():
    drawn = mock_votes.vote_totals([30, 40, np.nan, -5, 50], 500, seed=1)
    assert set(drawn) == {30, 40, 50}
    with pytest.raises(ConfigError, match="none of those given"):
        mock_votes.vote_totals([np.nan, 0], 3, seed=1)
    assert mock_votes.made_totals(100, seed=1).min() >= 20


# ------------------------------------------------------------------------------------------------------------ tasks


@pytest.mark.parametrize("name", TASKS)
def test_labeled_sets_are_balanced_and_right(name):
    table, labels = draw_task(name, 41, seed=3)
    classes = len(TASKS[name].classes)
    assert len(table) == len(labels) == 41
    counts = np.bincount(labels, minlength=classes)
    assert counts.max() - counts.min() <= 1
    assert np.array_equal(TASKS[name].label(table), labels)
    again = draw_task(name, 41, seed=3)
    assert np.array_equal(again[1], labels)
    assert np.array_equal(again[0]["flux"], table["flux"])
    assert len(set(table["image_key"])) == 41


def test_unknown_and_tiny_sets_are_refused():
    with pytest.raises(ConfigError, match="rings"):
        draw_task("ringz", 10, seed=1)
    with pytest.raises(ConfigError, match="10 classes"):
        draw_task("ten-types", 4, seed=1)
