"""Stars drawn from a fitted model are what its densities say they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from starloom.errors import ConfigError
from starloom.streams.tracks import fitted_track

COUNT = 8000


@pytest.fixture(scope="module")
def drawn(fitted):
    return fitted.sample(COUNT, 1)


def components_agree(fitted, table):
    """Sums of P and numbers drawn agree for each component and in each range of P: pooled chi2 below 5 sigma."""
    found = fitted.predict(table)
    assert (np.asarray(found["reason"]) == "").all()
    chi2, count = 0.0, 0
    for name in fitted.names:
        p = np.asarray(found[f"p_{name}"])
        true = np.asarray(table["component"]) == name
        for low, high in ((0.0, 0.05), (0.05, 0.3), (0.3, 0.7), (0.7, 0.95), (0.95, 1.01)):
            here = (p >= low) & (p < high)
            variance = (p * (1 - p))[here].sum()
            if variance > 2.0:
                chi2 += (p[here].sum() - true[here].sum()) ** 2 / variance
                count += 1
    assert count >= 8
    # chi2 of `count` bins: five standard deviations, and a little for what the densities approximate
    assert chi2 < count + 5 * np.sqrt(2 * count) + 5


def test_memberships_of_drawn_stars_are_calibrated(fitted, drawn):
    components_agree(fitted, drawn)


def test_drawn_like_a_table(fitted, field):
    table = fitted.sample(COUNT, 2, like=field)
    components_agree(fitted, table)
    missing = np.isnan(np.asarray(field["g_mean_psf_mag"])).mean()
    assert np.isnan(table["g_mag"].value).mean() == pytest.approx(missing, abs=5 * np.sqrt(0.25 / COUNT))
    np.testing.assert_array_equal(np.isnan(table["g_mag"].value), np.isnan(table["g_mag_error"].value))


def test_all_blocks_and_errors(make_model, parts, field):
    """Parallaxes, velocities and errors of all kinds; half of what is not the sky is missing."""
    from astropy import units as u

    from starloom.streams.configuration import Coordinate

    rng = np.random.default_rng(3)
    table = field.copy()
    # with the columns of Gaia the table is taken for Gaia's, which knows no g_mean_psf_mag
    table.rename_columns(["g_mean_psf_mag", "i_mean_psf_mag"], ["g_mag", "i_mag"])
    rows = len(table)
    for name in ("pmra_error", "pmdec_error"):
        table[name] = rng.uniform(0.05, 0.3, rows) * u.mas / u.yr
    table["pmra_pmdec_corr"] = rng.uniform(-0.5, 0.5, rows)
    table["parallax"] = np.where(rng.random(rows) < 0.5, rng.normal(0.13, 0.3, rows).clip(-0.9, 0.9), np.nan) * u.mas
    table["parallax_error"] = np.full(rows, 0.3) * u.mas
    table["radial_velocity"] = np.where(rng.random(rows) < 0.5, rng.normal(-50, 80, rows).clip(-390, 390), np.nan)
    table["radial_velocity"].unit = u.km / u.s
    table["radial_velocity_error"] = np.full(rows, 5.0) * u.km / u.s
    model = make_model(parallax=(-1.0, 1.0), radial_velocity=Coordinate((-400, 400), (5, 60)), training=parts.TINY)
    fitted = model.fit(table, seed=1)
    found = fitted.sample(COUNT, 4, like=table)
    components_agree(fitted, found)
    assert {"parallax", "parallax_error", "radial_velocity_error", "pmra_error", "pmra_pmdec_corr"} <= set(
        found.colnames
    )
    assert np.isnan(found["parallax"].value).mean() == pytest.approx(0.5, abs=0.05)
    assert (np.abs(found["pmra_pmdec_corr"]) <= 1).all()


def test_moments_are_those_of_the_track(plain_fitted):
    table = plain_fitted.sample(60_000, 5)
    member = np.asarray(table["component"]) == "stream"
    phi1 = table["phi1"].value
    for low in (-65.0, -50.0, -35.0):
        here = member & (phi1 > low) & (phi1 < low + 5.0)
        middle = fitted_track(plain_fitted, "stream", phi1[here])
        offset = table["phi2"].value[here] - middle["phi2"].value
        width = np.sqrt(np.mean(middle["phi2_width"].value ** 2))
        count = here.sum()
        assert count > 300
        assert offset.mean() == pytest.approx(0.0, abs=5 * width / np.sqrt(count))
        assert offset.std() == pytest.approx(width, rel=5 / np.sqrt(2 * count) + 0.01)
    share = np.mean(np.exp(plain_fitted.curves_at("weights", phi1)[0, :, 0]))
    assert member.mean() == pytest.approx(share, abs=5 * np.sqrt(share / len(table)))


def test_the_background_drawn_is_its_density(plain_fitted):
    """Mean of q / p over stars drawn from p is one for any q that is normalized: here uniform in phi2 and motion."""
    table = plain_fitted.sample(20_000, 6)
    stars = plain_fitted.prepare(table)
    log_p = torch.logsumexp(plain_fitted.log_densities(stars)[:, 0], dim=0).double().numpy()
    window = plain_fitted.model.phi2.window
    # over the inner part of the windows, where p is not small and so the ratio has a variance
    pm = stars.pm.double().numpy()
    inner = (np.abs(pm[:, 0] + 7.0) < 1.0) & (np.abs(pm[:, 1] + 1.0) < 1.0)
    ratio = np.where(inner, np.exp(-log_p) / (4.0 * (window[1] - window[0])), 0.0)
    assert ratio.mean() == pytest.approx(1.0, abs=5 * ratio.std() / np.sqrt(len(ratio)))


def test_as_observed_and_in_the_frame_are_the_same_star(fitted, drawn):
    frame = fitted.model.stream_frame
    phi1, phi2 = frame.to_frame(drawn["ra"].value, drawn["dec"].value)
    np.testing.assert_allclose(phi1, drawn["phi1"].value, atol=1e-9)
    np.testing.assert_allclose(phi2, drawn["phi2"].value, atol=1e-9)
    stars = fitted.prepare(drawn)
    np.testing.assert_allclose(stars.pm[:, 0], drawn["pm_phi1_cosphi2"].value, atol=1e-5)


def test_a_component_stays_in_its_stretch(fitted, drawn):
    spur = drawn["phi1"].value[np.asarray(drawn["component"]) == "spur"]
    assert len(spur) > 50
    assert spur.min() >= -45.0
    assert spur.max() <= -15.0


def test_the_same_seed_and_another(fitted, drawn):
    again = fitted.sample(COUNT, 1)
    for name in drawn.colnames:
        np.testing.assert_array_equal(drawn[name], again[name])
    assert not (fitted.sample(COUNT, 2)["phi1"] == drawn["phi1"]).all()


def test_sampling_leaves_the_global_state(plain_fitted):
    before = torch.get_rng_state()
    plain_fitted.sample(50, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_none_and_one(fitted):
    assert len(fitted.sample(0, 1)) == 0
    assert len(fitted.sample(1, 1)) == 1


@pytest.mark.parametrize("n", [-1, 2.5, True])
def test_a_wrong_number(fitted, n):
    with pytest.raises(ConfigError, match="number of stars"):
        fitted.sample(n, 1)


def test_like_a_table_without_a_usable_row(fitted, field):
    table = field[:5].copy()
    table["ra"] = (table["ra"].value + 90) * table["ra"].unit
    with pytest.raises(ConfigError, match="no row"):
        fitted.sample(3, 1, like=table)
