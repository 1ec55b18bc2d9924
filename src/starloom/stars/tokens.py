"""Tokens: what can be known of a star, as (kind, value, error), each kind on a scale of its own.

A :class:`Vocabulary` lists the kinds a model knows. It is made from whatever a table offers and can be extended: a
mass, an age, coefficients of another release are kinds like all others. Values are standardized robustly,

    u = (x - median) / (1.4826 MAD),    z = 3 asinh(u / 3),

which is linear near the median and tames tails (an O star among giants), and is inverted exactly.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError

Floats = NDArray[np.float64]
Group = Literal["xp", "color", "label"]
BEND = 3.0
"""Scales from the median beyond which the standardized value grows like a logarithm."""


@dataclass(frozen=True)
class Kind:
    """One kind of token.

    Parameters
    ----------
    name : such as ``teff``, ``bp_0`` or ``j_h``.
    unit, meaning : of its values.
    group : ``xp``, ``color`` or ``label``.
    requested : whether a model is trained to answer it; a kind that never is can still be given.
    center, scale : median and 1.4826 MAD of the training values; set by :meth:`Vocabulary.scaled`.
    """

    name: str
    unit: str = ""
    meaning: str = ""
    group: Group = "label"
    requested: bool = True
    center: float = 0.0
    scale: float = 1.0

    @property
    def order(self) -> int:
        """Order of a coefficient within its arm; 0 for other kinds."""
        return int(self.name.rpartition("_")[2]) if self.group == "xp" else 0

    @property
    def arm(self) -> str:
        """``bp`` or ``rp`` of a coefficient; empty for other kinds."""
        return self.name.partition("_")[0] if self.group == "xp" else ""


COLORS = (
    Kind("bp_rp", "mag", "Gaia color BP - RP", "color", requested=False),
    Kind("j_h", "mag", "2MASS color J - H", "color"),
    Kind("j_k", "mag", "2MASS color J - Ks", "color", requested=False),
)
LABELS = (
    Kind("teff", "K", "effective temperature"),
    Kind("logg", "", "logarithm of the surface gravity, dex(cgs)"),
    Kind("fe_h", "", "iron abundance [Fe/H], dex"),
    Kind("alpha_m", "", "alpha elements over metals [alpha/M], dex"),
    Kind("a_k", "mag", "extinction in Ks"),
)
MORE_LABELS = (
    Kind("m_h", "", "metallicity [M/H], dex"),
    Kind("log_ebv", "", "natural logarithm of the reddening E(B-V)"),
    Kind("g_fakemag", "", "parallax times 10^(G/5): a luminosity that stays normal, mas"),
    Kind("mass", "Msun", "mass"),
    Kind("age", "Gyr", "age"),
)
"""Labels that the shipped model does not know; a training table that holds them teaches them."""


def coefficients(sizes: tuple[int, int] = (55, 55)) -> tuple[Kind, ...]:
    """The kinds of XP coefficients, over the flux in G: as many an arm as the release has."""
    return tuple(
        Kind(f"{arm}_{order}", "", f"{arm.upper()} coefficient {order} over the flux in G", "xp")
        for arm, size in zip(("bp", "rp"), sizes, strict=True)
        for order in range(size)
    )


class Vocabulary:
    """The kinds that a model knows, numbered from 1 (0 is an empty place).

    Examples
    --------
    >>> words = Vocabulary([*coefficients((2, 2)), *COLORS, *LABELS])
    >>> words.number("teff"), len(words)
    (8, 12)
    >>> words.number("tef")
    Traceback (most recent call last):
    ...
    starloom.errors.ConfigError: the model knows no 'tef'; did you mean 'teff'? ...
    """

    def __init__(self, kinds: Iterable[Kind], bend: float = BEND) -> None:
        self.bend = bend  # infinite: standardized values stay linear, as in the paper
        self.kinds = tuple(kinds)
        self.names = tuple(kind.name for kind in self.kinds)
        if twice := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise ConfigError(f"a vocabulary has each kind once; twice here: {', '.join(twice)}")
        if bad := [kind.name for kind in self.kinds if not kind.scale > 0 or not np.isfinite(kind.center)]:
            raise ConfigError(f"the scale of {bad[0]!r} is not positive or its center not finite")
        self._numbers = {name: place + 1 for place, name in enumerate(self.names)}
        self.center = np.array([kind.center for kind in self.kinds])
        self.scale = np.array([kind.scale for kind in self.kinds])

    def __len__(self) -> int:
        return len(self.kinds)

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def __getitem__(self, name: str) -> Kind:
        return self.kinds[self.number(name) - 1]

    def number(self, name: str) -> int:
        """Number of a kind; ConfigError with the nearest name for an unknown one."""
        if name not in self._numbers:
            close = difflib.get_close_matches(name, self.names, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]!r}? " if close else ""
            others = [kind.name for kind in self.kinds if kind.group != "xp"]
            raise ConfigError(f"the model knows no {name!r}; {hint}It knows XP coefficients and {', '.join(others)}")
        return self._numbers[name]

    def places(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Columns (from 0) of these kinds in arrays of tokens."""
        return np.array([self.number(name) - 1 for name in names], dtype=np.int64)

    def group(self, group: Group) -> NDArray[np.int64]:
        """Columns (from 0) of the kinds of a group."""
        return np.array([place for place, kind in enumerate(self.kinds) if kind.group == group], dtype=np.int64)

    def scaled(self, values: ArrayLike) -> Vocabulary:
        """The same kinds with the center and scale of these values (stars, kinds), NaN where missing.

        Raises
        ------
        CatalogError
            When a kind has fewer than ten values or they do not vary.
        """
        found = np.asarray(values, dtype=float)
        kinds = []
        for place, kind in enumerate(self.kinds):
            known = found[np.isfinite(found[:, place]), place]
            if len(known) < 10:
                raise CatalogError(f"{len(known)} stars have {kind.name!r}; a model of it needs at least 10")
            center = float(np.median(known))
            scale = float(1.4826 * np.median(np.abs(known - center)))
            if not scale > 0:
                raise CatalogError(f"the values of {kind.name!r} do not vary; leave it out of the training table")
            kinds.append(replace(kind, center=center, scale=scale))
        return Vocabulary(kinds, self.bend)

    def standardize(self, values: ArrayLike, places: Any = slice(None)) -> Floats:
        """Values (..., kinds) on the standardized scale; NaN and infinities become NaN."""
        u = (np.asarray(values, dtype=float) - self.center[places]) / self.scale[places]
        return np.asarray(np.where(np.isfinite(u), self._bent(u), np.nan))

    def _bent(self, u: Floats) -> Floats:
        return u if np.isinf(self.bend) else np.asarray(self.bend * np.arcsinh(u / self.bend))

    def _straight(self, z: Floats) -> Floats:
        return z if np.isinf(self.bend) else np.asarray(self.bend * np.sinh(z / self.bend))

    def standardize_errors(self, values: ArrayLike, errors: ArrayLike, places: Any = slice(None)) -> Floats:
        """Errors on the standardized scale; 0 where an error or its value is not known."""
        u = (np.asarray(values, dtype=float) - self.center[places]) / self.scale[places]
        found = np.asarray(errors, dtype=float) / self.scale[places] / np.sqrt(1.0 + (u / self.bend) ** 2)
        return np.asarray(np.where(np.isfinite(found) & (found > 0), found, 0.0))

    def restore(self, standardized: ArrayLike, places: Any = slice(None)) -> Floats:
        """Standardized values back in their own units.

        Examples
        --------
        >>> words = Vocabulary([Kind("teff", "K", center=4750.0, scale=500.0)])
        >>> words.restore(words.standardize([[5800.0]])).round(6).tolist()
        [[5800.0]]
        """
        z = np.asarray(standardized, dtype=float)
        return np.asarray(self.center[places] + self.scale[places] * self._straight(z))

    def restore_errors(self, mean: ArrayLike, sigma: ArrayLike, places: Any = slice(None)) -> Floats:
        """Half the width of the central 68 % interval in the kinds' own units."""
        z, s = np.asarray(mean, dtype=float), np.asarray(sigma, dtype=float)
        return np.asarray(self.scale[places] * (self._straight(z + s) - self._straight(z - s)) / 2.0)

    def as_json(self) -> list[dict[str, Any]]:
        """As JSON can hold it."""
        return [asdict(kind) for kind in self.kinds]

    @classmethod
    def from_json(cls, content: Sequence[Mapping[str, Any]], bend: float | None = BEND) -> Vocabulary:
        """What ``as_json`` gave; ``bend`` None (JSON has no infinity) is no bend."""
        return cls((Kind(**entry) for entry in content), np.inf if bend is None else bend)


@dataclass(frozen=True)
class Tokens:
    """What is known of each star.

    Parameters
    ----------
    values, errors : (stars, kinds) in the kinds' units; NaN where not known. An unknown error counts as none.
    reason : (stars,) text; not empty where a star cannot be used.
    """

    values: NDArray[np.float32]
    errors: NDArray[np.float32]
    reason: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, chosen: Any) -> Tokens:
        """Some of the stars."""
        return Tokens(self.values[chosen], self.errors[chosen], self.reason[chosen])
