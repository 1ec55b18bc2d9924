"""The room hands its names on, and importing what others name in their heads loads nothing heavy."""

import subprocess
import sys

import pytest

from starloom import catalog


def test_every_name_is_handed_on():
    for name in catalog.__all__:
        assert getattr(catalog, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        catalog.nothing  # noqa: B018


def test_schema_and_surveys_are_light():
    code = (
        "import sys, starloom.catalog, starloom.catalog.schema, starloom.catalog.surveys;"
        "print(sorted({'astropy', 'pyarrow', 'pandas', 'scipy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
