"""A small model of made stars, trained once for all tests of this room."""

from __future__ import annotations

import pytest

from starloom.stars import mock
from starloom.stars.foundation import StarFoundation


@pytest.fixture(scope="session")
def stars():
    return mock.make(2500, 1)


@pytest.fixture(scope="session")
def others():
    return mock.make(400, 2)


@pytest.fixture(scope="session")
def model(stars):
    return StarFoundation.fit(stars, seed=3, settings=mock.settings(400), bases=mock.bases())
