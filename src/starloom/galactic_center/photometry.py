"""How bright an ejected star is from here: bolometric corrections through dust, and the band of Gaia's spectrograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.galactic_center.evolution import Physics
from starloom.stellar.extinction import DustMap
from starloom.stellar.isochrones import SUN_MBOL

if TYPE_CHECKING:
    from starloom.stellar.photometry import BolometricCorrections

Array = NDArray[np.float64]
BANDS = ("gaia_g", "gaia_bp", "gaia_rp", "bessell_v", "bessell_i")
A_V_PER_EBV = 2.742  # of a reddening in the unit of Bayestar19 or of the recalibrated SFD map (2011ApJ...737..103S)
# G - G_RVS against V - I_C, 2010A&A...523A..48J table 3
JORDI = (-0.0138, 1.1168, -0.1811, 0.0085)


class Magnitudes(NamedTuple):
    """Apparent magnitudes (n,); NaN outside the corrections."""

    g: Array
    bp: Array
    rp: Array
    g_rvs: Array
    a_v: Array


@dataclass(frozen=True)
class Photometer:
    """Magnitudes of stars anywhere in the Galaxy.

    Parameters
    ----------
    corrections : of the dataset ``bolometric_corrections``, or of the same layout.
    dust : any dust map; None for empty space.
    a_v_per_ebv : A_V over the map's E(B-V).
    """

    corrections: BolometricCorrections
    dust: DustMap | None = None
    a_v_per_ebv: float = A_V_PER_EBV

    def magnitudes(
        self, stars: Physics, fe_h: ArrayLike, l: ArrayLike, b: ArrayLike, distance: ArrayLike
    ) -> Magnitudes:
        """Apparent magnitudes.

        Beyond the largest A_V of the corrections (6 mag) the last two nodes are continued in a straight line: such
        stars are behind the dust of the inner disk and too faint to matter, and so they stay faint.

        Parameters
        ----------
        stars : where they are on their tracks (n,).
        fe_h : metallicity (n,).
        l, b : Galactic coordinates (deg), (n,).
        distance : kpc (n,).
        """
        d = np.asarray(distance, dtype=float)
        a_v = np.zeros(len(d))
        known = np.isfinite(d)
        if self.dust is not None and known.any():
            reddening = self.dust.ebv(np.asarray(l)[known], np.asarray(b)[known], d[known])
            a_v[known] = self.a_v_per_ebv * np.asarray(reddening)
        most = self.corrections.a_v_range("gaia_g")[1]
        teff, logg, metallicity = 10.0**stars.log_teff, stars.logg, np.asarray(fe_h, dtype=float)
        correction = self.corrections.corrections(teff, logg, metallicity, BANDS, np.minimum(a_v, most))
        deep = np.flatnonzero(a_v > most)
        if len(deep):
            before = self.corrections.corrections(teff[deep], logg[deep], metallicity[deep], BANDS, most - 1.0)
            correction[deep] += (correction[deep] - before) * (a_v[deep] - most)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            modulus = 5.0 * np.log10(100.0 * d)
        bright = (SUN_MBOL - 2.5 * stars.log_l + modulus)[:, None] - correction
        g, bp, rp, v, i = bright.T
        return Magnitudes(g, bp, rp, g - np.polynomial.polynomial.polyval(v - i, JORDI), a_v)
