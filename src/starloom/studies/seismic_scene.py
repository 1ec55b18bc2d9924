"""What the study seismic-ages has made when its pages are written: the model, its pairs, and the test stars."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.stars import seismic_diagnostics as diagnostics

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.stars.seismic_ages import Latents, SeismicAges
    from starloom.studies.seismic_ages import Config
    from starloom.studies.seismic_mock import Pairs

    Floats = NDArray[np.float64]


@dataclass
class Tested:
    """A test Galaxy: its stars as observed, with truths, and what the model says of them."""

    table: QTable
    latents: Latents
    seismology: dict[str, Floats]
    ages: dict[str, Floats] = field(default_factory=dict)

    @property
    def clump(self) -> NDArray[np.bool_]:
        """Red-clump stars."""
        return np.asarray(self.table["red_clump"], dtype=bool)

    @property
    def true_age(self) -> Floats:
        """Gyr."""
        return np.asarray(self.table["true_age"].value)

    @property
    def true_alpha(self) -> Floats:
        """Dex."""
        return np.asarray(self.table["true_alpha_m"])

    def residual(self) -> Floats:
        """Ln of predicted over true age."""
        return np.asarray(np.log(self.ages["age"] / self.true_age))

    def alpha_in_residual(self) -> float:
        """Partial correlation of the age residual with the true [alpha/M], given the true age, [Fe/H] and the stage."""
        truth = self.table
        return diagnostics.partial_correlation(
            self.residual(), self.true_alpha, np.log(self.true_age), truth["true_fe_h"], self.clump.astype(float)
        )


@dataclass
class Scene:
    """What the pages look at."""

    config: Config
    model: SeismicAges
    train: Pairs
    train_table: QTable
    train_latents: Latents
    pixels: NDArray[np.bool_]
    tested: dict[str, Tested]
    surveyed: Tested
    real_spectra: dict[str, Any] = field(default_factory=dict)
    real_power: dict[str, Any] = field(default_factory=dict)
    extension: dict[str, Any] = field(default_factory=dict)
