"""The GD-1-like mock with truth: memberships, counts, calibration and track of one fit, against the best possible.

The best possible are the memberships that the mock's own densities give (the oracle), computed here from its recipe.
The bars were set before the first run, with seed 11, and are never moved:

* completeness at P > 0.8 at least nine tenths of the oracle's on the same stars. The two differ in the some forty stars
  near P = 0.8 of about 600 members: one per cent of noise, so a fit that loses five per cent fails once in 10^5.
* purity at P > 0.8 at least the mean P of the stars chosen, less 3.3 sigma of that many draws and two points of misfit.
* expected members within 3.3 sigma of the truth, sigma^2 = sum P (1 - P), and two per cent of misfit.
* expected calibration error at most the 99.9 % point of what perfectly calibrated P would give, plus 0.005.
* 90 % bands that hold the truth at half or more of phi1, pooled over four curves. They have some eight independent
  stretches where the selection keeps half of the stars; Bin(8, 0.9) gives four or fewer once in 200.
* mean-square distance from the true track within five of the sigma that its members allow in a stretch.

Together a correct fit raises a false alarm less than once in 100 seeds.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from starloom.dynamics.stream_frames import StreamFrame
from starloom.streams import mock
from starloom.streams.tracks import ReferenceTrack, fitted_track
from starloom.studies.gd1_stream import POLYGON, Config, model_of

SEED = 11
FIELD = mock.MockField(POLYGON)


def photometric_error(g):
    return np.hypot(0.015, 0.05 * 10 ** (0.3 * (g - 20.5)))


def background_photometry(g, color):
    """Density of the observed (g, i) of the background: over the errors of g, then of i and the color."""
    error = photometric_error(g)
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    density = np.zeros(len(g))
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        true = g - node * error
        bright = np.where((true > 13.0) & (true < 21.3), 2.0 * (true - 13.0) / 8.3**2, 0.0)
        kinds = ((0.6, 0.55, 0.2), (0.4, 1.7, 0.45))
        colors = sum(w * stats.norm.pdf(color, mean + node * error, np.hypot(s, error)) for w, mean, s in kinds)
        density += weight * bright * colors
    return density


def stream_photometry(g, i, modulus):
    ridge = mock.isochrone()
    near = np.asarray(ridge["mag_g"])
    share = 10.0 ** (0.18 * near) * (near < 21.3)
    share = share / share.sum()
    density = np.zeros(len(g))
    for magnitude, color, weight in zip(near, np.asarray(ridge["color_g_i"]), share, strict=True):
        true = magnitude + modulus - 5.0 * np.log10(mock.ISOCHRONE_DISTANCE * 100.0)
        error = photometric_error(true)
        density += weight * stats.norm.pdf(g, true, error) * stats.norm.pdf(i, true - color, error)
    return density


def oracle(table):
    """Membership probability of stream or spur from the densities that the mock was drawn from."""
    frame = StreamFrame.named("GD1Koposov10")
    ra, dec = table["ra"].value, table["dec"].value
    phi1, phi2 = frame.to_frame(ra, dec)
    pm = np.einsum("nij,nj->ni", frame.turn(ra, dec), np.stack([table["pmra"].value, table["pmdec"].value], axis=1))
    pm -= frame.reflex(phi1, phi2, np.full(len(ra), mock.REFLEX_DISTANCE))
    g, i = table["g_mean_psf_mag"].value, table["i_mean_psf_mag"].value
    seen = np.isfinite(g) & np.isfinite(i)
    slope = 0.06
    background = FIELD.background / 50.0 * slope * np.exp(slope * (phi2 + 5.0)) / np.expm1(10.0 * slope)
    background *= stats.norm.pdf(pm[:, 0], -6.5, 2.6) * stats.norm.pdf(pm[:, 1], -1.0, 2.4)
    background[seen] *= background_photometry(g[seen], (g - i)[seen])
    members = np.zeros(len(ra))
    for name, number, ends in (("stream", FIELD.stream, (-70.0, -20.0)), ("spur", FIELD.spur, (-45.0, -20.0))):
        true = mock.track(phi1, name)
        density = np.where((phi1 > ends[0]) & (phi1 < ends[1]), number / (ends[1] - ends[0]), 0.0)
        if name == "stream":
            density = np.where(np.abs(phi1 - FIELD.gap[0]) < FIELD.gap[1], 0.1 * density, density)
        density *= stats.norm.pdf(phi2, true["phi2"], true["width_phi2"])
        for place, coordinate in enumerate(("pm_phi1_cosphi2", "pm_phi2")):
            density *= stats.norm.pdf(pm[:, place], true[coordinate], true["width_pm"])
        density[seen] *= stream_photometry(g[seen], i[seen], true["distance_modulus"][seen])
        members += density
    return members / (members + background)


def calibration_error(p, true):
    place = np.clip((p * 10).astype(int), 0, 9)
    return np.abs(np.bincount(place, p, 10) - np.bincount(place, true, 10)).sum() / len(p)


class Outcome:
    """One fit and what is true."""

    def __init__(self, seed):
        frame = StreamFrame.named("GD1Koposov10")
        self.stars = mock.make(FIELD, seed)
        reference = ReferenceTrack.from_galstreams(
            mock.reference_track(FIELD), "GD-1", "truth", frame, reflex_distance=mock.REFLEX_DISTANCE
        )
        config = Config(members=6, steps=250)
        self.fitted = model_of(config, mock.isochrone(), reference).fit(self.stars, seed=seed)
        found = self.fitted.predict(self.stars)
        self.used = np.asarray(found["reason"]) == ""
        self.p = np.asarray(found["p_member"])[self.used]
        self.true = (np.asarray(self.stars["component"]) != "background")[self.used]
        self.best = oracle(self.stars)[self.used]


@pytest.fixture(scope="module")
def outcome():
    return Outcome(SEED)


def test_the_oracle_is_calibrated(outcome):
    """The yardstick itself: expected against true members, 3.3 sigma (a false alarm in a thousand)."""
    best, true = outcome.best, outcome.true
    assert abs(best.sum() - true.sum()) < 3.3 * np.sqrt((best * (1 - best)).sum())
    rng = np.random.default_rng(1)
    draws = [calibration_error(best, rng.random(len(best)) < best) for _ in range(2000)]
    assert calibration_error(best, true) < np.quantile(draws, 0.999)


def test_every_star_is_used_and_nothing_is_warned_of(outcome):
    assert outcome.used.all()
    assert outcome.fitted.report["warnings"] == []


def test_completeness(outcome):
    found = (outcome.p > 0.8)[outcome.true].mean()
    possible = (outcome.best > 0.8)[outcome.true].mean()
    assert found >= 0.9 * possible


def test_purity(outcome):
    chosen = outcome.p > 0.8
    claimed = outcome.p[chosen]
    noise = np.sqrt((claimed * (1 - claimed)).sum()) / chosen.sum()
    assert outcome.true[chosen].mean() >= claimed.mean() - 3.3 * noise - 0.02


def test_expected_members(outcome):
    noise = np.sqrt((outcome.p * (1 - outcome.p)).sum())
    assert abs(outcome.p.sum() - outcome.true.sum()) <= 3.3 * noise + 0.02 * outcome.true.sum()


def test_calibration(outcome):
    rng = np.random.default_rng(2)
    draws = [calibration_error(outcome.p, rng.random(len(outcome.p)) < outcome.p) for _ in range(2000)]
    assert calibration_error(outcome.p, outcome.true) <= np.quantile(draws, 0.999) + 0.005


def test_the_bands_hold_the_true_track(outcome):
    track = fitted_track(outcome.fitted)
    kept = np.asarray(track["completeness"]) >= 0.5
    truth = mock.track(track["phi1"].value)
    inside = []
    for name in ("phi2", "pm_phi1_cosphi2", "pm_phi2", "distance_modulus"):
        low, high = track[f"{name}_low"].value, track[f"{name}_high"].value
        inside.append(((low <= truth[name]) & (truth[name] <= high))[kept].mean())
    assert np.mean(inside) >= 0.5, inside


def test_the_track_is_as_near_as_its_members_allow(outcome):
    track = fitted_track(outcome.fitted)
    kept = np.asarray(track["completeness"]) >= 0.5
    phi1 = track["phi1"].value
    truth = mock.track(phi1)
    a_degree = outcome.true.sum() / np.ptp(phi1[kept])
    for name, width, length in (("phi2", 0.22, 15.0), ("pm_phi1_cosphi2", 0.45, 20.0), ("pm_phi2", 0.45, 20.0)):
        distance = np.sqrt(np.mean((track[name].value - truth[name])[kept] ** 2))
        assert distance <= 5.0 * width / np.sqrt(a_degree * length), name
