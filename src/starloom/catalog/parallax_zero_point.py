"""Zero point of Gaia (E)DR3 parallaxes by magnitude, color and ecliptic latitude (Lindegren et al. 2021).

Z(G, nu, beta) = sum over j, k of q_jk(G) c_j(nu) b_k(beta), with q_jk linear in G between the nodes of tables 9 (five
parameters solved, nu the effective wavenumber) and 10 (six parameters, nu the pseudocolor); arXiv:2012.01742,
equations A.3 to A.5. The corrected parallax is the published one minus Z.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError

Floats = NDArray[np.float64]
FIVE, SIX = 31, 95  # astrometric_params_solved
_G = (6.0, 10.8, 11.2, 11.8, 12.2, 12.9, 13.1, 15.9, 16.1, 17.5, 19.0, 20.0, 21.0)
# (j, k) -> q_jk at the nodes, microarcsec; table 9
_FIVE_PARAMETERS = {
    (0, 0): (-26.98, -27.23, -30.33, -33.54, -13.65, -19.53, -37.99, -38.33, -31.05, -29.18, -18.40, -12.65, -18.22),
    (0, 1): (-9.62, -3.07, -9.23, -10.08, -0.07, -1.64, 2.63, 5.61, 2.83, -0.09, 5.98, -4.57, -15.24),
    (0, 2): (27.40, 23.04, 9.08, 13.28, 9.35, 15.86, 16.14, 15.42, 8.59, 2.41, -6.46, -7.46, -18.54),
    (1, 0): (-25.1, 35.3, -88.4, -126.7, -111.4, -66.8, -5.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (1, 1): (0.0, 15.7, -11.8, 11.6, 40.6, 20.6, 14.0, 18.7, 15.5, 24.5, 5.5, 97.9, 128.2),
    (2, 0): (-1257.0,) * 7 + (-1189.0, -1404.0, -1165.0, 0.0, 0.0, 0.0),
    (3, 0): (0.0,) * 6 + (107.9, 243.8, 105.5, 189.7, 0.0, 0.0, 0.0),
    (4, 0): (0.0,) * 6 + (104.3, 155.2, 170.7, 325.0, 276.6, 0.0, 0.0),
}
# table 10
_SIX_PARAMETERS = {
    (0, 0): (-27.85, -28.91, -26.72, -29.04, -12.39, -18.99, -38.29, -36.83, -28.37, -24.68, -15.32, -13.73, -29.53),
    (0, 1): (-7.78, -3.57, -8.74, -9.69, -2.16, -1.93, 2.59, 4.20, 1.99, -1.37, 4.01, -10.92, -20.34),
    (0, 2): (27.47, 22.92, 9.36, 13.63, 10.23, 15.90, 16.20, 15.76, 9.28, 3.52, -6.03, -8.30, -18.74),
    (1, 0): (-32.1, 7.7, -30.3, -49.4, -92.6, -57.2, -10.5, 22.3, 50.4, 86.8, 29.2, -74.4, -39.5),
    (1, 1): (14.4, 12.6, 5.6, 36.3, 19.8, -8.0, 1.4, 11.1, 17.2, 19.8, 14.1, 196.4, 326.8),
    (1, 2): (9.5, 1.6, 17.2, 17.7, 27.6, 19.9, 0.4, 10.0, 13.7, 21.3, 0.4, -42.0, -262.3),
    (2, 0): (
        *(-67.0, -572.0, -1104.0, -1129.0, -365.0, -554.0, -960.0, -1367.0, -1351.0, -1380.0, -563.0, 536.0, 1598.0),
    ),
}
_VALID = {FIVE: (1.1, 1.9), SIX: (1.24, 1.72)}


def parallax_zero_point(
    phot_g_mean_mag: ArrayLike,
    nu_eff_used_in_astrometry: ArrayLike,
    pseudocolour: ArrayLike,
    ecl_lat: ArrayLike,
    astrometric_params_solved: ArrayLike,
) -> Floats:
    """Parallax zero point in mas; subtract it from the published parallax.

    Parameters
    ----------
    phot_g_mean_mag : (n,) mag.
    nu_eff_used_in_astrometry : (n,) effective wavenumber, 1/micron; read where five parameters were solved.
    pseudocolour : (n,) 1/micron; read where six were.
    ecl_lat : (n,) ecliptic latitude, deg.
    astrometric_params_solved : (n,) 31 for five parameters, 95 for six, 3 for two (no parallax: NaN).

    Returns
    -------
    ndarray
        (n,) mas; NaN outside 6 < G < 21, outside 1.1 to 1.9 (five) or 1.24 to 1.72 (six) per micron, where an input
        is missing, and where no parallax was solved for.

    Raises
    ------
    CatalogError
        When the columns differ in length.

    Examples
    --------
    >>> parallax_zero_point(18.0, 1.5, np.nan, 30.0, 31).round(4)
    array([-0.0244])
    """
    columns = [
        np.atleast_1d(np.asarray(values, dtype=np.float64))
        for values in (phot_g_mean_mag, nu_eff_used_in_astrometry, pseudocolour, ecl_lat, astrometric_params_solved)
    ]
    if len({column.shape for column in columns}) > 1:
        raise CatalogError(f"columns for the parallax zero point differ in length: {[len(c) for c in columns]}")
    magnitude, wavenumber, pseudo, latitude, solved = columns
    result = np.full(magnitude.shape, np.nan)
    for kind, table, color in ((FIVE, _FIVE_PARAMETERS, wavenumber), (SIX, _SIX_PARAMETERS, pseudo)):
        low, high = _VALID[kind]
        rows = (solved == kind) & (magnitude >= _G[0]) & (magnitude <= _G[-1]) & (color >= low) & (color <= high)
        c, b = _color_terms(color[rows]), _latitude_terms(latitude[rows])
        total = np.zeros(int(rows.sum()))
        for (j, k), nodes in table.items():
            total += np.interp(magnitude[rows], _G, nodes) * c[j] * b[k]
        result[rows] = 1e-3 * total
    return result


def _color_terms(nu: Floats) -> tuple[Floats, ...]:
    return (
        np.ones_like(nu),
        np.clip(nu - 1.48, -0.24, 0.24),
        np.clip(1.48 - nu, 0.0, 0.24) ** 3,
        np.minimum(nu - 1.24, 0.0),
        np.maximum(nu - 1.72, 0.0),
    )


def _latitude_terms(latitude: Floats) -> tuple[Floats, ...]:
    sine = np.sin(np.radians(latitude))
    return np.ones_like(sine), sine, sine**2 - 1.0 / 3.0
