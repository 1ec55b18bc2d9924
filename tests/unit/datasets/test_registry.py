"""The registry: entries are well formed, names are suggested, it is open."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from starloom import datasets
from starloom.datasets import registry
from starloom.datasets.dataset import Download, Packaged
from starloom.errors import DatasetError

DATASETS = tuple(map(registry.get, registry.names()))
SHA256 = re.compile(r"[0-9a-f]{64}")
FOLDER_ONLY = {"gaia_xp_gaiaxpy", "miles_stars"}  # no package and no fixed address has them: only a data folder
ALL_FILES = [(dataset, file) for dataset in DATASETS if dataset.name not in FOLDER_ONLY for file in dataset.files]
EACH_FILE = pytest.mark.parametrize(("dataset", "file"), ALL_FILES, ids=[f"{d.name}-{f.name}" for d, f in ALL_FILES])


@EACH_FILE
def test_every_file_has_a_pinned_source(dataset, file):
    # a file that cannot be got from anywhere is one for a data folder, and its dataset says so
    assert file.sources or "data folder" in dataset.notes
    for source in file.sources:
        assert source.size > 0
        if isinstance(source, Packaged):
            assert SHA256.fullmatch(source.sha256)
            assert source.convert is not None or SHA256.fullmatch(file.sha256)
            assert source.convert is not None or source.member.endswith(file.file_name)
        else:
            assert isinstance(source, Download)
            for remote in source.files:
                assert SHA256.fullmatch(remote.sha256)
                assert re.match(r"https://[^ ]*/[0-9a-f]{40}/", remote.url), "an address must name a commit"


def test_every_dataset_says_licence_and_citation():
    for dataset in DATASETS:
        assert dataset.license
        assert re.match(r"\d{4}[A-Za-z&.]{5}[\w.]{9}[A-Z] ", dataset.citation), dataset.citation
        assert set(dataset.papers) <= set(range(1, 14))


def test_keys_tell_sources_apart():
    keys = [source.key for _, file in ALL_FILES for source in file.sources]
    assert len(set(keys)) == len(keys)


def test_unknown_dataset_is_suggested():
    with pytest.raises(DatasetError, match=r"no dataset is called 'gd1_gaia_ps'; did you mean 'gd1_gaia_ps1'\?"):
        registry.get("gd1_gaia_ps")


def test_unknown_file_is_suggested():
    dataset = registry.get("gd1_gaia_ps1")
    with pytest.raises(DatasetError, match=r"has no file 'candidate'; did you mean 'candidates'\?.*cmd_loop"):
        registry.get_file(dataset, "candidate")
    assert registry.get_file(dataset).name == "candidates"
    assert registry.get_file(dataset, "cmd_loop.parquet").name == "cmd_loop"


def test_register_is_open_and_refuses_what_cannot_be(entry):
    made = entry()
    assert registry.get("made") is made
    registry.register(made)  # once more is no harm
    with pytest.raises(DatasetError, match="another dataset is called 'made'"):
        registry.register(replace(made, title="Another"))
    with pytest.raises(DatasetError, match="has no file"):
        registry.register(replace(made, name="empty", files=()))
    with pytest.raises(DatasetError, match="two files have one name"):
        registry.register(replace(made, name="twice", files=made.files * 2))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../made", ".hidden"])
def test_register_refuses_names_that_leave_their_folder(entry, name):
    made = entry()
    with pytest.raises(DatasetError, match="no plain name"):
        registry.register(replace(made, name=name))
    with pytest.raises(DatasetError, match="no plain name"):
        registry.register(replace(made, name="other", files=(replace(made.files[0], file_name=name),)))


def test_the_front_door_hands_every_name_on():
    for name in datasets.__all__:
        assert getattr(datasets, name) is not None
    assert datasets.open.__name__ == "open_table"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = datasets.nothing
