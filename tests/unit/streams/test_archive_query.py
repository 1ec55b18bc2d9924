"""The archive query: what it asks for holds the window, and its answer is completed rightly."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table

from starloom.catalog import archive
from starloom.catalog.archive import Archive
from starloom.catalog.parallax_zero_point import parallax_zero_point
from starloom.catalog.tables import read_table
from starloom.cli import app as cli
from starloom.dynamics.stream_frames import StreamFrame
from starloom.errors import CatalogError, ConfigError
from starloom.stats.windows import ConvexPolygon
from starloom.streams import archive_query
from starloom.streams.stream_completion import model_for
from starloom.streams.stream_file import StreamFile

_SPEC = importlib.util.spec_from_file_location(
    "tap_stand_in", Path(__file__).parents[1] / "catalog" / "tap_stand_in.py"
)
tap_stand_in = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tap_stand_in)
SETTINGS = {
    "frame": "GD1Koposov10",
    "phi1": [-60.0, -56.0],
    "phi2": [-5.0, 6.0],
    "pm_phi1_cosphi2": [-15.0, -10.0],
    "pm_phi2": [-5.0, -1.0],
}
FILE = StreamFile.of(SETTINGS)
FRAME = StreamFrame.named("GD1Koposov10")


def field(count=3000, seed=1):
    """Stars as the archive has them, wider than the window."""
    rng = np.random.default_rng(seed)
    phi1, phi2 = rng.uniform(-62, -54, count), rng.uniform(-7, 8, count)
    ra, dec = FRAME.to_icrs(phi1, phi2)
    pm = np.stack([rng.uniform(-17, -8, count), rng.uniform(-7, 1, count)], axis=1)
    pm = np.einsum("nji,nj->ni", FRAME.turn(ra, dec), pm)
    table = Table({"source_id": 4611686018427387905 + np.arange(count)})
    for name, values, unit in (
        ("ra", ra, u.deg),
        ("dec", dec, u.deg),
        ("ecl_lat", rng.uniform(-80, 80, count), u.deg),
        ("parallax", rng.normal(0.1, 0.3, count), u.mas),
        ("parallax_error", np.full(count, 0.3), u.mas),
        ("pmra", pm[:, 0], u.mas / u.yr),
        ("pmra_error", rng.uniform(0.1, 0.4, count), u.mas / u.yr),
        ("pmdec", pm[:, 1], u.mas / u.yr),
        ("pmdec_error", rng.uniform(0.1, 0.4, count), u.mas / u.yr),
        ("pmra_pmdec_corr", rng.uniform(-0.6, 0.6, count), None),
        ("phot_g_mean_mag", rng.uniform(15, 20.5, count), u.mag),
        ("nu_eff_used_in_astrometry", rng.uniform(1.2, 1.8, count), None),
        ("pseudocolour", rng.uniform(1.25, 1.7, count), None),
    ):
        table[name] = values if unit is None else values * unit
    table["astrometric_params_solved"] = rng.choice([31, 95], count).astype(np.int16)
    for band in "grizy":
        mask = rng.random(count) < 0.3
        value = np.where(rng.random(count) < 0.05, -999.0, rng.uniform(15, 21, count))
        table[f"{band}_mean_psf_mag"] = MaskedColumn(value, mask=mask, unit=u.mag)
        table[f"{band}_mean_psf_mag_error"] = MaskedColumn(np.full(count, 0.02), mask=mask, unit=u.mag)
    return table


def inside(adql, table):
    """What the archive would give: the polygon (of great circles) and the boxes of a query."""
    corners = np.array(re.search(r"POLYGON\('ICRS', ([^)]+)\)", adql)[1].split(","), dtype=float).reshape(-1, 2)
    center = corners.mean(axis=0)
    plane = [_gnomonic(corners[:, 0], corners[:, 1], center), _gnomonic(table["ra"], table["dec"], center)]
    kept = ConvexPolygon(plane[0]).contains(*plane[1].T)
    for name, low, high in re.findall(r"g\.(\w+) BETWEEN (\S+) AND (\S+)", adql):
        if name in table.colnames:
            kept &= (np.asarray(table[name]) >= float(low)) & (np.asarray(table[name]) <= float(high))
    return table[kept]


def _gnomonic(ra, dec, center):
    """Great circles become straight lines."""
    a, d, a0, d0 = np.radians([np.asarray(ra), np.asarray(dec), *np.broadcast_arrays(center[0], center[1], ra)[:2]])
    cosine = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a - a0)
    x = np.cos(d) * np.sin(a - a0) / cosine
    return np.stack([x, (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(a - a0)) / cosine], axis=1)


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(archive, "FIRST_POLL", 0.01)
    stars = field()
    with tap_stand_in.StandIn(lambda adql: inside(adql, stars)) as running:
        running.stars = stars
        yield running


def wanted(stars):
    """Rows of the window itself."""
    phi1, phi2 = FRAME.to_frame(stars["ra"], stars["dec"])
    pm = np.stack([stars["pmra"], stars["pmdec"]], axis=1)
    pm = np.einsum("nij,nj->ni", FRAME.turn(stars["ra"], stars["dec"]), pm)
    kept = (phi1 >= -60) & (phi1 <= -56) & (phi2 >= -5) & (phi2 <= 6)
    kept &= (pm[:, 0] > -15) & (pm[:, 0] < -10) & (pm[:, 1] > -5) & (pm[:, 1] < -1)
    return set(np.asarray(stars["source_id"])[kept & (np.asarray(stars["parallax"]) < 1)].tolist())


@pytest.mark.parametrize("window", [(-5.0, 6.0), (3.0, 9.0), (-40.0, -30.0), (30.0, 45.0)])
@pytest.mark.parametrize("width", [0.5, 5.0, 20.0])
def test_a_strip_holds_its_window(window, width):
    rng = np.random.default_rng(2)
    phi1 = np.concatenate([rng.uniform(-10, -10 + width, 2000), np.repeat([-10, -10 + width], 500)])
    phi2 = rng.uniform(*window, 3000)
    phi2[:1000:2], phi2[1:1000:2] = window
    ra, dec = FRAME.to_icrs(phi1, phi2)
    file = StreamFile.of({"frame": "GD1Koposov10", "phi1": [-20, 20], "phi2": list(window)})
    adql = archive_query.query(file, (-10.0, -10.0 + width))
    assert len(inside(adql, Table({"ra": ra, "dec": dec}))) == 3000


@pytest.mark.parametrize("reflex", [None, 8.0])
def test_the_motion_box_holds_its_window(reflex):
    file = StreamFile.of({**SETTINGS, **({} if reflex is None else {"reflex_distance": reflex})})
    rng = np.random.default_rng(3)
    phi1, phi2 = rng.uniform(-60, -56, 4000), rng.uniform(-5, 6, 4000)
    pm = np.stack([rng.choice([-15.0, -10.0], 4000), rng.choice([-5.0, -1.0], 4000)], axis=1)
    if reflex is not None:
        pm = pm + FRAME.reflex(phi1, phi2, np.full(4000, reflex))
    ra, dec = FRAME.to_icrs(phi1, phi2)
    pm = np.einsum("nji,nj->ni", FRAME.turn(ra, dec), pm)
    table = Table({"ra": ra, "dec": dec, "pmra": pm[:, 0], "pmdec": pm[:, 1]})
    assert len(inside(archive_query.query(file, (-60.0, -56.0)), table)) == 4000


def test_the_query_reads_as_the_archive_wants_it():
    adql = archive_query.query(FILE, (-60.0, -59.0))
    assert "LEFT OUTER JOIN gaiadr3.panstarrs1_best_neighbour AS x ON g.source_id = x.source_id" in adql
    assert "LEFT OUTER JOIN gaiadr2.panstarrs1_original_valid AS p ON x.original_ext_source_id = p.obj_id" in adql
    assert "g.ruwe < 1.4" in adql
    assert "g.parallax BETWEEN -10 AND 1" in adql
    assert {"nu_eff_used_in_astrometry", "pmra_pmdec_corr", "r_mean_psf_mag_error"} <= set(re.findall(r"\w+", adql))
    loose = StreamFile.of({**SETTINGS, "query": {"ruwe": 2.0, "phot_g_mean_mag": [12, 20]}})
    assert "g.ruwe < 2\n" in archive_query.query(loose, (-60.0, -59.0))
    assert "g.phot_g_mean_mag BETWEEN 12 AND 20" in archive_query.query(loose, (-60.0, -59.0))
    bare = StreamFile.of({**SETTINGS, "query": {"ruwe": False, "parallax": False, "bp_rp": False}})
    assert not {"ruwe <", "parallax BETWEEN", "bp_rp BETWEEN"} & set(
        re.findall(r"(?:ruwe <|parallax BETWEEN|bp_rp BETWEEN)", archive_query.query(bare, (-60.0, -59.0)))
    )
    polygon = StreamFile.of({**SETTINGS, "pm_polygon": [[-7, -15], [-2, -14], [-5, -10]]})
    assert "g.pmra BETWEEN -7 AND -2" in archive_query.query(polygon, (-60.0, -59.0))


def test_strips():
    found = archive_query.pieces(FILE)
    assert len(found) == 4
    assert len({piece.file_name for piece in found}) == 4
    first, second = found[0].halves()
    assert (first.name, second.name) == ("phi1_-60.0000_-59.5000", "phi1_-59.5000_-59.0000")
    with pytest.raises(ConfigError, match="too wide"):
        archive_query.query(FILE, (-60.0, 60.0))
    with pytest.raises(ConfigError, match="needs the stream's frame"):
        archive_query.pieces(StreamFile.of({"phi1": [0, 1], "phi2": [0, 1]}))


@pytest.mark.parametrize("jobs", [True, False], ids=["jobs", "synchronous"])
def test_a_download_is_the_window_each_star_once(service, tmp_path, jobs):
    client = Archive(service.url, asynchronous=jobs, pause=0.01)
    service.faults = [503, "truncated"]
    found = archive_query.download(FILE, tmp_path / "stars.parquet", archive=client, reddening=lambda ra, dec: 0 * ra)
    table = read_table(found.path)
    ids = np.asarray(table["source_id"])
    assert len(np.unique(ids)) == len(ids) == found.rows
    assert wanted(service.stars) == set(ids.tolist())
    assert (table["phi1"].value >= -60).all()
    assert (table["phi1"].value <= -56).all()
    assert found.notes == ()
    assert [path.name for path in tmp_path.iterdir()] == ["stars.parquet"]
    model, _ = model_for(FILE, table)
    assert not model.proper_motion.wings, "errors are there"


def test_an_overflow_gives_the_same_stars(service, tmp_path):
    client = Archive(service.url, asynchronous=False)
    whole = read_table(archive_query.download(FILE, tmp_path / "a.parquet", archive=client).path)
    service.limit = 100
    split = read_table(archive_query.download(FILE, tmp_path / "b.parquet", archive=client).path)
    assert sorted(whole["source_id"]) == sorted(split["source_id"])


def test_a_failed_download_goes_on(service, tmp_path):
    client = Archive(service.url, asynchronous=False, attempts=1)
    service.faults = [None, None, 503]
    with pytest.raises(LookupError):
        archive_query.download(FILE, tmp_path / "stars.parquet", archive=client)
    assert not (tmp_path / "stars.parquet").exists()
    archive_query.download(FILE, tmp_path / "stars.parquet", archive=client)
    assert len(service.asked) == 5, "two answers were kept"


def test_no_star_in_the_window(service, tmp_path):
    service.stars = service.stars[:0]
    service.answer = lambda adql: field()[:0]
    with pytest.raises(CatalogError, match="no star in this window"):
        archive_query.download(FILE, tmp_path / "x.parquet", archive=Archive(service.url, asynchronous=False))


# ------------------------------------------------------------------------------------------------------- completion


@pytest.fixture(scope="module")
def raw():
    return read_table(field(400))


def test_the_zero_point_is_taken_off(raw):
    table, notes = archive_query.complete(FILE, raw)
    names = ("phot_g_mean_mag", "nu_eff_used_in_astrometry", "pseudocolour", "ecl_lat", "astrometric_params_solved")
    offset = parallax_zero_point(*(getattr(raw[name], "value", raw[name]) for name in names))
    np.testing.assert_allclose(table["parallax"].value, raw["parallax"].value - offset)
    np.testing.assert_array_equal(table["parallax_uncorrected"].value, raw["parallax"].value)
    assert np.abs(offset).max() > 0.02
    assert any("not corrected for dust" in note for note in notes)
    with pytest.raises(CatalogError, match="taken off before"):
        archive_query.complete(FILE, table)
    short = raw.copy()
    short.remove_column("ecl_lat")
    with pytest.raises(CatalogError, match="ecl_lat"):
        archive_query.complete(FILE, short)


def test_parallaxes_outside_the_calibration_are_told(raw):
    table = raw.copy()
    table["phot_g_mean_mag"][:7] = 21.5 * u.mag
    found, notes = archive_query.complete(FILE, table)
    assert any(note.startswith("7 parallaxes keep their zero point") for note in notes)
    np.testing.assert_array_equal(found["parallax"].value[:7], raw["parallax"].value[:7])


def test_the_covariance_is_turned_as_draws_are(raw):
    table, _ = archive_query.complete(FILE, raw)
    rng = np.random.default_rng(5)
    for row in (0, 17, 200):
        a, b = raw["pmra_error"][row].value, raw["pmdec_error"][row].value
        covariance = np.array([[a**2, raw["pmra_pmdec_corr"][row] * a * b], [0.0, b**2]])
        covariance[1, 0] = covariance[0, 1]
        turn = FRAME.turn(raw["ra"][row].value, raw["dec"][row].value)
        draws = rng.multivariate_normal([0, 0], covariance, 40_000) @ turn.T
        # forty thousand draws: five standard errors
        assert table["pm_phi1_cosphi2_error"][row].value == pytest.approx(draws[:, 0].std(), rel=0.018)
        assert table["pm_phi2_error"][row].value == pytest.approx(draws[:, 1].std(), rel=0.018)
        correlation = np.corrcoef(draws.T)[0, 1]
        assert table["pm_phi1_cosphi2_pm_phi2_corr"][row] == pytest.approx(correlation, abs=0.025)


def test_in_the_frame_is_as_from_the_sky(raw):
    """A model of the completed table in its own coordinates judges the stars as one of the sky does."""
    from starloom.streams.stars import prepare

    table, _ = archive_query.complete(FILE, raw)
    sky, _ = model_for(FILE, table)
    frame, _ = model_for(StreamFile.of({name: value for name, value in SETTINGS.items() if name != "frame"}), table)
    one, other = prepare(sky, table), prepare(frame, table)
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_allclose(one.pm, other.pm, atol=1e-4)
    np.testing.assert_allclose(one.pm_covariance, other.pm_covariance, atol=1e-6)


@pytest.mark.parametrize(("unit", "coefficient"), [("sfd", 3.172), ("bayestar19", 3.518)])
def test_dust(raw, unit, coefficient):
    rng = np.random.default_rng(6)
    ebv, error = rng.uniform(0, 0.2, len(raw)), np.full(len(raw), 0.01)
    ebv[:5] = np.nan
    table, notes = archive_query.complete(FILE, raw, reddening=lambda ra, dec: (ebv, error), reddening_unit=unit)
    observed = raw["g_mean_psf_mag"].value
    missing = ~(observed > 0) | np.isnan(ebv)
    np.testing.assert_array_equal(np.isnan(table["g_mag"].value), missing)
    seen = ~missing
    np.testing.assert_allclose(table["g_mag"].value[seen], (observed - coefficient * ebv)[seen])
    np.testing.assert_allclose(table["g_mag_error"].value[seen], np.hypot(0.02, coefficient * 0.01))
    assert any(note.startswith("5 stars have no reddening") for note in notes)


def test_reddening_as_a_column(raw):
    table = raw.copy()
    table["ebv"], table["ebv_error"] = np.full(len(raw), 0.1), np.full(len(raw), 0.02)
    found, notes = archive_query.complete(FILE, table)
    again, _ = archive_query.complete(FILE, raw, reddening=lambda ra, dec: (0.1 + 0 * ra, 0.02 + 0 * ra))
    np.testing.assert_array_equal(found["i_mag"].value, again["i_mag"].value)
    assert notes == []


@pytest.mark.parametrize(
    ("reddening", "message"),
    [
        (lambda ra, dec: np.zeros(3), "shape"),
        (lambda ra, dec: 0 * ra - 0.1, "negative"),
        (lambda ra, dec: 0 * ra + np.inf, "infinite"),
    ],
)
def test_a_wrong_reddening(raw, reddening, message):
    with pytest.raises(ConfigError, match=message):
        archive_query.complete(FILE, raw, reddening=reddening)
    with pytest.raises(ConfigError, match="unit of 'ccm'"):
        archive_query.complete(FILE, raw, reddening=lambda ra, dec: 0 * ra, reddening_unit="ccm")


# ---------------------------------------------------------------------------------------------------- command line

TEXT = """
frame = "GD1Koposov10"
phi1 = [-60, -56]
phi2 = [-5, 6]
pm_phi1_cosphi2 = [-15, -10]
pm_phi2 = [-5, -1]
"""


@pytest.fixture
def starloom(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(TEXT)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["starloom", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        text = capsys.readouterr()
        return end.value.code, text.out, text.err

    return call


def test_the_query_on_the_command_line(starloom, service, tmp_path):
    status, out, err = starloom("streams", "query", "mine.toml", "-o", "stars.parquet", "--archive", service.url)
    assert status == 0
    assert out.endswith("table: stars.parquet\n")
    assert "not corrected for dust" in err
    assert isinstance(read_table(tmp_path / "stars.parquet"), QTable)


def test_adql_only(starloom, tmp_path):
    status, out, _ = starloom("streams", "query", "mine.toml", "--adql-only")
    assert status == 0
    assert out.count("SELECT") == 4
    status, out, _ = starloom("streams", "query", "mine.toml", "--adql-only", "-o", "query.adql")
    assert out == ""
    assert (tmp_path / "query.adql").read_text().count("SELECT") == 4


def test_bad_words(starloom, service):
    status, _, err = starloom("streams", "query", "mine.toml")
    assert status == 2
    assert "Say -o stars.parquet" in err
    status, _, err = starloom("streams", "query", "mine.toml", "-o", "x.parquet", "--reddening", "none.fits")
    assert status == 2
    assert "none.fits" in err
    service.faults = ["refused"]
    status, _, err = starloom("streams", "query", "mine.toml", "-o", "x.parquet", "--archive", service.url)
    assert status == 2
    assert "unknown column" in err
