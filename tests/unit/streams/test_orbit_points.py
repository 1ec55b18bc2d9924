"""Points of a stream: what is used, what is not and why, and the published long layout."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from starloom.errors import CatalogError, MissingColumnError, UnitError
from starloom.streams.orbit_points import COLUMNS, great_circle, stream_points
from starloom.streams.orbit_tables import points_from_measurements


def table(n=12):
    ra = np.linspace(10.0, 30.0, n)
    return QTable(
        {
            "ra": ra * u.deg,
            "dec": (0.3 * ra - 5.0) * u.deg,
            "distance": np.full(n, 20.0) * u.kpc,
            "distance_error": np.full(n, 1.0) * u.kpc,
            "pmra": np.full(n, 1.0) * u.mas / u.yr,
            "pmra_error": np.full(n, 0.1) * u.mas / u.yr,
            "pmdec": np.full(n, -1.0) * u.mas / u.yr,
            "pmdec_error": np.full(n, 0.1) * u.mas / u.yr,
        }
    )


def test_points_lie_along_their_great_circle_around_zero():
    points = stream_points(table(), "made")
    assert points.rows.shape == (12, len(COLUMNS))
    assert abs(points["phi1"][0] + points["phi1"][-1]) < 0.05
    assert np.abs(points["phi2"]).max() < 0.2
    assert (np.diff(points["phi1"]) >= 0).all()
    assert points.count("sky") == points.count("distance") == 12
    assert points.count("radial_velocity") == 0
    assert points.terms == 48
    assert points.without("distance").count("distance") == 0


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("distance", 0.0, "distance not positive"),
        ("distance", -3.0, "distance not positive"),
        ("distance_error", 0.0, "distance without a positive error"),
        ("distance_error", np.nan, "distance without a positive error"),
        ("pmra_error", -0.1, "pmra without a positive error"),
        ("dec", 95.0, "declination beyond 90 deg"),
        ("ra", np.nan, "no position"),
        ("ra", np.inf, "no position"),
    ],
)
def test_a_row_that_cannot_be_used_is_told(column, value, reason):
    made = table()
    made[column][3] = value * made[column].unit
    points = stream_points(made)
    assert points.reason[3] == reason
    assert (points.reason != "").sum() == 1
    assert len(points.rows) == 11


def test_missing_values_take_no_part():
    made = table()
    made["distance"][4] = np.nan * u.kpc
    assert stream_points(made).count("distance") == 11


@pytest.mark.parametrize("n", [1, 2])
def test_a_stream_with_one_or_two_points_is_refused(n):
    with pytest.raises(CatalogError, match="needs at least 3"):
        stream_points(table()[:n], "short")


def test_all_rows_bad_is_told_with_the_reasons():
    made = table()
    made["distance"][:] = -1.0 * u.kpc
    with pytest.raises(CatalogError, match="12 x distance not positive"):
        stream_points(made)


def test_empty_missing_column_and_wrong_unit():
    with pytest.raises(CatalogError):
        stream_points(table()[:0])
    made = table()
    del made["dec"]
    with pytest.raises(MissingColumnError, match="dec"):
        stream_points(made)
    made = table()
    made["distance"] = np.full(12, 20.0) * u.s
    with pytest.raises(UnitError, match="distance"):
        stream_points(made)


def test_great_circle_across_ra_zero_and_near_the_pole():
    frame = great_circle("wrap", np.array([355.0, 0.0, 5.0]), np.zeros(3))
    phi1, phi2 = frame.to_frame([355.0, 5.0], [0.0, 0.0])
    assert np.allclose(np.sort(phi1), [-5.0, 5.0])
    assert np.allclose(phi2, 0.0, atol=1e-9)
    ra, dec = np.array([0.0, 0.0, 180.0]), np.array([80.0, 89.0, 82.0])
    _, phi2 = great_circle("pole", ra, dec).to_frame(ra, dec)
    assert np.abs(phi2).max() < 1e-6


def on_circle(ra):
    return np.degrees(np.arctan(0.5 * np.sin(np.radians(ra))))  # a great circle through (0, 0)


def long_table():
    ra = np.linspace(10.0, 20.0, 6)
    rows = [("a", "dec", r, np.nan, on_circle(r), 0.3) for r in ra]
    rows += [("a", "pmra", ra[2], np.nan, 1.5, 0.1), ("a", "pmdec", 12.3, np.nan, -0.5, 0.1)]
    rows += [
        ("a", "dist", 8.0, np.nan, 22.0, 1.0),
        ("b", "dec", 50.0, 1.0, 1.0, 0.2),
        ("b", "dec", 51.0, 1.2, 1.2, 0.2),
    ]
    return QTable(rows=rows, names=["stream", "quantity", "ra_deg", "dec_deg", "value", "error"])


def test_measurements_without_declination_are_put_on_the_curve():
    wide = points_from_measurements(long_table())
    a = wide[np.asarray(wide["stream"]) == "a"]
    motion = np.isfinite(a["pmdec"].value)
    assert a["ra"].value[motion] == pytest.approx([12.3])
    assert a["dec"].value[motion] == pytest.approx([on_circle(12.3)], abs=0.005)
    assert np.isnan(a["sky_error"].value[motion]).all()  # it says where, it does not pull
    beyond = np.isfinite(a["distance"].value)
    assert a["dec"].value[beyond] == pytest.approx([on_circle(8.0)], abs=0.005)
    assert np.isfinite(a["sky_error"].value).sum() == 6


def test_unknown_quantity_and_missing_column_of_the_long_table():
    made = long_table()
    made["quantity"] = ["parallax", *made["quantity"][1:]]
    with pytest.raises(CatalogError, match="parallax"):
        points_from_measurements(made)
    made = long_table()
    del made["error"]
    with pytest.raises(MissingColumnError, match="error"):
        points_from_measurements(made)
