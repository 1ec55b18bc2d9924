import numpy as np
import pytest
from PIL import Image

from starloom.catalog.tables import read_table, write_table
from starloom.errors import CatalogError, ConfigError
from starloom.galaxies import image_catalogs
from starloom.galaxies.finetune import fit
from starloom.galaxies.image_catalogs import embed_file, features_of, match_labels, predict_file
from starloom.galaxies.image_sources import image_source
from starloom.galaxies.images import ImageForm
from starloom.galaxies.similarity import anomaly_scores, most_similar, principal_components
from starloom.galaxies.tasks import Classification

COUNT = 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    for row in range(COUNT):
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(path / f"g{row:03d}.png")
    (path / "g007.png").write_bytes(b"broken")
    return path


@pytest.fixture(scope="module")
def model():
    images = np.random.default_rng(2).random((20, 1, 32, 32), dtype=np.float32)
    return fit(images, np.arange(20) % 2, Classification([0, 1]), encoder="convnext_speck", seed=1)


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(image_catalogs, "PART", 64)


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.fits"])
def test_every_row_comes_back_in_every_format(folder, model, tmp_path, small_parts, name):
    source = image_source(folder)
    counts = predict_file(model, source, tmp_path / name, workers=2)
    assert counts == {"rows": COUNT, "unusable": 1, "resumed": 0}
    table = read_table(tmp_path / name)
    assert list(table["id_str"]) == source.ids.tolist()
    expected = model.predict(source)
    assert np.asarray(table["probability_1"]) == pytest.approx(np.asarray(expected["probability_1"]), nan_ok=True)
    assert "no picture" in table["reason"][7]
    assert not list(tmp_path.glob(".*"))


def test_an_interrupted_prediction_goes_on(folder, model, tmp_path, small_parts, monkeypatch):
    source = image_source(folder)
    whole = tmp_path / "whole.parquet"
    predict_file(model, source, whole)
    out = tmp_path / "out.parquet"
    real, calls = image_catalogs.write_table, []

    def failing(table, path):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(table, path)

    monkeypatch.setattr(image_catalogs, "write_table", failing)
    with pytest.raises(KeyboardInterrupt):
        predict_file(model, source, out)
    assert not out.exists()
    monkeypatch.setattr(image_catalogs, "write_table", real)
    # other settings begin anew, the same ones go on
    assert predict_file(model, source, out)["resumed"] == 128
    one, other = read_table(whole), read_table(out)
    assert one.colnames == other.colnames
    for name in one.colnames:
        pair = [np.ma.filled(table[name], 0) for table in (one, other)]
        assert np.array_equal(*pair, equal_nan=name.startswith("probability")), name
    with pytest.raises(CatalogError, match="unknown kind of table"):
        predict_file(model, source, tmp_path / "out.docx")


def test_features_of_a_catalog(folder, model, tmp_path, small_parts):
    source = image_source(folder)
    form = ImageForm(size=32, channels=1)
    embed_file(model.encoder, source, form, tmp_path / "f.parquet")
    features = features_of(read_table(tmp_path / "f.parquet"))
    assert features.shape == (COUNT, 96)
    assert np.isnan(features[7]).all()
    assert np.array_equal(features, model.embed(source), equal_nan=True)
    with pytest.raises(CatalogError, match="feature_0"):
        features_of(read_table({"a": [1]}))


def test_a_catalog_keeps_its_own_columns(folder, model, tmp_path):
    big = 4611686018427387905
    files = np.array(["g001.png", "g002.png"])
    write_table({"galaxy_id": [big, 3], "file": files, "z": [0.1, np.nan]}, folder / "c.csv")
    predict_file(model, image_source(folder / "c.csv"), tmp_path / "out.parquet")
    (folder / "c.csv").unlink()
    table = read_table(tmp_path / "out.parquet")
    assert table.colnames[:3] == ["galaxy_id", "file", "z"]
    assert int(table["galaxy_id"][0]) == big
    assert "id" not in table.colnames


def test_labels_find_their_images(folder):
    source = image_source(folder)
    labels = read_table({"galaxy": np.array(["g002.png", "g001", "other"]), "label": [1, 0, 1]})
    matched, rows, counts = match_labels(source, labels, "galaxy")
    assert matched.ids.tolist() == ["g001", "g002"]
    assert rows["label"].tolist() == [0, 1]
    assert counts == {"matched": 2, "images_without_label": COUNT - 2, "labels_without_image": 1}
    for table, ids, message in (
        ({"a": [1]}, None, "of ids"), ({"a": [1]}, "b", "'b'"), ({"id": [1]}, None, "no image has a row"),
        ({"id": np.array(["g001", "g001"])}, None, "more than once"),
    ):  # fmt: skip
        with pytest.raises(CatalogError, match=message):
            match_labels(source, read_table(table), ids)


def test_numbers_match_names_of_files(tmp_path):
    for number in (587722, 42):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / f"{number}.jpg")
    labels = read_table({"objid": np.array([42, 587722], dtype=np.int64), "label": [5, 6]})
    assert match_labels(image_source(tmp_path), labels)[1]["label"].tolist() == [5, 6]


def test_components_are_those_of_a_decomposition():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(200, 3)) @ np.diag([5.0, 1.0, 0.1]) @ np.linalg.qr(rng.normal(size=(3, 3)))[0] + 4.0
    found = principal_components(values, 2)
    _, singular, axes = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    assert found.scatter == pytest.approx(singular[:2] / np.sqrt(199))
    assert np.abs((found.axes * axes[:2]).sum(axis=1)) == pytest.approx(1.0)
    assert found.apply(values, whiten=True).std(axis=0, ddof=1) == pytest.approx(1.0)
    assert found.share == pytest.approx((singular[:2] ** 2).sum() / (singular**2).sum())
    values[3, 1] = np.nan
    assert np.isnan(principal_components(values, 2).apply(values)[3]).all()


def test_the_most_similar_and_the_strangest_are_found():
    rng = np.random.default_rng(4)
    centers = rng.normal(size=(3, 8)) * 5
    values = np.repeat(centers, 40, axis=0) + rng.normal(size=(120, 8))
    values[7] = np.nan
    values[100] = 40.0
    rows, cosines = most_similar(values, np.array([3, 50]), 5)
    assert (rows[0] < 40).all()
    assert ((rows[1] >= 40) & (rows[1] < 80)).all()
    assert 3 not in rows[0]
    assert 7 not in rows
    assert (np.diff(cosines, axis=1) <= 0).all()
    again, _ = most_similar(values, values[[3]], 6)
    assert again[0, 0] == 3  # its own vector finds itself
    scores = anomaly_scores(values, neighbors=5, components=4)
    assert np.nanargmax(scores) == 100
    assert np.isnan(scores[7])
    assert np.nanmedian(scores) == pytest.approx(1.0, abs=0.05)


def test_wrong_features_are_refused():
    values = np.random.default_rng(5).normal(size=(10, 4))
    with pytest.raises(CatalogError, match="rows have features"):
        anomaly_scores(values, neighbors=10)
    with pytest.raises(CatalogError, match=r"\(n, d\)"):
        principal_components(values[0])
    with pytest.raises(CatalogError, match="no row 12"):
        most_similar(values, np.array([12]))
    with pytest.raises(CatalogError, match="must be finite"):
        most_similar(values, np.zeros((1, 3)))
    with pytest.raises(ConfigError, match="neighbors"):
        most_similar(values, np.array([1]), 10)
    with pytest.raises(ConfigError, match="one component"):
        principal_components(values, 0)


def test_a_column_that_the_format_cannot_hold_is_said_before_the_work(folder, model, tmp_path, monkeypatch):
    table = {"galaxy_id": [1, 2], "file": np.array(["g001.png", "g002.png"]), "profile": np.ones((2, 3))}
    write_table(table, tmp_path / "c.parquet")
    source = image_source(tmp_path / "c.parquet", root=folder)

    def working(*_, **__):
        raise AssertionError("began to work")

    monkeypatch.setattr(type(model), "predicted_batches", working)
    with pytest.raises(CatalogError, match="profile"):
        predict_file(model, source, tmp_path / "out.csv")
