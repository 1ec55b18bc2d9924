"""Stars and settings at the edge of sense: zero errors, negative parallaxes, doubled ids, a stream that turns back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from astropy import units as u
from astropy.table import vstack

from starloom.catalog.tables import write_table
from starloom.errors import CatalogError, ConfigError, FitError, MissingColumnError
from starloom.streams.photometry import segment_density
from starloom.streams.stars import absent_columns
from starloom.streams.stream_completion import model_for
from starloom.streams.stream_file import StreamFile


@pytest.fixture(scope="module")
def table(field):
    """Every kind of measurement, with errors."""
    rng = np.random.default_rng(1)
    found = field.copy()
    found.rename_columns(["g_mean_psf_mag", "i_mean_psf_mag"], ["g_mag", "i_mag"])
    rows = len(found)
    for name, error, unit in (
        ("pmra", 0.2, u.mas / u.yr), ("pmdec", 0.2, u.mas / u.yr), ("g_mag", 0.03, u.mag), ("i_mag", 0.03, u.mag)
    ):  # fmt: skip
        found[f"{name}_error"] = np.full(rows, error) * unit
    found["parallax"] = rng.normal(0.1, 0.3, rows).clip(-1.4, 1.4) * u.mas
    found["parallax_error"] = np.full(rows, 0.3) * u.mas
    return found


@pytest.fixture(scope="module")
def fitted(make_model, parts, table):
    return make_model(parallax=(-1.5, 1.5), training=parts.TINY).fit(table, seed=1)


def test_a_star_in_the_table_twice(fitted, table):
    double = vstack([table[:300], table[5:6]])
    with pytest.raises(CatalogError, match=r"'source_id' are there more than once.*rows 5 and 300"):
        fitted.model.fit(double, seed=1)
    scored = fitted.predict(double)
    assert scored["p_stream"][5] == pytest.approx(scored["p_stream"][300], abs=1e-6), "scoring it twice does no harm"


def test_missing_ids_are_not_doubles(fitted, table):
    from astropy.table import MaskedColumn

    some = table[:300].copy()
    some["source_id"] = MaskedColumn(np.zeros(300, dtype=np.int64), mask=np.ones(300, dtype=bool))
    assert fitted.model.fit(some, seed=1).report["stars"] == 300


@pytest.mark.parametrize("rows", [1, 99])
def test_fewer_than_a_hundred_stars(fitted, table, rows):
    with pytest.raises(FitError, match=f"only {rows} stars can be used, 100 are needed"):
        fitted.model.fit(table[:rows], seed=1)


@pytest.mark.parametrize("name", ["pmra", "pmdec", "parallax", "g_mag", "i_mag"])
def test_an_error_of_zero_is_an_exact_value(fitted, table, name):
    some = table.copy()
    some[f"{name}_error"] = 0 * some[f"{name}_error"]
    stars = fitted.prepare(some)
    assert len(stars) == len(fitted.prepare(table))
    assert torch.isfinite(fitted.log_densities(stars)).all()


def test_errors_of_zero_on_a_sharp_isochrone(make_model, parts, table):
    some = table[:400].copy()
    for name in ("pmra", "pmdec", "parallax", "g_mag", "i_mag"):
        some[f"{name}_error"] = 0 * some[f"{name}_error"]
    sharp = replace(parts.population(), scatter=0.0)
    found = make_model(parallax=(-1.5, 1.5), photometry=sharp, training=parts.TINY).fit(some, seed=1)
    assert torch.isfinite(found.log_densities(found.prepare(some))).all()
    ends = (torch.tensor([18.0, 17.0]), torch.tensor([18.0, 17.0]))
    assert torch.isfinite(segment_density(torch.tensor([[18.0, 17.0]]), torch.zeros(1, 2), *ends, 0.0)).all()


def test_a_negative_parallax_is_a_measurement(fitted, table):
    """A distant star's parallax is as often below its mean as above: the density knows no difference."""
    modulus = fitted.curves_at("stream", [-45.0])[0, 0, -2]
    mean = 10.0 ** (2.0 - 0.2 * modulus)
    row = np.flatnonzero(np.isnan(table["g_mag"].value))[0]
    some = table[np.repeat(row, 2)].copy()
    some["ra"], some["dec"] = (value * u.deg for value in fitted.model.stream_frame.to_icrs([-45.0] * 2, [0.0] * 2))
    some["parallax"] = (mean + np.array([-0.4, 0.4])) * u.mas
    stars = fitted.prepare(some)
    assert len(stars) == 2
    log_p = fitted.log_densities(stars)[0, 0]
    assert float(log_p[0]) == pytest.approx(float(log_p[1]), abs=1e-3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pmra_error": -0.1}, "proper-motion covariance not valid"),
        ({"pmra_error": np.inf}, "proper-motion covariance not valid"),
        ({"pmra_pmdec_corr": 1.0}, "proper-motion covariance not valid"),
        ({"parallax_error": -0.1}, "parallax error not valid"),
        ({"parallax": 2.0}, "outside the parallax window"),
        ({"ra": np.nan}, "no position"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(fitted, table, change, reason):
    some = table[:3].copy()
    some["pmra_pmdec_corr"] = np.zeros(3)
    (name, value), *_ = change.items()
    values = np.array(getattr(some[name], "value", some[name]), dtype=float)
    values[1] = value
    some[name] = values * some[name].unit if some[name].unit is not None else values
    scored = fitted.predict(some)
    assert scored["reason"].tolist() == ["", reason, ""]
    assert np.isnan(scored["p_stream"][1])
    assert scored["features_used"][1] == 0


def test_a_star_outside_every_window_has_the_first_reason(fitted, table):
    some = table[:2].copy()
    ra, dec = fitted.model.stream_frame.to_icrs(60.0, 20.0)
    some["ra"][1], some["dec"][1], some["parallax"][1] = ra * u.deg, dec * u.deg, 9 * u.mas
    assert fitted.predict(some)["reason"].tolist() == ["", "outside the phi1 window"]


@pytest.mark.parametrize("points", [[[-60, 0], [-40, 1], [-50, 2]], [[-60, 0], [-60, 1]]])
def test_a_track_that_turns_back(table, points):
    file = StreamFile.of({"frame": "GD1Koposov10", "phi1": [-70, -20], "phi2": [-5, 5], "track": points})
    with pytest.raises(ConfigError, match=r"turns back in phi1.*one phi2 at each phi1"):
        model_for(file, table)


def test_columns_in_capitals_stay_and_can_be_written_as_fits(fitted, table, tmp_path):
    some = table[:200].copy()
    some["PHI1"], some["reason"] = np.zeros(200), "mine"
    found = fitted.predict(some)
    assert (found["given_PHI1"] == 0).all()
    assert (found["given_reason"] == "mine").all()
    write_table(found, tmp_path / "found.fits")


def test_a_table_without_magnitudes_is_judged_without_them(make_model, parts, table):
    """Where the photometry is selective, a star without it is not a star of a table that has none."""
    selective = replace(parts.population(), selective=True)
    model = make_model(photometry=selective, parallax=(-1.5, 1.5), training=parts.TINY)
    found = model.fit(table, seed=1)
    with torch.no_grad():  # members have photometry more often than not, the background seldom
        found.mixture.coverage.details[..., :-1] += 3.0
        found.mixture.coverage.details[..., -1] -= 3.0
    bare = table.copy()
    bare.remove_columns(["g_mag", "i_mag", "g_mag_error", "i_mag_error", "parallax", "parallax_error"])
    masked = table.copy()
    for name in ("g_mag", "i_mag", "parallax"):
        masked[name] = np.nan * masked[name]
    without, dark = (np.asarray(found.predict(some)["p_member"]) for some in (bare, masked))
    assert np.isfinite(without).all()
    assert (found.predict(bare)["features_used"] == 3).all()
    assert without.sum() > 1.5 * dark.sum(), "a star that was looked at and not seen is less of a member"
    assert absent_columns(model, bare) == ["parallax", "g_mag", "i_mag"]
    with pytest.raises(MissingColumnError, match="learns from parallax, g_mag, i_mag, which the table lacks"):
        model.fit(bare, seed=1)
    bare.remove_column("pmra")
    with pytest.raises(MissingColumnError, match=r"lacks pmra \(mas/yr\); where they were not measured, give the col"):
        found.predict(bare)
