"""``starloom galaxies`` on a folder of images with a table of labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from starloom.catalog.tables import read_table, write_table
from starloom.cli.app import app
from starloom.errors import CatalogError, ConfigError, ModelFileError, StarloomError
from starloom.galaxies.image_model import ImageModel

COUNT = 24
SMALL = "--size 32 --gray --encoder convnext_speck"


def run(line):
    done = CliRunner().invoke(app, ["galaxies", *line.split()])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("galaxies")
    (folder / "images").mkdir()
    rng = np.random.default_rng(1)
    for row in range(COUNT):
        period = 4 if row % 2 else 16
        values = np.where(np.arange(40) % period < period / 2, 60, 190) + rng.integers(0, 30, (40, 40))
        Image.fromarray(values.astype(np.uint8)).save(folder / "images" / f"{1000 + row}.jpg", quality=95)
    (folder / "images" / "9999.jpg").write_bytes(b"broken")
    ids = 1000 + np.arange(COUNT + 1)  # one label has no image
    yes = np.where(np.arange(COUNT + 1) % 2, 35.5, 3.0)
    labels = {
        "objid": ids, "striped": np.where(np.arange(COUNT + 1) % 2, "narrow", "wide"), "ring_yes": yes,
        "ring_no": 40 - yes, "fraction": yes / 40,
    }  # fmt: skip
    write_table(labels, folder / "labels.csv")
    out = run(
        f"finetune {folder}/images -o {folder}/model --labels {folder}/labels.csv --column striped {SMALL} --seed 1"
    )
    assert f"{COUNT} images with a row of labels, 1 without; 1 rows without an image" in out
    assert f"{COUNT} of {COUNT} images used" in out
    return folder


def test_predictions_of_a_folder(folder, tmp_path):
    out = run(f"predict {folder}/model {folder}/images -o {tmp_path}/answers.csv --views 2")
    assert f"{COUNT + 1} rows, 1 of them with a reason" in out
    table = read_table(tmp_path / "answers.csv")
    right = np.where(np.arange(COUNT) % 2, "narrow", "wide")
    assert (np.asarray(table["class"][:COUNT]) == right).mean() > 0.9
    assert "no picture" in table["reason"][COUNT]


def test_features_by_a_model_and_by_an_encoder(folder, tmp_path):
    out = run(f"embed {folder}/model {folder}/images -o {tmp_path}/f.parquet")
    assert "25 rows with 96 features, 1 of them without" in out
    out = run(f"embed resnet_speck {folder}/images -o {tmp_path}/g.parquet --size 40 --workers 1")
    assert "80 features" in out
    assert np.isfinite(np.asarray(read_table(tmp_path / "g.parquet")["feature_79"][:COUNT])).all()


def test_votes_by_deep_training(folder, tmp_path):
    out = run(
        f"finetune {folder}/images -o {tmp_path}/votes --labels {folder}/labels.csv --schema rings --parts -1 "
        f"--epochs 2 --batch 8 {SMALL}"
    )
    assert "training: 2 epochs" in out
    answers = ImageModel.load(tmp_path / "votes").predict(folder / "images")
    assert {"ring_yes_fraction", "ring_no_concentration", "ring_yes_probability"} <= set(answers.colnames)
    assert not list(tmp_path.glob(".*"))
    own = tmp_path / "schema.json"
    own.write_text(json.dumps({"questions": [{"name": "ring", "answers": ["yes", "no"]}]}))
    run(f"finetune {folder}/images -o {tmp_path}/own --labels {folder}/labels.csv --schema {own} {SMALL}")
    own.write_text("no json")
    with pytest.raises(ConfigError, match="no schema"):
        run(f"finetune {folder}/images -o {tmp_path}/own --labels {folder}/labels.csv --schema {own} {SMALL}")


def test_numbers(folder, tmp_path):
    labels = f"--labels {folder}/labels.csv --column fraction --unit-interval"
    run(f"finetune {folder}/images -o {tmp_path}/m {labels} {SMALL}")
    values = ImageModel.load(tmp_path / "m").predict(folder / "images")["predicted_fraction"]
    assert np.isnan(values[COUNT])
    assert ((values[:COUNT] > 0) & (values[:COUNT] < 1)).all()


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("finetune {0}/images -o {1}/m --column striped", CatalogError, "lack the column 'striped'"),
        ("finetune {0}/images -o {1}/m --labels {0}/labels.csv --column kind", CatalogError, "lack the column 'kind'"),
        ("finetune {0}/images -o {1}/m --labels {0}/labels.csv --column striped,fraction", ConfigError, "one column"),
        ("finetune {0}/images -o {1}/m --labels {0}/labels.csv --schema gz9", ConfigError, "no campaign"),
        ("finetune {0}/images -o {1}/m --labels {0}/absent.csv", CatalogError, "does not exist"),
        ("finetune {0}/images -o {1}/m --labels {0}/labels.csv --column striped --encoder nothing", ConfigError,
         "no encoder is called"),
        ("predict {0}/nothing {0}/images -o {1}/a.csv", ModelFileError, "no saved model"),
        ("predict {0}/model {0}/nothing -o {1}/a.csv", CatalogError, "does not exist"),
        ("predict {0}/model {0}/images -o {1}/a.doc", CatalogError, "unknown kind of table"),
        ("predict {0}/model {0}/images -o {1}/a.csv --passes 3", ConfigError, "without dropout"),
        ("embed {0}/labels.csv {0}/images -o {1}/a.csv", StarloomError, "cannot be read"),
    ],
)  # fmt: skip
def test_wrong_words_are_said(folder, tmp_path, line, error, message):
    with pytest.raises(error, match=message):
        run(line.format(folder, tmp_path))
