from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch", "astropy", "matplotlib", "bokeh", "pandas", "pyarrow", "scipy", "numba", "pydantic", "zuko", "gala",
    "galpy", "h5py", "sklearn", "pooch", "numpy",
)  # fmt: skip


@pytest.mark.parametrize(
    "code",
    [
        "import starloom",
        "import starloom; dir(starloom)",
        "import starloom.cli.app",
        "import sys; sys.argv = ['starloom', '--help']; from starloom.cli.app import main; main()",
        "import sys; sys.argv = ['starloom', '--version']; from starloom.cli.app import main; main()",
    ],
)
def test_the_door_is_light(code):
    check = f"found = sorted(set({HEAVY!r}) & set(sys.modules)); print('LOADED', found)"
    program = f"import sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert not end.code\nfinally:\n    {check}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("LOADED []\n")


def test_every_name_is_handed_on():
    import starloom

    assert set(starloom.__all__) < set(dir(starloom))
    for name in starloom.__all__:
        assert getattr(starloom, name) is not None
    table = starloom.read_table({"ra": [1.0], "dec": [2.0]})
    assert starloom.describe(table).rows == 1


def test_an_unknown_name_is_an_attribute_error():
    import starloom

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        starloom.nonsense  # noqa: B018


def test_the_version_is_the_one_installed():
    from importlib import metadata

    import starloom

    assert starloom.__version__ == metadata.version("starloom")
