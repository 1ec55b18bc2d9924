"""How much dust dims each band: extinction per unit reddening."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError

COEFFICIENTS = {
    "ps1_g": 3.518,
    "ps1_r": 2.617,
    "ps1_i": 1.971,
    "ps1_z": 1.549,
    "ps1_y": 1.263,
    "2mass_j": 0.7927,
    "2mass_h": 0.4690,
    "2mass_ks": 0.3026,
}
"""A_band / E for the reddening unit of the Bayestar19 dust map (2019ApJ...887...93G, table 1).

arXiv:2311.16960 takes g, r, i, z, y from the same table; its g is printed 3.158, two digits exchanged.
"""

SFD_COEFFICIENTS = {"ps1_g": 3.172, "ps1_r": 2.271, "ps1_i": 1.682, "ps1_z": 1.322, "ps1_y": 1.087}
"""A_band / E(B-V) for the map of 1998ApJ...500..525S as it stands (2011ApJ...737..103S, table 6, R_V = 3.1).

That map's E(B-V) is too large by 14 %, which these coefficients allow for: they are smaller than those above.
"""

UNITS = ("bayestar19", "sfd")


def extinction_coefficient(band: str, unit: str = "bayestar19") -> float:
    """A_band / E(B-V) of a band, in mag per mag of reddening in the unit of a dust map.

    Parameters
    ----------
    band : name of the band.
    unit : the map that the reddening is from: "bayestar19" or "sfd".

    Raises
    ------
    ConfigError
        When no coefficient is known for the band.

    Examples
    --------
    >>> extinction_coefficient("ps1_r")
    2.617
    """
    if unit not in UNITS:
        raise ConfigError(f"no reddening in the unit of {unit!r} is known; there are: {', '.join(UNITS)}")
    known = COEFFICIENTS if unit == "bayestar19" else SFD_COEFFICIENTS
    if band not in known:
        raise ConfigError(f"no extinction coefficient is known for {band!r}; there are: {', '.join(known)}")
    return known[band]


def deredden(magnitudes: ArrayLike, band: str, ebv: ArrayLike, unit: str = "bayestar19") -> NDArray[np.float64]:
    """Magnitudes corrected for dust.

    Parameters
    ----------
    magnitudes : observed magnitudes (n,).
    band : name of the band, such as ``ps1_g``.
    ebv : reddening E(B-V) in mag, (n,) or one number; NaN gives NaN.
    unit : the map that it is from, "bayestar19" or "sfd".

    Returns
    -------
    magnitudes : shape (n,), in mag.

    Raises
    ------
    ConfigError
        When the band has no coefficient, the lengths differ, or a reddening is infinite.

    Examples
    --------
    >>> deredden([20.0], "ps1_r", 0.1)
    array([19.7383])
    """
    coefficient = extinction_coefficient(band, unit)
    observed, reddening = np.asarray(magnitudes, dtype=np.float64), np.asarray(ebv, dtype=np.float64)
    if reddening.ndim and reddening.shape != observed.shape:
        raise ConfigError(f"E(B-V) has the shape {reddening.shape}, the magnitudes have {observed.shape}")
    if np.isinf(reddening).any():
        raise ConfigError("an E(B-V) is infinite; write NaN where the reddening is not known")
    return np.asarray(observed - coefficient * reddening)


def extinction_curve(wavelength_nm: ArrayLike, r_v: float = 3.1) -> NDArray[np.float64]:
    """A(lambda) / A(V) of 1989ApJ...345..245C in the optical and near infrared, 303 to 3333 nm; NaN elsewhere.

    Examples
    --------
    >>> extinction_curve([549.5, 2159.0]).round(3).tolist()
    [1.0, 0.117]
    """
    from numpy.polynomial.polynomial import polyval

    x = 1000.0 / np.atleast_1d(np.asarray(wavelength_nm, dtype=float))
    y = x - 1.82
    red = x < 1.1
    power = np.where(red, x, 1.0) ** 1.61
    a = polyval(y, [1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999])
    b = polyval(y, [0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002])
    curve = np.where(red, 0.574 * power, a) + np.where(red, -0.527 * power, b) / r_v
    return np.asarray(np.where((x >= 0.3) & (x <= 3.3), curve, np.nan))
