"""Power spectra of red giants as Kepler would see them: an envelope of modes over flat noise, with known truth.

The limit spectrum over its background is 1 + modes: radial and quadrupole modes on a comb, dipole modes mixed with a
ladder of gravity modes, heights under a Gaussian envelope. Noise multiplies it with chi-square of two degrees of
freedom. Sources of the relations: epsilon and the envelope 2012A&A...537A..30M and 2012A&A...541A..51C, period spacings
of the branch and the clump 2014A&A...572L...5M. Nothing here is a fit to a star; the numbers are named below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.seeds import generator

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Oscillations:
    """Named numbers of the modes.

    Parameters
    ----------
    height : power of all modes over background at nu_max, averaged over a separation, of a star of 1.2 Msun.
    height_mass : its power of the mass.
    height_scatter : scatter of ln height from star to star.
    width : line width of radial modes (sigma-free Lorentzian, full width) of the branch and the clump, muHz.
    quadrupole, dipole : visibility of the degrees 2 and 1 in power, of the radial modes.
    small_separation : from degree 2 to the radial mode above, in large separations.
    spacing : period spacing of gravity modes of the branch and the clump, s.
    coupling : half width of the stretch in which dipole modes show, in large separations, branch and clump.
    """

    height: float = 3.2
    height_mass: float = -0.5
    height_scatter: float = 0.15
    width: tuple[float, float] = (0.12, 0.22)
    quadrupole: float = 0.65
    dipole: float = 1.5
    small_separation: float = 0.12
    spacing: tuple[float, float] = (75.0, 300.0)
    coupling: tuple[float, float] = (0.05, 0.13)


def envelope_width(nu_max: ArrayLike) -> Floats:
    """Full width at half maximum of the envelope of modes, muHz (2012A&A...537A..30M)."""
    return np.asarray(0.66 * np.asarray(nu_max, dtype=float) ** 0.88)


def epsilon(delta_nu: ArrayLike) -> Floats:
    """Offset of the radial comb, nu = (n + epsilon) delta_nu (2012A&A...541A..51C)."""
    return np.asarray(0.634 + 0.546 * np.log10(np.asarray(delta_nu, dtype=float)))


@numba.njit(cache=True, nogil=True)
def _lines(
    spectrum: Floats, start: float, step: float, nu_max: float, delta_nu: float, sigma: float, height: float,
    offset: float, width: float, quadrupole: float, dipole: float, small: float, spacing: float, coupling: float,
) -> None:  # fmt: skip
    """Add the modes of one star to its flat spectrum."""
    count = len(spectrum)
    # all modes of one order together carry height * delta_nu under the envelope
    area = height * delta_nu / (1.0 + quadrupole + dipole)
    first = max(1, int((nu_max - 3.2 * sigma) / delta_nu))
    last = int((nu_max + 3.2 * sigma) / delta_nu) + 1
    for n in range(first, last + 1):
        radial = (n + offset) * delta_nu
        _add(spectrum, count, start, step, radial, width, area * np.exp(-0.5 * ((radial - nu_max) / sigma) ** 2))
        two = radial - small * delta_nu
        share = area * quadrupole * np.exp(-0.5 * ((two - nu_max) / sigma) ** 2)
        _add(spectrum, count, start, step, two, width, share)
        one = radial + 0.5 * delta_nu - 0.02 * delta_nu
        total = area * dipole * np.exp(-0.5 * ((one - nu_max) / sigma) ** 2)
        reach = 3.0 * coupling * delta_nu
        gap = spacing * 1e-6 * one * one  # muHz between gravity modes
        if gap > reach:
            _add(spectrum, count, start, step, one, width, total)
            continue
        low = int(1e6 / ((one + reach) * spacing)) + 1
        high = int(1e6 / (max(one - reach, 0.1) * spacing))
        norm = 0.0
        for order in range(low, high + 1):
            nu = 1e6 / (order * spacing)
            norm += np.exp(-0.5 * ((nu - one) / (coupling * delta_nu)) ** 2)
        for order in range(low, high + 1):
            nu = 1e6 / (order * spacing)
            part = np.exp(-0.5 * ((nu - one) / (coupling * delta_nu)) ** 2) / max(norm, 1e-9)
            _add(spectrum, count, start, step, nu, 0.5 * width, total * part)


@numba.njit(cache=True, nogil=True)
def _add(spectrum: Floats, count: int, start: float, step: float, center: float, width: float, area: float) -> None:
    reach = 15.0 * width
    a = max(int((center - reach - start) / step), 0)
    b = min(int((center + reach - start) / step) + 1, count)
    for k in range(a, b):
        x = 2.0 * (start + k * step - center) / width
        spectrum[k] += area * 0.6366197723675814 / width / (1.0 + x * x)


@dataclass(frozen=True)
class MadePower:
    """Made power spectra over their backgrounds, and the heights that were drawn."""

    frequency: Floats
    power: Floats
    height: Floats


def make_power(
    nu_max: ArrayLike,
    delta_nu: ArrayLike,
    mass: ArrayLike,
    clump: ArrayLike,
    *,
    seed: int | np.random.Generator,
    frequency: ArrayLike,
    settings: Oscillations | None = None,
    noise: bool = True,
) -> MadePower:
    """Power over background of red giants, one row a star.

    Parameters
    ----------
    nu_max, delta_nu : (n,) muHz.
    mass : (n,) Msun.
    clump : (n,) True for the red clump.
    seed : of the noise, the heights and the spacings.
    frequency : (m,) muHz, equally spaced.
    settings : the named numbers.
    noise : False for the limit spectrum.

    Raises
    ------
    ConfigError
        When a quantity is not positive or the frequencies are not equally spaced.

    Examples
    --------
    >>> import numpy as np
    >>> made = make_power([100.0], [8.8], [1.2], [False], seed=1, frequency=np.arange(2, 270, 0.1), noise=False)
    >>> bool(made.power.min() >= 1.0)
    True
    """
    rng, numbers = generator(seed), settings or Oscillations()
    top, gap, weight = (np.atleast_1d(np.asarray(part, dtype=float)) for part in (nu_max, delta_nu, mass))
    red = np.atleast_1d(np.asarray(clump, dtype=bool)).astype(np.int64)
    if not top.shape == gap.shape == weight.shape == red.shape:
        raise ConfigError("nu_max, delta_nu, mass and clump must be of one length")
    for name, values in (("nu_max", top), ("delta_nu", gap), ("mass", weight)):
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise ConfigError(
                f"{name} must be positive: row {int(np.argmin(np.isfinite(values) & (values > 0)))} is not"
            )
    nu = np.asarray(frequency, dtype=float)
    step = float(nu[1] - nu[0]) if len(nu) > 1 else 0.0
    if step <= 0 or not np.allclose(np.diff(nu), step, rtol=1e-6):
        raise ConfigError("the frequencies must rise by equal steps")
    height = (
        numbers.height * (weight / 1.2) ** numbers.height_mass * np.exp(rng.normal(0, numbers.height_scatter, len(top)))
    )
    phase = epsilon(gap) + rng.normal(0.0, 0.02, len(top))
    spacing = np.array(numbers.spacing)[red] * rng.normal(1.0, 0.05, len(top))
    power = np.ones((len(top), len(nu)))
    sigma = envelope_width(top) / 2.355
    for row in range(len(top)):
        _lines(
            power[row], nu[0], step, top[row], gap[row], sigma[row], height[row], phase[row],
            numbers.width[red[row]], numbers.quadrupole, numbers.dipole, numbers.small_separation, spacing[row],
            numbers.coupling[red[row]],
        )  # fmt: skip
    if noise:
        for row in range(len(top)):  # row by row: the same stars get the same noise however many follow
            power[row] *= rng.exponential(size=len(nu))
    return MadePower(nu, power, height)
