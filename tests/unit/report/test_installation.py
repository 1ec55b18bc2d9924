from __future__ import annotations

import re
from collections import namedtuple
from importlib import metadata

import pytest

from starloom.report import installation


@pytest.fixture
def few_packages(monkeypatch, tmp_path):
    """Look at numpy only: the test is of the looking, not of the packages."""
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy>=2.0", "ruff>=0.9; extra == 'test'"])
    monkeypatch.setenv("STARLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STARLOOM_DATA", raising=False)


def test_a_sound_installation_has_no_problem(few_packages, tmp_path):
    found = installation.examine()
    facts = dict(found.facts)
    assert found.problems == []
    assert facts["numpy"] == metadata.version("numpy")
    assert "ruff" not in facts
    assert facts["STARLOOM_DATA"] == "not set"
    assert facts["data cache"] == str(tmp_path / "cache")


def test_every_package_is_known_by_its_module():
    from importlib.util import find_spec

    from packaging.requirements import Requirement

    needed = [Requirement(line) for line in metadata.requires("starloom")]
    for name in [one.name for one in needed if one.marker is None]:
        assert find_spec(installation.IMPORT_NAMES.get(name, name.replace("-", "_"))) is not None, name


@pytest.mark.parametrize(
    ("requirement", "problem"),
    [
        ("numpy>=99", r"numpy \d.* is not >=99: pip install 'numpy>=99'"),
        ("no-such-package-anywhere>=1", "no-such-package-anywhere is not installed"),
    ],
)
def test_a_missing_or_old_package_is_told(few_packages, monkeypatch, requirement, problem):
    monkeypatch.setattr(metadata, "requires", lambda name: [requirement])
    assert re.match(problem, installation.examine().problems[0])


def test_a_broken_package_is_told(few_packages, monkeypatch):
    def broken(name):
        raise ImportError("undefined symbol")

    monkeypatch.setattr(installation, "import_module", broken)
    assert "cannot be imported (undefined symbol)" in installation.examine().problems[0]


def test_a_data_folder_that_is_none_and_a_full_disk_are_told(few_packages, monkeypatch, tmp_path):
    monkeypatch.setenv("STARLOOM_DATA", str(tmp_path / "none"))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(installation.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    problems = installation.examine().problems
    assert "correct or unset it" in problems[0]
    assert "make room" in problems[1]


def test_a_cache_that_cannot_be_made_is_told(few_packages, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert "the data cache cannot be used" in installation.examine().problems[0]
