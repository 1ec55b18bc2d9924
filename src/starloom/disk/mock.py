"""Made disks with known truth: two alpha sequences, and a Galaxy with a known correlation of age and metallicity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sequences:
    """Two alpha sequences: normal [Fe/H], and [alpha/Fe] normal around a bent line of [Fe/H].

    Parameters
    ----------
    high_share : share of the high-alpha stars.
    scatter : of [alpha/Fe] around either line; 0.028 dex makes the best possible split of an even mix wrong for 5 %
        of its stars.
    """

    high_share: float = 0.2
    scatter: float = 0.028

    low_iron: tuple[float, float] = (-0.10, 0.20)
    high_iron: tuple[float, float] = (-0.35, 0.27)

    def low_line(self, fe_h: ArrayLike) -> Floats:
        """[alpha/Fe] of the low-alpha sequence."""
        iron = np.asarray(fe_h, dtype=np.float64)
        return 0.035 - 0.09 * iron

    def high_line(self, fe_h: ArrayLike) -> Floats:
        """[alpha/Fe] of the high-alpha sequence: flat at low [Fe/H], then falling towards the low-alpha one."""
        iron = np.asarray(fe_h, dtype=np.float64)
        knee = 0.12
        falling = 0.5 * (iron + 0.55 + np.sqrt((iron + 0.55) ** 2 + knee**2))
        return 0.265 - 0.235 * falling

    def densities(self, fe_h: ArrayLike, alpha_fe: ArrayLike) -> tuple[Floats, Floats]:
        """Densities of the two sequences, each of integral one: low alpha, high alpha."""
        iron, alpha = np.asarray(fe_h, dtype=np.float64), np.asarray(alpha_fe, dtype=np.float64)
        found = []
        for (mean, width), line in ((self.low_iron, self.low_line), (self.high_iron, self.high_line)):
            z = ((iron - mean) / width) ** 2 + ((alpha - line(iron)) / self.scatter) ** 2
            found.append(np.exp(-0.5 * z) / (2.0 * np.pi * width * self.scatter))
        return found[0], found[1]

    def probability(self, fe_h: ArrayLike, alpha_fe: ArrayLike) -> Floats:
        """The true probability of a star to be of the high-alpha sequence."""
        low, high = self.densities(fe_h, alpha_fe)
        high, low = self.high_share * high, (1.0 - self.high_share) * low
        return np.asarray(high / np.maximum(low + high, 1e-300))


def alpha_sequences(sequences: Sequences, stars: int, seed: int | np.random.Generator) -> QTable:
    """Stars of two sequences: ``fe_h``, ``alpha_m`` and the truth ``high_alpha``."""
    from astropy.table import QTable

    rng = generator(seed)
    high = rng.random(stars) < sequences.high_share
    mean = np.where(high, sequences.high_iron[0], sequences.low_iron[0])
    width = np.where(high, sequences.high_iron[1], sequences.low_iron[1])
    iron = rng.normal(mean, width)
    line = np.where(high, sequences.high_line(iron), sequences.low_line(iron))
    return QTable({"fe_h": iron, "alpha_m": rng.normal(line, sequences.scatter), "high_alpha": high})
