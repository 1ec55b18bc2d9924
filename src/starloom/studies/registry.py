"""The studies by name. A study's module is imported when it is asked for, not before."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from starloom.catalog.schema import Schema
    from starloom.studies.study import Study

STUDIES = {  # in the order of a tour
    "gd1-stream": "starloom.studies.gd1_stream",
    "pal5-stream": "starloom.studies.pal5_stream",
    "stream-mock": "starloom.studies.stream_mock",
    "stream-origins": "starloom.studies.stream_origins",
    "star-foundation": "starloom.studies.star_foundation",
    "alpha-sequences": "starloom.studies.alpha_sequences",
    "age-metallicity": "starloom.studies.age_metallicity",
    "age-attribution": "starloom.studies.age_attribution",
    "seismic-ages": "starloom.studies.seismic_ages",
    "metal-poor-disk": "starloom.studies.metal_poor_disk",
    "gse-mass": "starloom.studies.gse_mass",
    "gaia-snail": "starloom.studies.gaia_snail",
    "sgra-companion": "starloom.studies.sgra_companion",
    "sdss-targets": "starloom.studies.sdss_targets",
    "galaxy-scaling": "starloom.studies.galaxy_scaling",
    "redshift-som": "starloom.studies.redshift_som",
}


def names() -> list[str]:
    """The names of all studies."""
    return sorted(STUDIES)


def get(name: str) -> Study:
    """The study of that name.

    Raises
    ------
    ConfigError
        For an unknown name, with the closest known one.
    """
    if name not in STUDIES:
        closest = difflib.get_close_matches(name, STUDIES, n=1, cutoff=0.4)
        hint = f"did you mean {closest[0]!r}? " if closest else ""
        raise ConfigError(f"no study is called {name!r}; {hint}known: {', '.join(names())}")
    study: Study = import_module(STUDIES[name]).STUDY
    return study


def model_schemas() -> dict[str, Schema]:
    """The columns each study's model needs, by study name."""
    found = {name: get(name).schema for name in names()}
    return {name: schema for name, schema in found.items() if schema is not None}
