"""The Galaxy Zoo campaigns by name, and the joint schemas of several of them.

Campaigns: ``decals_dr12``, ``decals_dr5``, ``decals_dr8``, ``desi``, ``gz2``, ``ukidss``, ``candels``, ``hubble``,
``hubble_v2``, ``cosmic_dawn``, ``euclid``, ``jwst``, ``jwst_cosmos``, ``rings``. Joint: ``gz_evo_v1`` and ``gz_evo_v2``
(all that was used), ``gz_evo_v1_public`` and ``gz_evo_v2_public`` (what is published).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from starloom.errors import ConfigError
from starloom.galaxies.votes import Question, VoteSchema, joint

_PUBLIC_V1 = ("decals_dr12", "decals_dr5", "decals_dr8", "gz2", "candels", "hubble")
_PUBLIC_V2 = (*_PUBLIC_V1[:-1], "hubble_v2")
JOINT = {
    "gz_evo_v1": (*_PUBLIC_V1, "cosmic_dawn"),
    "gz_evo_v1_public": _PUBLIC_V1,
    "gz_evo_v2": (*_PUBLIC_V2, "cosmic_dawn", "euclid"),
    "gz_evo_v2_public": _PUBLIC_V2,
}


@cache
def _definitions() -> Mapping[str, Any]:
    text = files("starloom.galaxies.definitions").joinpath("galaxy_zoo.toml").read_text()
    return tomllib.loads(text)


def names() -> tuple[str, ...]:
    """Names of all campaigns and joint schemas."""
    return (*_definitions(), *JOINT)


@cache
def campaign(name: str) -> VoteSchema:
    """The schema of a campaign, or a joint one.

    Raises
    ------
    ConfigError
        For an unknown name.

    Examples
    --------
    >>> campaign("decals_dr5")
    VoteSchema('decals_dr5', 10 questions, 34 answers)
    >>> campaign("gz_evo_v1")
    VoteSchema('gz_evo_v1', 76 questions, 239 answers)
    """
    if name in JOINT:
        return joint([campaign(one) for one in JOINT[name]], name)
    if name not in _definitions():
        near = difflib.get_close_matches(name, names(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no campaign is called {name!r}{hint}; known: {', '.join(names())}")
    suffix = _definitions()[name]["suffix"]
    end = f"-{suffix}" if suffix else ""

    def renamed(answer: str) -> str:
        question, _, rest = answer.partition("_")
        return f"{question}{end}_{rest}"

    return VoteSchema(
        [
            Question(question + end, tuple(form["answers"]), tuple(map(renamed, form.get("after", ()))))
            for question, form in _questions(name).items()
        ],
        name,
    )


def _questions(name: str) -> dict[str, Any]:
    entry = _definitions()[name]
    inherited = _questions(entry["like"]) if "like" in entry else {}
    kept = {one: form for one, form in inherited.items() if one not in entry.get("without", ())}
    return {**kept, **entry.get("questions", {})}
