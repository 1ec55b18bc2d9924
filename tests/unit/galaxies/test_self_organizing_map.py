from __future__ import annotations

import numpy as np
import pytest

from starloom.catalog.tables import read_table
from starloom.errors import CatalogError, ConfigError, MissingColumnError, ModelFileError
from starloom.galaxies.map_grid import Grid
from starloom.galaxies.photometric_features import Features
from starloom.galaxies.self_organizing_map import FittedSOM, SelfOrganizingMap

BANDS = ("u", "g", "r", "i")
ERRORS = tuple(f"{band}_err" for band in BANDS)


def galaxies(n=600, seed=1):
    rng = np.random.default_rng(seed)
    z, t = rng.uniform(size=(2, n))
    bends = {"u": 2 * z, "g": z * t, "r": 0.0 * z, "i": -np.sin(2 * z)}
    table = {band: 20 + bend + 0.02 * rng.standard_normal(n) for band, bend in bends.items()}
    return read_table(table | {name: np.full(n, 0.02) for name in ERRORS} | {"id": np.arange(n), "z": z})


@pytest.fixture(scope="module")
def fitted():
    return SelfOrganizingMap(Features(BANDS, ERRORS), Grid(8, 12), distance="errors").fit(galaxies(), seed=1)


def test_a_table_comes_back_with_cells(fitted):
    table = galaxies(seed=2)
    found = fitted.predict(table)
    assert found.colnames[: len(table.colnames)] == table.colnames
    assert (found["cell"] == found["cell_row"] * 12 + found["cell_column"]).all()
    assert (found["reason"] == "").all()
    assert np.median(found["cell_distance"]) < 5.0  # in units of the errors
    values = fitted.features.of(table)
    apart = ((values.values[:, None] - fitted.in_features) / values.errors[:, None]) ** 2
    np.testing.assert_array_equal(found["cell"], apart.sum(axis=2).argmin(axis=1))
    np.testing.assert_allclose(found["cell_distance"], np.sqrt(apart.mean(axis=2).min(axis=1)), rtol=1e-6)


def test_rows_keep_their_cells_in_any_order(fitted):
    table, order = galaxies(seed=2), np.random.default_rng(1).permutation(600)
    np.testing.assert_array_equal(fitted.assign(table)[order], fitted.assign(table[order]))


def test_a_missing_band_is_left_out_of_the_distance(fitted):
    table = galaxies(seed=3)
    table["u"][:50] = np.nan
    table["g_err"][50:60] = -1.0
    table["i"][60:70] = 99.0
    for band in BANDS:
        table[band][70:75] = np.nan
    found = fitted.predict(table)
    used = np.asarray(found["features_used"])
    assert set(used[:50]) == {2}
    assert set(used[50:60]) == {1}
    assert set(used[60:70]) == {2}
    assert set(found["reason"][70:75]) == {"no feature is measured"}
    assert set(found["cell"][70:75]) == {-1}
    assert np.isnan(found["cell_distance"][70:75]).all()
    # the reduced model: the same as a map that never had the band
    cells, values = fitted.in_features[:, 1:], fitted.features.of(table).values[:50, 1:]
    np.testing.assert_array_equal(found["cell"][:50], ((values[:, None] - cells) ** 2).sum(axis=2).argmin(axis=1))


def test_the_same_seed_gives_the_same_map_with_any_number_of_threads():
    for training in ("starloom", "online"):
        som = SelfOrganizingMap(Features(BANDS), Grid(6, 8), training)
        one, two = (som.fit(galaxies(), seed=3, workers=w) for w in (1, 2))
        np.testing.assert_array_equal(one.cells, two.cells)
    assert not np.array_equal(one.cells, som.fit(galaxies(), seed=4).cells)


def test_a_saved_map_assigns_as_before(fitted, tmp_path):
    fitted.save(tmp_path)
    again = FittedSOM.load(tmp_path)
    np.testing.assert_array_equal(again.assign(galaxies(seed=5)), fitted.assign(galaxies(seed=5)))
    assert again.quality == fitted.quality
    assert again.features == fitted.features


def test_folders_that_hold_no_map(fitted, tmp_path):
    with pytest.raises(ModelFileError, match=r"model\.json is missing"):
        FittedSOM.load(tmp_path)
    fitted.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelFileError, match="is not as it was saved"):
        FittedSOM.load(tmp_path)
    (tmp_path / "model.json").write_text('{"kind": "other"}')
    with pytest.raises(ModelFileError, match="of kind 'other'"):
        FittedSOM.load(tmp_path)
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(ModelFileError, match="of kind None"):
        FittedSOM.load(tmp_path)


def test_zero_errors_duplicates_and_a_constant_column_do_no_harm():
    table = galaxies()
    for name in ERRORS:
        table[name][:] = 0.0
    for band in BANDS:
        table[band][:300] = table[band][0]
    table["u"][:] = table["g"]  # the color u - g is 0 everywhere
    fitted = SelfOrganizingMap(Features(BANDS, ERRORS), Grid(5, 6), distance="errors", scaling="standard").fit(
        table, seed=1
    )
    assert np.isfinite(fitted.cells).all()
    assert any("constant" in note for note in fitted.notes)
    assert len(np.unique(fitted.assign(table)[:300])) == 1


def test_a_map_larger_than_its_table_one_row_and_one_pass():
    tiny = SelfOrganizingMap(Features(BANDS), Grid(20, 30)).fit(galaxies(40), seed=1)
    assert any("most cells are empty" in note for note in tiny.notes)
    assert np.isfinite(tiny.cells).all()
    for training in ("starloom", "online"):
        from starloom.galaxies.map_schedules import schedule

        one = SelfOrganizingMap(Features(BANDS), Grid(3, 4), schedule(training, passes=1)).fit(galaxies(1), seed=1)
        assert np.isfinite(one.cells).all()
        assert one.predict(galaxies(1))["cell"][0] >= 0
        assert one.quality.cells_occupied == 1


def test_weights_pull_the_map():
    table = galaxies()
    weights = np.where(np.asarray(table["z"]) > 0.8, 50.0, 0.02)
    plain, pulled = (
        SelfOrganizingMap(Features(BANDS), Grid(6, 8)).fit(table, seed=1, weights=w) for w in (None, weights)
    )
    high = table[np.asarray(table["z"]) > 0.8]
    assert pulled.measure(high).quantization_error < 0.8 * plain.measure(high).quantization_error
    for bad, words in ((weights[:-1], "as many weights"), (-weights, "row 0"), (0 * weights, "positive weight")):
        with pytest.raises(CatalogError, match=words):
            SelfOrganizingMap(Features(BANDS), Grid(6, 8)).fit(table, seed=1, weights=bad)


def test_tables_that_cannot_be_used(fitted):
    with pytest.raises(MissingColumnError, match="u"):
        fitted.predict(read_table({"g": [1.0]}))
    with pytest.raises(CatalogError, match="no rows"):
        fitted.predict(galaxies()[:0])
    lost = galaxies()
    for band in BANDS:
        lost[band][:] = np.inf
    with pytest.raises(CatalogError, match="no row of the training table is usable"):
        SelfOrganizingMap(Features(BANDS), Grid(5, 6)).fit(lost, seed=1)
    assert set(fitted.assign(lost)) == {-1}
    with pytest.raises(CatalogError, match="no row of the table is usable"):
        fitted.measure(lost)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bands": ("u", "u")}, "named twice"),
        ({"bands": ("u",)}, "at least two bands"),
        ({"bands": BANDS, "errors": ("u_err",)}, "need 4 errors"),
        ({"bands": BANDS, "kind": "colours"}, "not 'colours'"),
        ({"bands": BANDS, "kind": "colors_and_magnitude", "reference": "K"}, "'K' is none"),
        ({"bands": BANDS, "least": 4}, "least between 1 and 3"),
    ],
)
def test_features_that_make_no_sense(settings, words):
    with pytest.raises(ConfigError, match=words):
        Features(**settings)


def test_a_distance_in_errors_needs_errors():
    with pytest.raises(ConfigError, match="needs the columns of the errors"):
        SelfOrganizingMap(Features(BANDS), distance="errors")


def test_asinh_colors_take_negative_fluxes_and_keep_their_softening():
    rng = np.random.default_rng(1)
    fluxes = read_table(
        {b: rng.normal(1.0, 2.0, 200) for b in BANDS} | {e: np.full(200, 0.5 + k) for k, e in enumerate(ERRORS)}
    )
    fluxes["u"][:100] = 1e4  # bright: an asinh color is a plain one
    fluxes["g"][:100] = 1e3
    features = Features(BANDS, ERRORS, kind="asinh_colors")
    with pytest.raises(ConfigError, match="softening"):
        features.of(fluxes)
    fitted = SelfOrganizingMap(features, Grid(4, 5), distance="errors").fit(fluxes, seed=1)
    assert fitted.features.softening == (0.5, 1.5, 2.5, 3.5)
    values = fitted.features.of(fluxes).values
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[:100, 0], -2.5, atol=1e-5)
