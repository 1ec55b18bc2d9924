"""What is read off a fit: track, linear density, the control off the stream; and published tracks."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, vstack
from scipy import stats as scipy_stats

from starloom.errors import CatalogError, ConfigError, FitError
from starloom.streams import mock
from starloom.streams.configuration import Training
from starloom.streams.control import moved_counts
from starloom.streams.linear_density import linear_density
from starloom.streams.tracks import ReferenceTrack, fitted_track

UNITS = {
    "phi1": u.deg,
    "phi2": u.deg,
    "phi2_width": u.deg,
    "pm_phi1_cosphi2": u.mas / u.yr,
    "pm_phi1_cosphi2_width": u.mas / u.yr,
    "pm_phi2": u.mas / u.yr,
    "pm_phi2_width": u.mas / u.yr,
    "distance_modulus": u.mag,
}


# ----------------------------------------------------------------------------------------------------------- track


def test_the_columns_of_a_track(fitted):
    track = fitted_track(fitted)
    np.testing.assert_allclose(track["phi1"].value, np.arange(-70, -19.9, 0.5))
    for name, unit in UNITS.items():
        assert track[name].unit == unit
        if name != "phi1":
            low, value, high = (track[f"{name}{end}"].value for end in ("_low", "", "_high"))
            assert ((low < value) & (value < high)).all(), name
    fraction = np.asarray(track["fraction"])
    assert ((fraction > 0) & (fraction < 1)).all()
    kept = np.asarray(track["completeness"])
    assert ((kept >= 0) & (kept <= 1)).all()
    assert not [name for name in track.colnames if "wing" in name or name.startswith("ln_")]


def test_a_track_at_given_places(fitted):
    whole, part = fitted_track(fitted), fitted_track(fitted, "stream", [-60.0, -33.5])
    rows = [list(whole["phi1"].value).index(place) for place in (-60.0, -33.5)]
    for name in whole.colnames:
        np.testing.assert_allclose(np.asarray(part[name]), np.asarray(whole[name])[rows], rtol=1e-5, atol=1e-6)


def test_the_track_is_where_the_mock_was_made(fitted):
    track = fitted_track(fitted)
    phi1 = track["phi1"].value
    middle = (phi1 > -60) & (phi1 < -35)
    truth = mock.track(phi1)
    # a short fit of some 200 members: 0.2 deg wide, 0.45 mas/yr, over five or so independent stretches
    for name, allowed in (("phi2", 0.2), ("pm_phi1_cosphi2", 0.35), ("pm_phi2", 0.35)):
        assert np.abs(track[name].value - truth[name])[middle].max() < allowed, name


@pytest.mark.parametrize("name", ["nonsense", "background", "weights"])
def test_a_track_of_no_component(fitted, name):
    with pytest.raises(ConfigError, match="stream, spur"):
        fitted_track(fitted, name)


def test_the_completeness_is_the_share_inside_a_box(plain_fitted):
    places = [-60.0, -40.0, -25.0]
    track = fitted_track(plain_fitted, "stream", places)
    expected = np.ones(3)
    for name, (low, high) in (("pm_phi1_cosphi2", (-10.0, -4.5)), ("pm_phi2", (-6.0, 3.0))):
        mean, width = track[name].value, track[f"{name}_width"].value
        expected *= scipy_stats.norm.cdf((high - mean) / width) - scipy_stats.norm.cdf((low - mean) / width)
    np.testing.assert_allclose(np.asarray(track["completeness"]), expected, atol=1e-4)


def test_the_completeness_counts_the_wings(fitted, parts):
    """Drawn: proper motions of the fitted component, core and wings, held against the polygon."""
    place, rng, n = -50.0, np.random.default_rng(6), 20_000
    names = [curve.name for curve in fitted.mixture.tracks["stream"].curves]
    v = dict(zip(names, fitted.curves_at("stream", [place])[0, 0], strict=True))
    scale = np.where(rng.random(n) < v["wing_share"], np.exp(v["ln_wing_scale"]), 1.0)
    pm = np.stack(
        [rng.normal(v[name], np.exp(v[f"ln_width_{name}"]) * scale) for name in ("pm_phi1_cosphi2", "pm_phi2")], axis=1
    )
    ra, dec = parts.FRAME.to_icrs([place], [v["phi2"]])
    icrs = (pm + parts.FRAME.reflex([place], [v["phi2"]], [8.0])) @ parts.FRAME.turn(ra, dec)[0]
    drawn = fitted.model.polygon.contains(icrs[:, 0], icrs[:, 1]).mean()
    found = float(fitted_track(fitted, "stream", [place])["completeness"][0])
    assert found == pytest.approx(drawn, abs=0.015)  # four standard deviations of the draw


# ------------------------------------------------------------------------------------------------------- published


def galstreams(parts, phi1, phi2, name="GD-1", reference="made"):
    ra, dec = parts.FRAME.to_icrs(phi1, phi2)
    n = len(ra)
    pm = np.tile([-7.5, -0.5], (n, 1)) + parts.FRAME.reflex(phi1, phi2, np.full(n, 8.0))
    pm = np.einsum("nji,nj->ni", parts.FRAME.turn(ra, dec), pm)
    return QTable(
        {
            "stream": np.full(n, name),
            "reference": np.full(n, reference),
            "ra": ra * u.deg,
            "dec": dec * u.deg,
            "distance": np.full(n, 8.0) * u.kpc,
            "pm_ra_cosdec": pm[:, 0] * u.mas / u.yr,
            "pm_dec": pm[:, 1] * u.mas / u.yr,
        }
    )


def test_a_published_track_in_the_frame(parts):
    phi1 = np.linspace(-80, 0, 41)
    table = galstreams(parts, phi1[::-1], 0.01 * phi1[::-1])
    track = ReferenceTrack.from_galstreams(table, "GD-1", "made", parts.FRAME, reflex_distance=8.0)
    np.testing.assert_allclose(track.phi1, phi1, atol=1e-9)
    np.testing.assert_allclose(track.phi2, 0.01 * phi1, atol=1e-9)
    np.testing.assert_allclose(track.pm_phi1_cosphi2, -7.5, atol=1e-9)
    np.testing.assert_allclose(track.pm_phi2, -0.5, atol=1e-9)
    assert track.at(-41.0, "phi2") == pytest.approx(-0.41)
    assert np.isnan(track.at([-81.0, 1.0], "phi2")).all()
    raw = ReferenceTrack.from_galstreams(table, "GD-1", "made", parts.FRAME)
    assert np.abs(raw.pm_phi1_cosphi2 + 7.5).min() > 1.0


def test_a_guide_along_a_track_leaves_out_what_the_track_does_not_reach(parts):
    phi1 = np.linspace(-65, -30, 36)
    track = ReferenceTrack.from_galstreams(galstreams(parts, phi1, 0 * phi1), "GD-1", "made", parts.FRAME)
    guide = track.guide("phi2", [-70.0, -60.0, -40.0, -20.0], 1.5)
    assert guide.phi1 == (-60.0, -40.0)
    np.testing.assert_allclose(guide.value, 0.0, atol=1e-9)
    assert guide.half_width == (1.5, 1.5)
    with pytest.raises(ConfigError, match="empty"):
        track.guide("phi2", [10.0], 1.5)


def test_an_unknown_track_lists_those_near(parts):
    table = galstreams(parts, np.linspace(-60, -30, 5), np.zeros(5))
    with pytest.raises(ConfigError, match="no track GD-1 other; near to it: GD-1 made"):
        ReferenceTrack.from_galstreams(table, "GD-1", "other", parts.FRAME)
    with pytest.raises(ConfigError, match="near to it: none"):
        ReferenceTrack.from_galstreams(table, "Jhelum", "made", parts.FRAME)


def test_a_track_that_turns_back(parts):
    there, back = np.linspace(-60, -30, 31), np.linspace(-30.5, -50.5, 21)
    table = galstreams(parts, np.concatenate([there, back]), np.concatenate([0 * there, 0 * back + 3.0]))
    with pytest.raises(CatalogError, match="turns back in phi1"):
        ReferenceTrack.from_galstreams(table, "GD-1", "made", parts.FRAME)


def test_the_mock_gives_its_own_track(parts):
    field = mock.MockField(parts.POLYGON)
    track = ReferenceTrack.from_galstreams(
        mock.reference_track(field), "GD-1", "truth", parts.FRAME, reflex_distance=mock.REFLEX_DISTANCE
    )
    phi1 = np.linspace(-70, -20, 11)
    truth = mock.track(phi1)
    for name in ("phi2", "pm_phi1_cosphi2", "pm_phi2"):
        np.testing.assert_allclose(track.at(phi1, name), truth[name], atol=2e-4)


# --------------------------------------------------------------------------------------------------------- density


@pytest.mark.parametrize("width", [2.0, 3.3, 100.0])
def test_the_linear_density_sums_to_the_expected_members(fitted, field, width):
    density = linear_density(fitted, field, bin_width=width)
    low, high = density["phi1_low"].value, density["phi1_high"].value
    assert low[0] == -70
    assert high[-1] == -20
    np.testing.assert_allclose(low[1:], high[:-1])
    expected = fitted.expected_members(field)["stream"][0]
    assert np.asarray(density["members"]).sum() == pytest.approx(expected, rel=1e-6)
    total = (density["density"] * (density["phi1_high"] - density["phi1_low"])).sum()
    assert float(total) == pytest.approx(expected, rel=1e-6)
    assert (density["density_low"] <= density["density"]).all()
    assert (density["density"] < density["density_high"]).all()
    assert (density["density_low"].value >= 0).all()


def test_the_corrected_density(fitted, field):
    density = linear_density(fitted, field, bin_width=2.5)
    kept, corrected = np.asarray(density["completeness"]), density["corrected_density"].value
    np.testing.assert_array_equal(np.isnan(corrected), kept < 0.5)
    good = kept >= 0.5
    np.testing.assert_allclose(corrected[good] * kept[good], density["density"].value[good], rtol=1e-5)


@pytest.mark.parametrize("width", [0.0, -1.0, np.nan])
def test_bins_without_width(fitted, field, width):
    with pytest.raises(ConfigError, match="bin_width"):
        linear_density(fitted, field, bin_width=width)


@pytest.mark.parametrize("name", ["nonsense", "background"])
def test_the_density_of_no_component(fitted, field, name):
    with pytest.raises(ConfigError, match="no component"):
        linear_density(fitted, field, name)


def test_track_and_density_of_two_networks_have_no_band(make_model, parts, field):
    box = parts.proper_motion(polygon=None, system="stream", wings=False)
    pair = make_model(
        components=(parts.stream(),), proper_motion=box, distance=None, photometry=None,
        training=Training(2, 12, background_epochs=1, hidden=8, layers=1),
    ).fit(field, seed=1)  # fmt: skip
    track = fitted_track(pair)
    assert np.isfinite(track["phi2"].value).all()
    assert np.isnan(track["phi2_low"].value).all()
    assert np.isfinite(linear_density(pair, field)["density"].value).all()


# --------------------------------------------------------------------------------------------------------- control


def test_next_to_nothing_is_found_off_the_stream(fitted, field):
    shifts = (-3.0, 2.5, 3.0)
    moved = moved_counts(fitted, field, shifts)
    assert moved.shape == (3,)
    assert (moved >= 0).all()
    # Where there is no stream its fitted strength scatters around zero with sigma = 1 / sqrt(sum (s / b)^2) over the
    # stars there, and the count with sigma times what the shape holds. With b about twenty background stars a degree
    # of phi1 under a shape of +-0.4 deg, cut to a fifth by proper motion and again by photometry where there is some,
    # that is sqrt(50 * 20 * 0.8 / 10 / 4) = 5 stars; four sigma for the largest of three: a false alarm in 10^4.
    # The background of this short fit is itself known to ten per cent: as much again.
    assert moved.max() < 2 * 4 * 5
    assert moved.max() < 0.2 * fitted.expected_members(field)["stream"][0]


def test_a_stream_put_elsewhere_would_be_found(fitted, field):
    """The control can fail: the true stream, moved with all its stars, is claimed at that shift."""
    shift, frame = 3.0, fitted.model.stream_frame
    phi1, phi2 = frame.to_frame(field["ra"].value, field["dec"].value)
    stream = np.asarray(field["component"]) == "stream"
    copy = field[stream].copy()
    copy["source_id"] += 10**6
    ra, dec = frame.to_icrs(phi1[stream], phi2[stream] + shift)
    # what a star of the stream would show in proper motion at its new place
    old = frame.turn(field["ra"].value[stream], field["dec"].value[stream])
    pm = np.einsum("nij,nj->ni", old, np.stack([copy["pmra"].value, copy["pmdec"].value], axis=1))
    far = np.full(stream.sum(), 8.0)
    pm += frame.reflex(phi1[stream], phi2[stream] + shift, far) - frame.reflex(phi1[stream], phi2[stream], far)
    pm = np.einsum("nji,nj->ni", frame.turn(ra, dec), pm)
    copy["ra"], copy["dec"] = ra * u.deg, dec * u.deg
    copy["pmra"], copy["pmdec"] = pm[:, 0] * u.mas / u.yr, pm[:, 1] * u.mas / u.yr
    inside = fitted.model.polygon.contains(pm[:, 0], pm[:, 1])
    found = moved_counts(fitted, vstack([field, copy[inside]]), (shift,))
    assert found[0] > 0.5 * inside.sum()


@pytest.mark.parametrize("shifts", [(0.0,), (3.0, 1.0), (3.0, -1.2)])
def test_a_shift_must_leave_the_stream(fitted, field, shifts):
    with pytest.raises(ConfigError, match=r"larger than the mask of 1\.2 deg"):
        moved_counts(fitted, field, shifts)


def test_no_shift_gives_no_count(fitted, field):
    assert moved_counts(fitted, field, ()).shape == (0,)


def test_a_mask_that_leaves_no_star(fitted, field):
    with pytest.raises(FitError, match="no stars farther than 50"):
        moved_counts(fitted, field, (60.0,), mask=50.0)


@pytest.mark.parametrize("name", ["nonsense", "background"])
def test_the_control_of_no_component(fitted, field, name):
    with pytest.raises(ConfigError, match="no component"):
        moved_counts(fitted, field, (3.0,), component=name)
