"""Saved models: what is damaged is refused, whatever and wherever the damage is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from starloom.errors import ModelFileError
from starloom.saved_models import NUMBERS, SETTINGS, load_model, save_model

ARRAYS = {"weight": np.arange(40.0).reshape(8, 5), "names": np.array([3, 1, 2]), "empty": np.empty((0, 3))}
CONTENT = {"rate": 0.1, "name": "π", "list": [1, None, 2.5e-7], "nested": {"b": 1, "a": True}}


def save(folder):
    return save_model(folder / "model", "toy", CONTENT, ARRAYS)


def test_round_trip(tmp_path):
    settings, arrays = load_model(save(tmp_path), "toy")
    assert settings == CONTENT
    for name, values in ARRAYS.items():
        assert np.array_equal(arrays[name], values)
        assert arrays[name].dtype == values.dtype


@pytest.mark.parametrize("name", [NUMBERS, SETTINGS])
def test_every_flipped_bit_is_noticed(tmp_path, name):
    """A flip may leave the JSON as it was only in white space."""
    path = save(tmp_path) / name
    content = bytearray(path.read_bytes())
    for place in range(0, len(content), 3):
        for bit in (0, 6):
            content[place] ^= 1 << bit
            path.write_bytes(content)
            try:
                settings, arrays = load_model(path.parent, "toy")
            except ModelFileError:
                pass
            else:
                assert settings == CONTENT
                assert all(np.array_equal(arrays[key], values) for key, values in ARRAYS.items())
                assert name == SETTINGS
            content[place] ^= 1 << bit


@pytest.mark.parametrize("name", [NUMBERS, SETTINGS])
@pytest.mark.parametrize("keep", [0, 1, 50, -1])
def test_a_file_cut_short(tmp_path, name, keep):
    path = save(tmp_path) / name
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    if name == SETTINGS and keep == -1:  # the last byte is the end of the line
        assert load_model(path.parent, "toy")[0] == CONTENT
        return
    with pytest.raises(ModelFileError):
        load_model(path.parent, "toy")


def test_files_of_two_models(tmp_path):
    first = save(tmp_path)
    second = save_model(tmp_path / "second", "toy", CONTENT, {"weight": np.zeros(3)})
    (first / NUMBERS).write_bytes((second / NUMBERS).read_bytes())
    with pytest.raises(ModelFileError, match="belong to two models"):
        load_model(first, "toy")


def test_without_a_checksum_the_files_are_refused(tmp_path):
    path = save(tmp_path) / SETTINGS
    content = json.loads(path.read_text())
    del content["checksum"]
    path.write_text(json.dumps(content))
    with pytest.raises(ModelFileError, match="not as it was saved"):
        load_model(path.parent, "toy")


def test_deep_json_is_refused(tmp_path):
    path = save(tmp_path) / SETTINGS
    path.write_text("[" * 100_000)
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_model(path.parent, "toy")
