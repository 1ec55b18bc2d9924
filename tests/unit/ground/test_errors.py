from __future__ import annotations

import pytest

from starloom import errors

BUILTIN = {
    "CatalogError": ValueError,
    "MissingColumnError": ValueError,
    "UnitError": ValueError,
    "DatasetError": LookupError,
    "ConfigError": ValueError,
    "FitError": RuntimeError,
    "ModelFileError": ValueError,
    "OutputError": OSError,
}


@pytest.mark.parametrize("name", BUILTIN)
def test_each_error_is_ours_and_a_builtin(name):
    error = getattr(errors, name)("what was wrong")
    assert isinstance(error, errors.StarloomError)
    assert isinstance(error, BUILTIN[name])
    assert str(error) == "what was wrong"


def test_no_error_is_left_out():
    found = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert found == {"StarloomError", *BUILTIN}
