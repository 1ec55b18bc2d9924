"""What both halves of the study age-attribution share: groups of inputs, answers taken apart, shares on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.results.record import Results

if TYPE_CHECKING:
    from starloom.stars.attribution import Attribution
    from starloom.stars.forest import ProbabilisticForest

Floats = NDArray[np.float64]

PAPER = "arXiv:2305.15634"
EVOLUTION, CHEMISTRY, BOTH = "stellar evolution", "chemical evolution", "both ([C/N])"
GROUPS: dict[str, tuple[str, ...]] = {
    EVOLUTION: ("teff", "logg", "log_l", "radius", "mass", "nu_max", "delta_nu", "evolutionary_state"),
    BOTH: ("c_n",),
    CHEMISTRY: ("fe_h", "alpha_m", "y_mg", "mg_fe", "al_fe", "ti_fe", "ba_fe", "zn_fe"),
}


@dataclass
class Taken:
    """One sample of stars whose answers were taken apart."""

    name: str
    age: Floats
    inputs: Floats
    names: tuple[str, ...]
    groups: Attribution
    singles: Attribution


def groups_for(names: Sequence[str]) -> dict[str, list[str]]:
    """The groups that have an input among the names, with those inputs."""
    found = {group: [name for name in members if name in names] for group, members in GROUPS.items()}
    return {group: members for group, members in found.items() if members}


def take_apart(forest: ProbabilisticForest, values: Floats, age: Floats, names: Sequence[str], label: str) -> Taken:
    """Contributions of the groups and of the single inputs to the answers for some stars."""
    from starloom.stars.attribution import attribute, attribute_groups

    groups = attribute_groups(forest, values, groups_for(names), names=names)
    singles = attribute(forest, values, names=names)
    return Taken(label, age, values, tuple(names), groups, singles)


def record_shares(results: Results, entry: Taken, seed: int, words: Mapping[str, str] | None = None) -> None:
    """Write the share of each group into the results, with what others said of a group in words."""
    for group in entry.groups.names:
        value, low, high = entry.groups.share(group, seed)
        results.number(
            f"{entry.name}: share of {group}", value, "", low=low, high=high,
            meaning="; ".join(
                ["mean |Shapley value of the group| over the sum of the groups', path-dependent, log10(age)"]
                + [text for known, text in (words or {}).items() if known == group]
            ),
        )  # fmt: skip
