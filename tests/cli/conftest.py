from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

TOY = Path(__file__).parents[1] / "cli"


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The made-up study, known to the registry for the length of a test."""
    monkeypatch.syspath_prepend(str(TOY))
    from starloom.studies import registry

    monkeypatch.setitem(registry.STUDIES, "toy", "toy_study")
    sys.modules.pop("toy_study", None)
    return import_module("toy_study")
