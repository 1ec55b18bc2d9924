"""What a user says of a stream: its frame, the window of the selection, its components, guides and photometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from starloom.errors import ConfigError

PM = ("pm_phi1_cosphi2", "pm_phi2")
_SCATTER_RATIO = 1.6  # between the scatters at which densities are tabulated
LOG_FRACTION = (-10.0, -0.05)  # bounds of the log share of a component


def _range(name: str, pair: tuple[float, float]) -> None:
    if len(pair) != 2 or not np.isfinite(pair).all() or not pair[0] < pair[1]:
        raise ConfigError(f"{name} must be a pair (low, high) with low < high, got {pair}")


@dataclass(frozen=True)
class Coordinate:
    """How one coordinate of a stream may look.

    Parameters
    ----------
    window : range of the selection; a density is normalized over it. For the proper motions the range of the mean.
    width : range of the stream's own one-sigma width, in the coordinate's unit (total width where no errors are given).
    constant_width : the width does not vary along the stream (sensible where it is mostly measurement error).
    scale, length : the mean bends by about ``scale`` over ``length`` degrees of phi1 (smoothness prior).
    """

    window: tuple[float, float]
    width: tuple[float, float]
    constant_width: bool = False
    scale: float = 1.0
    length: float = 15.0

    def __post_init__(self) -> None:
        _range("the window of a coordinate", self.window)
        _range("the width of a coordinate", self.width)
        if self.width[0] <= 0:
            raise ConfigError(f"the width of a coordinate must be positive, got {self.width}")


@dataclass(frozen=True)
class Guide:
    """Where a component's mean is known to pass: a prior on the training objective, never on the memberships.

    The penalty is ``strength`` times the squared excess of the mean beyond value +- half_width (arXiv:2311.16960,
    "control regions").

    Parameters
    ----------
    coordinate : "phi2", "pm_phi1_cosphi2", ...
    phi1, value, half_width : shape (n,) each; one half width may serve all points.
    """

    coordinate: str
    phi1: tuple[float, ...]
    value: tuple[float, ...]
    half_width: tuple[float, ...]
    strength: float = 1000.0

    def __post_init__(self) -> None:
        if len(self.half_width) == 1:
            object.__setattr__(self, "half_width", self.half_width * len(self.phi1))
        if not len(self.phi1) == len(self.value) == len(self.half_width) or not self.phi1:
            raise ConfigError(f"guide on {self.coordinate}: phi1, value and half_width differ in length, or are empty")
        if not np.isfinite([self.phi1, self.value, self.half_width]).all() or min(self.half_width) < 0:
            raise ConfigError(f"guide on {self.coordinate}: finite values and non-negative half widths are needed")


@dataclass(frozen=True)
class Component:
    """A thin structure along phi1: the stream, a spur.

    Parameters
    ----------
    name : column prefix in the results.
    phi1 : where it may exist (None: everywhere in the window).
    start : mean of a coordinate before training, by name (default: the middle of its window; phi2: 0).
    start_fraction : its share of the stars before training. Not tiny: a fit that starts at zero stays there.
    guides : see Guide.
    """

    name: str = "stream"
    phi1: tuple[float, float] | None = None
    start: Mapping[str, float] = field(default_factory=dict)
    start_fraction: float = 0.1
    guides: tuple[Guide, ...] = ()

    def __post_init__(self) -> None:
        if self.phi1 is not None:
            _range(f"phi1 of component {self.name!r}", self.phi1)
        if not np.exp(LOG_FRACTION[0]) < self.start_fraction < 0.9:
            raise ConfigError(f"start_fraction of {self.name!r} must lie in (4.6e-5, 0.9), got {self.start_fraction}")


@dataclass(frozen=True)
class ProperMotion:
    """The proper motions of a stream and the window that selected them.

    Parameters
    ----------
    phi1, phi2 : Coordinate of pm_phi1_cosphi2 and of pm_phi2 (mas/yr).
    polygon : the selection as a convex polygon, (n, 2) in mas/yr; None: the rectangle of the two windows.
    system : of the polygon. "icrs": (pmra, pmdec), so that in the stream's frame it turns from star to star; "stream":
        (pm_phi1_cosphi2, pm_phi2) as the model sees them.
    reflex_distance : distance (kpc) at which the Sun's motion is taken out of the proper motions; None: it is left in.
    wings : the stream's proper motions are two normals with one mean, a core and a wider one. For tables without
        errors, where the total width is that of bright and faint stars together.
    """

    phi1: Coordinate
    phi2: Coordinate
    polygon: tuple[tuple[float, float], ...] | None = None
    system: Literal["icrs", "stream"] = "stream"
    reflex_distance: float | None = None
    wings: bool = False

    def __post_init__(self) -> None:
        if self.reflex_distance is not None and not self.reflex_distance > 0:
            raise ConfigError(f"reflex_distance must be positive, got {self.reflex_distance} kpc")
        if self.polygon is None and self.system == "icrs":
            raise ConfigError("a proper-motion window in (pmra, pmdec) needs its polygon")

    @property
    def vertices(self) -> tuple[tuple[float, float], ...]:
        """The polygon, or the rectangle of the two windows."""
        if self.polygon is not None:
            return self.polygon
        (a, b), (c, d) = self.phi1.window, self.phi2.window
        return ((a, c), (b, c), (b, d), (a, d))


@dataclass(frozen=True)
class Distance:
    """The stream's distance along phi1, measured by photometry and parallax.

    Parameters
    ----------
    modulus : range of the mean distance modulus (mag).
    scatter : range of the one-sigma spread of the members' distance moduli (mag). A member is nearer or farther in all
        its bands and in its parallax at once.
    scale, length : the mean bends by about ``scale`` (mag) over ``length`` degrees of phi1 (smoothness prior).
    start : mean before training (None: the middle).
    """

    modulus: tuple[float, float]
    scatter: tuple[float, float] = (0.005, 0.15)
    scale: float = 0.3
    length: float = 20.0
    start: float | None = None

    def __post_init__(self) -> None:
        _range("modulus", self.modulus)
        _range("scatter", self.scatter)
        if self.scatter[0] <= 0:
            raise ConfigError(f"the scatter in distance modulus must be positive, got {self.scatter}")


@dataclass(frozen=True)
class Photometry:
    """The stream as a single stellar population along an isochrone.

    Parameters
    ----------
    bands : magnitude columns of the table, such as ("g_mag", "i_mag"); at least two.
    isochrone : absolute magnitudes along it from faint to bright, one row a point, shape (n, bands).
    magnitude : range of the first band in the selection.
    colors : range of each successive color (band[k] - band[k + 1]).
    scatter : width of the population around the isochrone in each band (mag), beyond the measurement errors: a number,
        or a range in which it is learned.
    errors : error of a magnitude m where the table gives none: (floor, error at the reference, reference magnitude),
        error = hypot(floor, error * 10^(0.3 (m - reference))).
    weights : expected share of the stream's stars on each stretch between two points, shape (n - 1,), for example of a
        mass function; None: equal shares a unit of arc length.
    bins : pieces of the luminosity function, whose shares are learned (1: the weights as given).
    selective : photometry is not missing at random: each component has a share of stars with photometry of its own,
        a curve in phi1 that is learned.
    """

    bands: tuple[str, ...]
    isochrone: tuple[tuple[float, ...], ...]
    magnitude: tuple[float, float]
    colors: tuple[tuple[float, float], ...]
    scatter: float | tuple[float, float] = 0.05
    errors: tuple[float, float, float] = (0.015, 0.05, 20.5)
    weights: tuple[float, ...] | None = None
    bins: int = 12
    selective: bool = False

    def __post_init__(self) -> None:
        points = np.asarray(self.isochrone, dtype=float)
        if len(self.bands) < 2 or len(self.colors) != len(self.bands) - 1:
            raise ConfigError(
                "photometry needs at least two bands and one color range for each pair of successive bands"
            )
        if points.ndim != 2 or points.shape[1] != len(self.bands) or len(points) < 3 or not np.isfinite(points).all():
            raise ConfigError(
                f"the isochrone must be finite with shape (n >= 3, {len(self.bands)}), got {points.shape}"
            )
        _range("magnitude", self.magnitude)
        for pair in self.colors:
            _range("colors", pair)
        if self.weights is not None:
            weights = np.asarray(self.weights, dtype=float)
            if len(weights) != len(points) - 1 or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
                raise ConfigError(
                    f"weights needs {len(points) - 1} non-negative values, one a stretch of the isochrone"
                )
        if isinstance(self.scatter, tuple):
            _range("the scatter of the photometry", self.scatter)
        if self.bins < 1 or not 0 <= np.min(self.scatter) < np.inf or min(self.errors[:2]) < 0:
            raise ConfigError("photometry needs bins >= 1 and a scatter and errors that are not negative")
        if self.learned_scatter and not self.scatters[0] > 0:
            raise ConfigError("a scatter that is learned must be positive")

    @property
    def learned_scatter(self) -> bool:
        """Whether the scatter is learned."""
        return isinstance(self.scatter, tuple)

    @property
    def scatters(self) -> tuple[float, ...]:
        """The scatter (mag), or the values between which a learned one is read off: evenly spaced in the logarithm."""
        if not isinstance(self.scatter, tuple):
            return (self.scatter,)
        low, high = self.scatter
        count = max(2, round(np.log(high / low) / np.log(_SCATTER_RATIO)) + 1)
        return tuple(np.geomspace(low, high, count).tolist())


@dataclass(frozen=True)
class Training:
    """How the fit is made.

    Parameters
    ----------
    members : networks in the ensemble; the first fits all stars alike, the others a Bayesian bootstrap of them.
    steps, learning_rate : of the mixture.
    background_epochs : of the background's flows.
    hidden, layers : size of the networks.
    """

    members: int = 8
    steps: int = 400
    learning_rate: float = 5e-3
    background_epochs: int = 40
    hidden: int = 32
    layers: int = 3

    def __post_init__(self) -> None:
        if self.members < 2 or min(self.steps, self.background_epochs, self.hidden, self.layers) < 1:
            raise ConfigError("training needs at least two members and positive steps, epochs and sizes")
