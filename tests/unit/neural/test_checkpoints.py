from __future__ import annotations

import errno
import json
import os

import pytest
import torch

from starloom.errors import ModelFileError, OutputError
from starloom.neural.checkpoints import load_folder, load_tensors, save_folder, save_tensors

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3).T,  # not contiguous
    "count": torch.tensor([2**60 + 1]),
    "empty": torch.zeros(0, 3),
    "shared": torch.arange(4.0, dtype=torch.float64),
}


def test_tensors_round_trip(tmp_path):
    tensors = {**TENSORS, "again": TENSORS["shared"], "learned": torch.nn.Parameter(torch.ones(2))}
    save_tensors(tmp_path / "a" / "b.safetensors", tensors)
    found = load_tensors(tmp_path / "a" / "b.safetensors")
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor.detach())


def test_a_model_round_trips(tmp_path):
    save_folder(tmp_path / "model", "toy 1", {"size": 3, "name": "π"}, TENSORS)
    settings, tensors = load_folder(tmp_path / "model", "toy 1")
    assert settings == {"size": 3, "name": "π"}
    assert torch.equal(tensors["weight"], TENSORS["weight"])
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "model.safetensors"]


def test_a_missing_file(tmp_path):
    with pytest.raises(ModelFileError, match=r"gone\.safetensors is missing"):
        load_tensors(tmp_path / "gone.safetensors")
    with pytest.raises(ModelFileError, match="holds no saved model"):
        load_folder(tmp_path / "gone", "toy 1")
    save_folder(tmp_path, "toy 1", {}, TENSORS)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelFileError, match="is missing"):
        load_folder(tmp_path, "toy 1")


@pytest.mark.parametrize("keep", [0, 4, 60, -10])
def test_a_truncated_file(tmp_path, keep):
    save_tensors(tmp_path / "file", TENSORS)
    content = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(content[:keep])
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_tensors(tmp_path / "file")


def test_a_corrupt_file(tmp_path):
    (tmp_path / "file").write_bytes(b"not a safetensors file at all" * 10)
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_tensors(tmp_path / "file")
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_tensors(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "3", '{"kind": "other 2"}', "{}"])
def test_a_model_file_of_another_kind(tmp_path, content):
    save_folder(tmp_path, "toy 1", {}, TENSORS)
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(ModelFileError, match=r"model\.json"):
        load_folder(tmp_path, "toy 1")


def test_the_kind_is_named(tmp_path):
    save_folder(tmp_path, "toy 1", {}, TENSORS)
    with pytest.raises(ModelFileError, match="'toy 1', not 'toy 2'"):
        load_folder(tmp_path, "toy 2")


def test_a_full_disk_leaves_the_old_model(tmp_path, monkeypatch):
    save_folder(tmp_path, "toy 1", {"version": "old"}, TENSORS)

    def refuse(_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match="disk is full"):
        save_folder(tmp_path, "toy 1", {"version": "new"}, {"weight": torch.zeros(1)})
    monkeypatch.undo()
    settings, tensors = load_folder(tmp_path, "toy 1")
    assert settings == {"version": "old"}
    assert torch.equal(tensors["weight"], TENSORS["weight"])
    assert json.loads((tmp_path / "model.json").read_text())["kind"] == "toy 1"
