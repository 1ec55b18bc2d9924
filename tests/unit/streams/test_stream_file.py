"""The ten-line file: what it says, what is completed from the table, and what an error teaches."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom.catalog.tables import write_table
from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.streams.mock import isochrone
from starloom.streams.stream_completion import model_for, modulus
from starloom.streams.stream_file import StreamFile
from starloom.streams.tracks import ReferenceTrack

BASE = """
frame = "GD1Koposov10"
phi1 = [-70, -20]
phi2 = [-5, 5]
"""


def of(text=""):
    return StreamFile.of(tomllib.loads(BASE + text), "mine.toml")


@pytest.fixture
def ridge(tmp_path):
    """An isochrone file with the absolute magnitudes of the made field."""
    table = isochrone()
    g = np.asarray(table["mag_g"]) - 5.0 * np.log10(780.0)
    points = QTable({"g_mag": g[::4] * u.mag, "i_mag": (g - np.asarray(table["color_g_i"]))[::4] * u.mag})
    write_table(points, tmp_path / "ridge.ecsv")
    return tmp_path / "ridge.ecsv"


@pytest.fixture(scope="module")
def track():
    phi1 = np.linspace(-80.0, -10.0, 50)
    mean = {"phi2": 0.1 * np.sin(phi1 / 10.0), "pm_phi1_cosphi2": -13.0 + 0.02 * phi1, "pm_phi2": -3.0 + 0 * phi1}
    return ReferenceTrack("made", phi1, **mean, distance=np.full(50, 8.0))


def test_four_lines_are_a_model(field):
    model, notes = model_for(of(), field)
    assert model.stream_frame.name == "GD1Koposov10"
    assert model.phi1 == (-70.0, -20.0)
    assert model.proper_motion is not None
    assert model.proper_motion.wings, "no errors in this table"
    assert model.photometry is None
    assert model.distance is None
    text = " ".join(notes)
    assert "middle 98 %" in text
    assert "no errors" in text
    assert "Photometry is not used: it needs isochrone" in text


def test_every_feature(field, ridge, track):
    table = field.copy()
    for name in ("pmra_error", "pmdec_error"):
        table[name] = np.full(len(table), 0.1) * u.mas / u.yr
    table["parallax"] = np.full(len(table), 0.1) * u.mas
    table["radial_velocity"] = np.where(np.arange(len(table)) % 9, np.nan, -100.0) * u.km / u.s
    file = of(f'parallax = [-1, 1]\nradial_velocity = [-400, 400]\nisochrone = "{ridge}"\n[training]\nsteps = 7\n')
    model, notes = model_for(file, table, track)
    assert model.parallax == (-1.0, 1.0)
    assert model.radial_velocity.window == (-400.0, 400.0)
    assert model.photometry.bands == ("g_mag", "i_mag")
    assert model.training.steps == 7
    assert not model.proper_motion.wings
    low, high = model.distance.modulus
    assert (low, high) == pytest.approx(tuple(modulus([0.8 * 8.0, 1.25 * 8.0])), abs=0.01)
    assert np.diff(np.asarray(model.photometry.isochrone)[:, 0]).max() < 0.5
    assert model.photometry.isochrone[0][0] > model.photometry.isochrone[-1][0], "from faint to bright"
    guided = {guide.coordinate for guide in model.components[0].guides}
    assert guided == {"phi2", "pm_phi1_cosphi2", "pm_phi2", "distance_modulus"}
    assert model.components[0].start["pm_phi2"] == pytest.approx(-3.0)
    assert model.proper_motion.phi2.window == pytest.approx((-7.0, 1.0))
    assert any("around the track" in note for note in notes)


def test_windows_hold_the_table(field, ridge):
    model, _ = model_for(of(f'isochrone = "{ridge}"\ndistance = [6, 10]\n'), field)
    g = np.asarray(field["g_mean_psf_mag"].value)
    low, high = model.photometry.magnitude
    seen = np.isfinite(g)
    assert (g[seen] <= high).all()
    assert (g[seen] >= low).mean() > 0.999
    color = (g - np.asarray(field["i_mean_psf_mag"].value))[seen]
    low, high = model.photometry.colors[0]
    assert ((color > low) & (color < high)).mean() > 0.995


def test_features_leave_out(field, ridge):
    model, _ = model_for(of(f'features = ["photometry"]\nisochrone = "{ridge}"\ndistance = [6, 10]\n'), field)
    assert model.proper_motion is None
    assert model.photometry is not None


def test_written_windows_guides_and_the_model_table(field):
    text = "pm_phi1_cosphi2 = [-9, -4]\npm_phi2 = [-4, 2]\nreflex_distance = 8\ntrack = [[-25, 0], [-60, -0.5]]\n"
    model, _ = model_for(of(text + "guide = 2\n[model.phi2]\nscale = 2.5\n"), field)
    assert model.proper_motion.phi1.window == (-9.0, -4.0)
    assert model.proper_motion.reflex_distance == 8.0
    assert model.components[0].guides[0].phi1 == (-60.0, -25.0), "in the order of phi1"
    assert model.components[0].guides[0].half_width == (2.0, 2.0)
    assert model.phi2.scale == 2.5


def test_a_table_in_the_frame():
    table = QTable({"phi1": np.linspace(0, 10, 50) * u.deg, "phi2": np.zeros(50) * u.deg})
    model, notes = model_for(StreamFile.of({"phi1": [0, 10], "phi2": [-2, 2]}), table)
    assert model.frame is None
    assert "place on the sky alone" in " ".join(notes)


def test_a_frame_by_ends_or_pole():
    ends = StreamFile.of({"phi1": [0, 1], "phi2": [0, 1], "frame": {"ends": [[150, 30], [180, 50]]}})
    assert ends.stream_frame.to_frame(150.0, 30.0)[1] == pytest.approx(0.0, abs=1e-9)
    pole = StreamFile.of({"phi1": [0, 1], "phi2": [0, 1], "frame": {"pole": [34.6, 29.7], "origin": [160, 40]}})
    assert pole.stream_frame.to_frame(34.6, 29.7)[1] == pytest.approx(90.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("distence = [6, 10]", "no setting 'distence'; did you mean 'distance'"),
        ("[training]\nstep = 3", "no setting 'training.step'; did you mean 'steps'"),
        ("isochrone = {age = 12, feh = -1}", "no setting 'isochrone.feh'; did you mean 'fe_h'"),
        ("[query]\nruwee = 1", "no setting 'query.ruwee'; did you mean 'ruwe'"),
        ("width = [1, 0.1]", "width must be"),
        ("width = [1]", "width"),
        ("distance = [0, 10]", "positive"),
        ('features = ["colour"]', "'colour' is not one of proper_motion"),
        ('features = ["parallax"]', "write its window"),
        ('track = "Pal5"', "STREAM REFERENCE"),
        ('pm_phi2 = "wide"', "pm_phi2"),
        ("guide = -1", "guide"),
    ],
)
def test_a_wrong_setting_teaches(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        of(text)
    assert "mine.toml" in str(caught.value)
    assert "string" not in str(caught.value), "not the other half of a union"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"phi1": [0, 1]}, "phi2 is missing; write phi2 = "),
        ({"phi1": [1, 0], "phi2": [0, 1]}, "low < high"),
        ({"phi1": [0, 1], "phi2": [0, 1], "frame": "Gd1"}, "no stream frame 'Gd1'"),
        ({"phi1": [0, 1], "phi2": [0, 1], "frame": {"pole": [0, 0]}}, "origin"),
        ({"phi1": [0, 1], "phi2": [0, 1], "frame": {"ends": [[0, 0]]}}, "frame.ends"),
        ({"phi1": [0, 1], "phi2": [0, 1], "reflex_distance": 8}, "need the frame"),
    ],
)
def test_a_wrong_file_teaches(settings, message):
    with pytest.raises(ConfigError, match=message):
        StreamFile.of(settings)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        StreamFile.read(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("phi1 = [")
    with pytest.raises(ConfigError, match="not valid TOML"):
        StreamFile.read(tmp_path / "bad.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        StreamFile.read(tmp_path / "bytes.toml")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("parallax = [-1, 1]", MissingColumnError, "no parallax"),
        ("radial_velocity = [-1, 1]", MissingColumnError, "no radial_velocity"),
        ('bands = ["g_mag", "u_mag"]', MissingColumnError, "no u_mag.*its magnitudes: .*g_mag"),
        ('bands = ["g_mag", "i_mag"]', ConfigError, "photometry needs isochrone.*distance"),
        ('isochrone = "none.ecsv"\ndistance = [6, 10]', CatalogError, "does not exist"),
        ("[model]\nparalax = [0, 1]", ConfigError, "unknown paralax"),
    ],
)
def test_what_the_table_lacks_teaches(field, text, error, message):
    with pytest.raises(error, match=message):
        model_for(of(text), field)


def test_no_star_in_the_window(field):
    file = StreamFile.of({"frame": "GD1Koposov10", "phi1": [20, 30], "phi2": [-5, 5]})
    with pytest.raises(ConfigError, match=r"no star of the table is inside .* they lie at phi1 -70"):
        model_for(file, field)


def test_an_isochrone_too_faint_for_the_window(field, ridge):
    with pytest.raises(ConfigError, match="do not fit together"):
        model_for(of(f'isochrone = "{ridge}"\ndistance = [700, 900]\nmagnitude = [12, 20]\n'), field)


def test_a_track_beside_the_window(field, track):
    far = ReferenceTrack("far", track.phi1 + 200, track.phi2, track.pm_phi1_cosphi2, track.pm_phi2, track.distance)
    with pytest.raises(ConfigError, match="outside the window"):
        model_for(of(), field, far)


def test_a_track_without_motions_and_distance_guides_the_sky_alone(field, track):
    zero = np.zeros(50)
    model, _ = model_for(of(), field, ReferenceTrack("sky", track.phi1, track.phi2, zero, zero, zero))
    assert [guide.coordinate for guide in model.components[0].guides] == ["phi2"]
