"""A measured selection function in the place of Gaia's magnitude rules: counts over the sky, magnitude and color.

The layout is that of counts in HEALPix pixels (n stars, k of them with a velocity), as the maps of gaiaunlimited have
it (Cantat-Gaudin et al. 2023, 2208.09335; Castro-Ginard et al. 2023, 2303.17738); the user brings the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.frames import Observed
from starloom.errors import CatalogError, ConfigError
from starloom.galactic_center.photometry import Magnitudes

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CountMap:
    """Share of stars with a velocity, from counts.

    A cell without a star with a velocity gives 0, as the authors have it; the others give (k + 1) / (n + 2), the mean
    of the posterior under a flat prior. Stars beyond the edges get 0.

    Parameters
    ----------
    n, k : counts of stars and of those with a velocity (colors, magnitudes, pixels).
    color_edges, magnitude_edges : of G - G_RP and G, rising, one more than the cells.
    order : "nested" or "ring" pixels of the sky in ICRS.

    Raises
    ------
    ConfigError
        When shapes do not fit, edges do not rise, the pixels are no HEALPix number, or k is above n.
    """

    n: Array
    k: Array
    color_edges: Array
    magnitude_edges: Array
    order: Literal["nested", "ring"] = "nested"

    def __post_init__(self) -> None:
        n, k = np.asarray(self.n, dtype=float), np.asarray(self.k, dtype=float)
        edges = [np.asarray(part, dtype=float) for part in (self.color_edges, self.magnitude_edges)]
        if n.ndim != 3 or n.shape != k.shape or n.shape[:2] != tuple(len(part) - 1 for part in edges):
            raise ConfigError(f"counts {n.shape} and {k.shape} do not fit edges of {[len(part) - 1 for part in edges]}")
        if not all((np.diff(part) > 0).all() for part in edges):
            raise ConfigError("the edges of a selection map must rise")
        side = np.sqrt(n.shape[2] / 12.0)
        if side != int(side) or int(side) & (int(side) - 1):
            raise ConfigError(f"{n.shape[2]} pixels are no HEALPix map")
        if not (np.isfinite(n) & np.isfinite(k)).all() or (k > n).any() or (k < 0).any():
            raise ConfigError("counts must be finite, with 0 <= k <= n")

    @classmethod
    def open(cls, path: str | Path, color_edges: ArrayLike, magnitude_edges: ArrayLike) -> CountMap:
        """Read the datasets ``n`` and ``k`` (colors, magnitudes, pixels) of an HDF5 file.

        Raises
        ------
        CatalogError
            When the file cannot be read or lacks them.
        ConfigError
            When they do not fit the edges.
        """
        import h5py

        try:
            with h5py.File(path, "r") as file:
                n, k = (np.asarray(file[name][:], dtype=np.float64) for name in ("n", "k"))
        except (OSError, KeyError) as error:
            raise CatalogError(f"{path} is no selection map with datasets n and k: {error}") from error
        return cls(n, k, np.asarray(color_edges, dtype=float), np.asarray(magnitude_edges, dtype=float))

    def __call__(self, seen: Observed, magnitudes: Magnitudes) -> Array:
        """Probability that each star has a velocity (n,)."""
        from astropy import units as u
        from astropy_healpix import HEALPix

        n, k = np.asarray(self.n), np.asarray(self.k)
        sky = HEALPix(int(np.sqrt(n.shape[2] / 12)), order=self.order)
        known = np.isfinite(seen.ra) & np.isfinite(seen.dec)
        pixel = np.zeros(len(seen.ra), dtype=np.int64)
        pixel[known] = sky.lonlat_to_healpix(seen.ra[known] * u.deg, seen.dec[known] * u.deg)
        cells = []
        inside = known.copy()
        for values, edges in ((magnitudes.g - magnitudes.rp, self.color_edges), (magnitudes.g, self.magnitude_edges)):
            with np.errstate(invalid="ignore"):
                inside &= (values >= edges[0]) & (values < edges[-1])
            cells.append(np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2))
        stars, having = n[cells[0], cells[1], pixel], k[cells[0], cells[1], pixel]
        return np.where(inside & (having > 0), (having + 1.0) / (stars + 2.0), 0.0)
