from __future__ import annotations

import pytest

from starloom.disk.snail_response import SnailModel
from starloom.dynamics.vertical_actions import VerticalActions, VerticalPotential


@pytest.fixture(scope="session")
def slab():
    return VerticalActions(VerticalPotential.slab(0.09, 0.15, 0.012), 6.0)


@pytest.fixture(scope="session")
def snail_model(slab):
    return SnailModel(slab)
