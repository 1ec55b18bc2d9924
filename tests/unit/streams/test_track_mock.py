"""Made stars along a track: moments, errors and windows are what was asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from starloom.dynamics.stream_frames import StreamFrame
from starloom.errors import ConfigError
from starloom.simulation.gaia_errors import rounded_parallax_error
from starloom.streams import track_mock
from starloom.streams.mock import isochrone
from starloom.streams.populations import Population, passbands
from starloom.streams.track_mock import TrackMock, magnitude_error, make
from starloom.streams.tracks import ReferenceTrack

FRAME = StreamFrame.named("Pal5PriceWhelan18")
PHI1 = np.linspace(-20.0, 20.0, 81)
TRACK = ReferenceTrack("made", PHI1, 0.01 * PHI1**2, 3.0 + 0.05 * PHI1, 0.5 + 0 * PHI1, 12.0 + 0.05 * PHI1)
FIELD = TrackMock((-15.0, 15.0), (-4.0, 4.0), stream=3000, background=6000, width=0.3, pm_width=0.2)


@pytest.fixture(scope="module")
def population():
    ridge = isochrone()
    g = np.asarray(ridge["mag_g"]) - 5.0 * np.log10(780.0)
    points = np.stack([g, g - np.asarray(ridge["color_g_i"])], axis=1)
    return Population(("g_mag", "i_mag"), points, np.full(len(points) - 1, 1.0), np.full(len(points), np.nan), "made")


@pytest.fixture(scope="module")
def table(population):
    return make(FIELD, TRACK, FRAME, population, 1)


def in_frame(table):
    ra, dec = table["ra"].value, table["dec"].value
    pm = np.stack([table["pmra"].value, table["pmdec"].value], axis=1)
    turn = FRAME.turn(ra, dec)
    errors = np.zeros((len(table), 2, 2))
    a, b = table["pmra_error"].value, table["pmdec_error"].value
    errors[:, 0, 0], errors[:, 1, 1], errors[:, 0, 1] = a**2, b**2, table["pmra_pmdec_corr"] * a * b
    errors[:, 1, 0] = errors[:, 0, 1]
    return *FRAME.to_frame(ra, dec), np.einsum("nij,nj->ni", turn, pm), turn @ errors @ np.swapaxes(turn, 1, 2)


def test_the_stream_lies_on_its_track(table):
    member = np.asarray(table["component"]) == "stream"
    assert member.sum() == 3000
    phi1, phi2, pm, covariance = in_frame(table[member])
    # 3,000 stars: five standard errors of mean and width
    assert (phi2 - TRACK.at(phi1, "phi2")).mean() == pytest.approx(0.0, abs=5 * 0.3 / np.sqrt(3000))
    assert (phi2 - TRACK.at(phi1, "phi2")).std() == pytest.approx(0.3, abs=5 * 0.3 / np.sqrt(6000))
    offset = pm - np.stack([TRACK.at(phi1, "pm_phi1_cosphi2"), TRACK.at(phi1, "pm_phi2")], axis=1)
    total = covariance + 0.2**2 * np.eye(2)
    chi2 = np.einsum("ni,nij,nj->n", offset, np.linalg.inv(total), offset)
    assert chi2.mean() == pytest.approx(2.0, abs=5 * 2 / np.sqrt(3000)), "covariances turned with the frame"
    distance = table["true_distance"].value[member]
    pull = (table["parallax"].value[member] - 1.0 / distance) / table["parallax_error"].value[member]
    assert pull.std() == pytest.approx(1.0, abs=5 / np.sqrt(6000))


def test_windows_ids_and_truth(table):
    phi1, phi2, _, _ = in_frame(table)
    assert (np.abs(phi1) <= 15.0 + 1e-9).all()
    assert (np.abs(phi2) <= 4.0 + 1e-9).all()
    assert len(np.unique(table["source_id"])) == len(table) == 9000
    assert set(np.unique(table["component"])) == {"stream", "background"}


def test_the_same_seed_and_another(table, population):
    again = make(FIELD, TRACK, FRAME, population, 1)
    assert (again["ra"] == table["ra"]).all()
    assert not (make(FIELD, TRACK, FRAME, population, 2)["ra"] == table["ra"]).all()


def test_gaps_and_missing_values(population):
    mock = replace(FIELD, gap=(3.0, 2.0), missing_photometry=0.3, missing_motion=0.1)
    table = make(mock, TRACK, FRAME, population, 1)
    member = np.asarray(table["component"]) == "stream"
    phi1, _ = FRAME.to_frame(table["ra"].value, table["dec"].value)
    assert not (np.abs(phi1[member] - 3.0) < 2.0).any()
    missing = np.isnan(table["g_mag"].value)
    assert missing.mean() == pytest.approx(0.3, abs=0.03)
    np.testing.assert_array_equal(missing, np.isnan(table["i_mag"].value))
    assert np.isnan(table["pmra"].value).mean() == pytest.approx(0.1, abs=0.02)


def test_errors_grow_as_gaias():
    assert rounded_parallax_error([15.0, 18.0, 20.0]) == pytest.approx([0.025, 0.12, 0.45])
    assert (np.diff(rounded_parallax_error(np.linspace(13, 21, 50))) > 0).all()
    assert magnitude_error(20.5) == pytest.approx(np.hypot(0.012, 0.05))


def test_only_background_or_only_stream(population):
    assert set(make(replace(FIELD, stream=0), TRACK, FRAME, population, 1)["component"]) == {"background"}
    assert set(make(replace(FIELD, background=0), TRACK, FRAME, population, 1)["component"]) == {"stream"}


@pytest.mark.parametrize(
    "change",
    [{"stream": 0, "background": 0}, {"width": 0.0}, {"phi1": (3.0, 2.0)}, {"missing_motion": 1.5}, {"stream": -1}],
)
def test_a_wrong_mock(change):
    with pytest.raises(ConfigError):
        replace(FIELD, **change)


def test_a_window_without_track_or_stars(population):
    with pytest.raises(ConfigError, match="does not reach"):
        make(replace(FIELD, phi1=(30.0, 40.0)), TRACK, FRAME, population, 1)
    with pytest.raises(ConfigError, match="windows of phi2 and magnitude"):
        make(replace(FIELD, phi2=(30.0, 40.0)), TRACK, FRAME, population, 1)
    with pytest.raises(ConfigError, match="no distances"):
        make(FIELD, replace(TRACK, distance=0 * PHI1), FRAME, population, 1)


def test_a_population_cut_and_drawn(population):
    part = population.visible(5.0)
    assert part.magnitudes[0, 0] > 5.0 >= part.magnitudes[1, 0]
    drawn = part.draw(4000, np.random.default_rng(1))
    assert drawn[:, 0].min() >= part.magnitudes[:, 0].min()
    assert drawn[:, 0].max() <= part.magnitudes[0, 0]
    # equal weights: equally many on each half of the stretches
    middle = part.magnitudes[len(part.weights) // 2, 0]
    assert (drawn[:, 0] > middle).mean() == pytest.approx(0.5, abs=0.05)


def test_passbands():
    assert passbands(("g_mag", "phot_bp_mean_mag")) == ("ps1_g", "gaia_bp")
    assert passbands(("a", "b"), ("sdss_g", "sdss_r")) == ("sdss_g", "sdss_r")
    with pytest.raises(ConfigError, match="which passband is a"):
        passbands(("a", "g_mag"))
    with pytest.raises(ConfigError, match="as many passbands"):
        passbands(("a", "g_mag"), ("sdss_g",))


def test_the_public_names_say_what_they_are():
    assert "Nothing here is observed" in track_mock.__doc__
