"""A table made ready: what is used, what is not and why, in which units and order."""

from __future__ import annotations

from dataclasses import replace

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn, QTable

from starloom.catalog.tables import read_table
from starloom.errors import CatalogError, MissingColumnError, UnitError
from starloom.streams.configuration import Coordinate
from starloom.streams.stars import prepare as prepare_table

ROWS = 6
PM = (-7.5, -0.6)  # in the stream's frame


def table_of(parts, rows=ROWS, **changes):
    """Stars along phi2 = 0 in the middle of every window."""
    phi1 = np.linspace(-65, -25, rows)
    ra, dec = parts.FRAME.to_icrs(phi1, np.zeros(rows))
    pm = np.asarray(PM) + parts.FRAME.reflex(phi1, np.zeros(rows), np.full(rows, 8.0))
    pm = np.einsum("nji,nj->ni", parts.FRAME.turn(ra, dec), pm)
    columns = {
        "source_id": 4611686018427387905 + np.arange(rows),
        "ra": ra,
        "dec": dec,
        "pmra": pm[:, 0],
        "pmdec": pm[:, 1],
        "pmra_error": np.full(rows, 0.1),
        "pmdec_error": np.full(rows, 0.2),
        "pmra_pmdec_corr": np.full(rows, 0.3),
        "g_mag": np.full(rows, 18.0),
        "i_mag": np.full(rows, 17.5),
    }
    return {**columns, **changes}


@pytest.fixture
def model(make_model, parts):
    box = parts.proper_motion(polygon=None, system="stream")
    return make_model(proper_motion=box, parallax=(-1.0, 1.0), radial_velocity=Coordinate((-300.0, 300.0), (2.0, 30.0)))


def prepare(model, table):
    return prepare_table(model, read_table(table))


def changed(values, row, value):
    found = np.array(values, dtype=float)
    found[row] = value
    return found


def test_a_whole_table(model, parts):
    stars = prepare(model, table_of(parts))
    assert len(stars) == ROWS
    assert stars.rows.tolist() == list(range(ROWS))
    assert (stars.reasons == "").all()
    np.testing.assert_allclose(stars.phi1, np.linspace(-65, -25, ROWS), atol=1e-9)
    np.testing.assert_allclose(stars.phi2, 0.0, atol=1e-6)
    np.testing.assert_allclose(stars.pm, np.tile(PM, (ROWS, 1)), atol=1e-5)
    assert stars.pm_seen.all()
    assert stars.photometry_seen.all()
    assert stars.has_errors
    np.testing.assert_allclose(stars.magnitudes, [[18.0, 17.5]] * ROWS)


def test_the_covariance_is_turned_with_the_proper_motions(model, parts):
    stars = prepare(model, table_of(parts))
    covariance = np.array([[0.01, 0.006], [0.006, 0.04]])
    turn = stars.turn.double().numpy()
    expected = turn @ covariance @ np.swapaxes(turn, 1, 2)
    found = np.stack([stars.pm_covariance[:, k] for k in (0, 1, 1, 2)], axis=1).reshape(-1, 2, 2)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_without_errors_the_covariance_is_zero(model, parts):
    table = table_of(parts)
    for name in ("pmra_error", "pmdec_error", "pmra_pmdec_corr"):
        table.pop(name)
    stars = prepare(model, table)
    assert float(stars.pm_covariance.abs().max()) == 0.0
    assert not stars.has_errors
    assert len(stars) == ROWS


@pytest.mark.parametrize("name", ["pmra", "pmdec"])
@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_one_missing_proper_motion_hides_both(model, parts, name, missing):
    table = table_of(parts)
    table[name] = changed(table[name], 2, missing)
    stars = prepare(model, table)
    assert len(stars) == ROWS
    assert stars.pm_seen.tolist() == [True, True, False, True, True, True]
    assert np.isfinite(stars.pm.numpy()).all()


@pytest.mark.parametrize("name", ["g_mag", "i_mag"])
def test_one_missing_band_leaves_the_other(model, parts, name):
    table = table_of(parts)
    table[name] = changed(table[name], 1, np.nan)
    stars = prepare(model, table)
    assert len(stars) == ROWS
    assert stars.photometry_seen.all()
    place = ("g_mag", "i_mag").index(name)
    unlimited = np.isinf(stars.magnitude_errors.numpy())
    assert unlimited[1, place]
    assert unlimited.sum() == 1
    assert np.isfinite(stars.magnitudes.numpy()).all()


def test_both_missing_bands_hide_the_photometry(model, parts):
    table = table_of(parts)
    for name in ("g_mag", "i_mag"):
        table[name] = changed(table[name], 1, np.nan)
    stars = prepare(model, table)
    assert stars.photometry_seen.tolist() == [True, False, True, True, True, True]
    assert np.isfinite(stars.magnitudes.numpy()).all()


def test_a_single_band_has_its_own_window(model, parts):
    """i alone, with 12 < g < 23 and -0.7 < g - i < 2.8: it lies between 9.2 and 23.7."""
    table = table_of(parts)
    table["g_mag"] = np.full(ROWS, np.nan)
    table["i_mag"] = np.array([9.0, 9.3, 15.0, 23.6, 23.8, 20.0])
    assert (prepare(model, table).reasons != "").tolist() == [True, False, False, False, True, False]


def test_what_a_star_was_judged_by_is_counted(model, parts):
    table = table_of(parts, parallax=np.array([0.1, np.nan, 0.1, 0.1, 0.1, 0.1]), parallax_error=np.full(ROWS, 0.1))
    table["pmra"] = changed(table["pmra"], 2, np.nan)
    table["g_mag"] = changed(table["g_mag"], 3, np.nan)
    # phi2, two proper motions, parallax, two magnitudes; no velocity column
    assert prepare(model, table).features_used().tolist() == [6, 5, 4, 5, 6, 6]


@pytest.mark.parametrize("name", ["ra", "dec"])
@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_a_star_without_a_position(model, parts, name, missing):
    table = table_of(parts)
    table[name] = changed(table[name], 0, missing)
    stars = prepare(model, table)
    assert stars.reasons.tolist() == ["no position"] + [""] * (ROWS - 1)
    assert stars.rows.tolist() == [1, 2, 3, 4, 5]


def refused(stars):
    assert stars.rows.tolist() == [0, 1, 3, 4, 5]
    assert (stars.reasons[stars.rows] == "").all()
    return str(stars.reasons[2])


def test_stars_outside_the_windows(model, parts):
    base = table_of(parts)
    for phi1, phi2, reason in ((-71.0, 0.0, "phi1"), (-19.0, 0.0, "phi1"), (-40.0, 5.2, "phi2"), (-40.0, -6, "phi2")):
        ra, dec = parts.FRAME.to_icrs(phi1, phi2)
        table = {**base, "ra": changed(base["ra"], 2, ra), "dec": changed(base["dec"], 2, dec)}
        assert refused(prepare(model, table)) == f"outside the {reason} window"
    table = {**base, "pmra": changed(base["pmra"], 2, 30.0)}
    assert refused(prepare(model, table)) == "outside the proper-motion window"
    for magnitudes in ((11.0, 10.5), (24.0, 23.5), (18.0, 14.0), (18.0, 19.0)):
        g, i = (changed(base[name], 2, value) for name, value in zip(("g_mag", "i_mag"), magnitudes, strict=True))
        assert refused(prepare(model, {**base, "g_mag": g, "i_mag": i})) == "outside the photometric window"
    for name, value in (("parallax", 1.5), ("parallax", -2.0), ("radial_velocity", 400.0)):
        table = {**base, name: changed(np.zeros(ROWS), 2, value), f"{name}_error": np.full(ROWS, 0.1)}
        assert refused(prepare(model, table)) == f"outside the {name} window"


def test_the_edges_of_a_window_are_inside(model, parts):
    base = table_of(parts, rows=2)
    stars = prepare(model, {**base, "g_mag": np.array([12.0, 23.0]), "i_mag": np.array([12.7, 20.3])})
    assert (stars.reasons == "").all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"pmra_pmdec_corr": 1.0},
        {"pmra_pmdec_corr": -1.3},
        {"pmra_error": -0.1},
        {"pmdec_error": -0.1},
        {"pmra_error": np.nan},
    ],
)
def test_a_covariance_that_is_none(model, parts, wrong):
    base = table_of(parts)
    (name, value), *_ = wrong.items()
    stars = prepare(model, {**base, name: changed(base[name], 2, value)})
    assert refused(stars) == "proper-motion covariance not valid"
    assert np.isfinite(stars.pm_covariance.numpy()).all()


def test_a_missing_correlation_is_none(model, parts):
    base = table_of(parts)
    stars = prepare(model, {**base, "pmra_pmdec_corr": np.full(ROWS, np.nan)})
    assert len(stars) == ROWS
    assert float(stars.pm_covariance[0, 0] + stars.pm_covariance[0, 2]) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize("name", ["parallax", "radial_velocity"])
def test_a_negative_error(model, parts, name):
    table = table_of(parts, **{name: np.zeros(ROWS), f"{name}_error": changed(np.full(ROWS, 0.1), 2, -0.1)})
    assert refused(prepare(model, table)) == f"{name} error not valid"


@pytest.mark.parametrize("error", [np.nan, np.inf])
def test_a_value_without_an_error_is_not_taken_as_perfect(model, parts, error):
    table = table_of(parts, parallax=np.full(ROWS, 0.1), parallax_error=changed(np.full(ROWS, 0.1), 2, error))
    stars = prepare(model, table)
    kept = 2 in stars.rows.tolist() and bool(stars.scalar_seen["parallax"][stars.rows.tolist().index(2)])
    assert not kept, "the other stars' errors say that a missing one is not zero"


def test_a_negative_error_of_a_magnitude_is_not_used(model, parts):
    table = table_of(parts, g_mag_error=changed(np.full(ROWS, 0.02), 2, -0.5), i_mag_error=np.full(ROWS, 0.03))
    stars = prepare(model, table)
    np.testing.assert_allclose(stars.magnitude_errors[0], [0.02, 0.03])
    if 2 in stars.rows.tolist():
        floor, error, reference = model.photometry.errors
        expected = np.hypot(floor, error * 10 ** (0.3 * (18.0 - reference)))
        assert float(stars.magnitude_errors[2, 0]) == pytest.approx(expected, rel=1e-5)


def test_one_reason_a_row_and_the_order_of_the_table(model, parts):
    base = table_of(parts)
    order = np.array([4, 0, 5, 2, 1, 3])
    table = {name: values[order] for name, values in base.items()}
    table["pmra"] = changed(table["pmra"], [0, 4], 30.0)
    table["ra"] = changed(table["ra"], 4, np.nan)
    stars = prepare(model, table)
    assert stars.rows.tolist() == [1, 2, 3, 5]
    assert stars.reasons[[0, 4]].tolist() == ["outside the proper-motion window", "no position"]
    np.testing.assert_allclose(stars.phi1, np.linspace(-65, -25, ROWS)[order][stars.rows], atol=1e-9)


def test_the_polygon_in_icrs_is_held_against_what_was_observed(make_model, parts):
    model = make_model()
    inside = np.mean(parts.POLYGON, axis=0)
    table = table_of(parts)
    table["pmra"], table["pmdec"] = np.full(ROWS, inside[0]), np.full(ROWS, inside[1])
    table["pmra"][2] = -20.0
    assert refused(prepare(model, table)) == "outside the proper-motion window"


def test_units_are_converted(model, parts):
    plain = prepare(model, table_of(parts))
    table = QTable(table_of(parts))
    table["ra"] = (table["ra"] * u.deg).to(u.rad)
    table["dec"] = (table["dec"] * u.deg).to(u.arcmin)
    table["pmra"] = (table["pmra"] * u.mas / u.yr).to(u.arcsec / u.yr)
    table["pmdec"] = (table["pmdec"] * u.mas / u.yr).to(u.deg / u.Myr)
    stars = prepare(model, table)
    np.testing.assert_allclose(stars.phi1, plain.phi1, atol=1e-8)
    np.testing.assert_allclose(stars.pm, plain.pm, atol=1e-5)


def test_a_wrong_unit(model, parts):
    table = QTable(table_of(parts))
    table["pmra"] = table["pmra"] * u.km / u.s
    with pytest.raises(UnitError, match="pmra"):
        prepare(model, table)


def test_any_kind_of_table_gives_the_same(model, parts):
    base = table_of(parts)
    expected = prepare(model, base)
    masked = QTable(base)
    masked["pmra"] = MaskedColumn(base["pmra"], mask=[False, True, False, False, False, False])
    kinds = {"pandas": pd.DataFrame(base), "QTable": QTable(base)}
    for name, table in kinds.items():
        stars = prepare(model, table)
        assert np.array_equal(stars.pm.numpy(), expected.pm.numpy()), name
        assert np.array_equal(stars.phi1, expected.phi1), name
    assert prepare(model, masked).pm_seen.tolist() == [True, False, True, True, True, True]


def test_the_users_table_is_not_changed(model, parts):
    table = QTable(table_of(parts))
    table["pmra"][1], table["g_mag"][0] = np.nan, np.inf
    before = table.copy()
    prepare(model, table)
    assert table.colnames == before.colnames
    for name in table.colnames:
        np.testing.assert_array_equal(table[name], before[name])


@pytest.mark.parametrize("name", ["ra", "dec", "pmra", "pmdec"])
def test_a_missing_column(model, parts, name):
    table = table_of(parts)
    table.pop(name)
    with pytest.raises(MissingColumnError, match=name):
        prepare(model, table)


def test_a_model_without_proper_motions_needs_none(make_model, parts):
    table = table_of(parts)
    table.pop("pmra")
    stars = prepare(make_model(proper_motion=None), table)
    assert len(stars) == ROWS
    assert not stars.pm_seen.any()


def test_a_model_without_a_frame_takes_the_streams_own_coordinates(make_model, parts):
    bare = make_model(
        frame=None, proper_motion=parts.proper_motion(polygon=None, system="stream", reflex_distance=None)
    )
    table = {
        "phi1": np.array([-60.0, -40.0, -10.0]),
        "phi2": np.array([0.0, 1.0, 0.0]),
        "pm_phi1_cosphi2": np.array([-7.0, -7.5, -7.0]),
        "pm_phi2": np.array([-0.5, 8.0, -0.5]),
    }
    stars = prepare(bare, table)
    assert stars.reasons.tolist() == ["", "outside the proper-motion window", "outside the phi1 window"]
    np.testing.assert_allclose(stars.pm, [[-7.0, -0.5]])
    with pytest.raises(MissingColumnError, match="phi1"):
        prepare(bare, table_of(parts))


def test_an_empty_table(model, parts):
    with pytest.raises(CatalogError, match="no rows"):
        prepare(model, {name: values[:0] for name, values in table_of(parts).items()})


def test_text_where_numbers_are_needed(model, parts):
    with pytest.raises(CatalogError, match="pmra"):
        prepare(model, table_of(parts, pmra=np.array(["fast"] * ROWS)))


def test_all_missing(model, parts):
    table = {name: np.full(ROWS, np.nan) for name in table_of(parts) if name != "source_id"}
    stars = prepare(model, table)
    assert len(stars) == 0
    assert (stars.reasons == "no position").all()


def test_a_window_does_not_change_what_is_inside(model, parts):
    base = table_of(parts)
    narrow = replace(model, phi1=(-50.0, -20.0))
    stars, all_stars = prepare(narrow, base), prepare(model, base)
    np.testing.assert_array_equal(stars.pm, all_stars.pm[stars.rows])
