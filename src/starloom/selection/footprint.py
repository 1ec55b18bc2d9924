"""Where a survey looked: circular fields, which of them hold a star, and the pieces into which they cut the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.matching import unit_vectors
from starloom.errors import ConfigError

Floats = NDArray[np.float64]
SQUARE_DEGREE = (np.pi / 180.0) ** 2  # sr


@njit(cache=True, nogil=True)
def _inside(stars: Floats, centers: Floats, chord: Floats, most: int) -> NDArray[np.int64]:
    """The fields that hold each star, at most ``most``, -1 after the last; -2 in the first place if there are more.

    Only fields at about the height of the star on the sphere are looked at. Squared chords keep their digits at small
    separations, where cosines do not.
    """
    found = np.full((len(stars), most), -1, dtype=np.int64)
    order = np.argsort(centers[:, 2])
    height, reach = centers[order, 2], np.sqrt(chord.max()) if len(chord) else 0.0
    for k in range(len(stars)):
        count = 0
        for place in range(np.searchsorted(height, stars[k, 2] - reach), len(order)):
            dz = stars[k, 2] - height[place]
            if dz < -reach:
                break
            j = order[place]
            dx, dy = stars[k, 0] - centers[j, 0], stars[k, 1] - centers[j, 1]
            if dx * dx + dy * dy + dz * dz < chord[j]:
                if count == most:
                    found[k, 0] = -2
                    break
                slot = count
                while slot > 0 and found[k, slot - 1] > j:
                    found[k, slot] = found[k, slot - 1]
                    slot -= 1
                found[k, slot] = j
                count += 1
    return found


@dataclass(frozen=True)
class Regions:
    """The sky cut into pieces, each inside the same set of fields.

    Parameters
    ----------
    fields : for each region, the indices of the fields that hold it, growing.
    area : (n,) deg2.
    l, b : (n,) a point of the region near its middle, deg.
    pixel_region : (p,) region of each pixel with which the regions were found.
    pixel_l, pixel_b : (p,) their centers, deg.
    """

    fields: tuple[tuple[int, ...], ...]
    area: Floats
    l: Floats
    b: Floats
    pixel_region: NDArray[np.int64]
    pixel_l: Floats
    pixel_b: Floats

    def __len__(self) -> int:
        return len(self.fields)


@dataclass(frozen=True)
class Fields:
    """Circular fields (plates) on the sky.

    Parameters
    ----------
    name : (n,) names.
    l, b : (n,) centers in Galactic longitude and latitude, deg.
    radius : (n,) deg.

    Examples
    --------
    >>> fields = Fields(["a", "b"], [10.0, 12.0], [0.0, 0.0], [1.5, 1.5])
    >>> fields.containing([11.0, 9.0, 50.0], [0.0, 0.0, 0.0])[:, :2].tolist()
    [[0, 1], [0, -1], [-1, -1]]
    """

    name: NDArray[np.str_]
    l: Floats
    b: Floats
    radius: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", np.asarray(self.name, dtype=np.str_))
        for key in ("l", "b", "radius"):
            object.__setattr__(self, key, np.asarray(getattr(self, key), dtype=np.float64))
        shapes = {key: getattr(self, key).shape for key in ("name", "l", "b", "radius")}
        if len(set(shapes.values())) > 1 or self.name.ndim != 1 or len(self.name) == 0:
            raise ConfigError(
                f"fields need names, centers and radii of one length and at least one field; got {shapes}"
            )
        if not (np.isfinite(self.l).all() and (np.abs(self.b) <= 90).all() and (self.radius > 0).all()):
            raise ConfigError("a field has a center that is no position or a radius that is not above 0")

    def __len__(self) -> int:
        return len(self.name)

    @property
    def area(self) -> Floats:
        """Area of each field (n,) in deg2, exact for a circle on the sphere."""
        return np.asarray(4.0 * np.pi * np.sin(np.radians(self.radius) / 2.0) ** 2 / SQUARE_DEGREE)

    def containing(self, l: ArrayLike, b: ArrayLike) -> NDArray[np.int64]:
        """The fields that hold each position: (n, m) indices, -1 where there are no more.

        Positions that are not finite are in no field.
        """
        stars = unit_vectors(np.atleast_1d(l), np.atleast_1d(b))
        centers, chord = unit_vectors(self.l, self.b), 4.0 * np.sin(np.radians(self.radius) / 2.0) ** 2
        most = 4
        while True:
            found: NDArray[np.int64] = _inside(stars, centers, chord, most)
            if not (found[:, 0] == -2).any():
                return found
            most *= 2

    def regions(self, nside: int = 128) -> Regions:
        """Cut the sky where fields overlap.

        Parameters
        ----------
        nside : of the HEALPix pixels by whose centers the pieces are told apart (a power of two). A field with fewer
            than 12 pixels gets finer ones. The pixels' areas are scaled so that each field keeps its exact area.

        Returns
        -------
        Regions
            Every piece of the sky once: the sum of its areas is the area of the union of all fields.
        """
        from astropy_healpix import HEALPix, healpy

        if nside < 1 or nside & (nside - 1):
            raise ConfigError(f"nside must be a power of two, got {nside}")
        finest = float(np.sqrt(self.area.min() / 12.0))
        while np.degrees(np.sqrt(np.pi / 3.0)) / nside > finest:
            nside *= 2
        healpix = HEALPix(nside=nside, order="nested")
        import astropy.units as u

        parts = [
            healpix.cone_search_lonlat(lon * u.deg, lat * u.deg, radius * u.deg)
            for lon, lat, radius in zip(self.l, self.b, self.radius, strict=True)
        ]
        pixels = np.unique(np.concatenate(parts))
        lon, lat = healpy.pix2ang(nside, pixels, nest=True, lonlat=True)
        members = self.containing(lon, lat)
        kept = members[:, 0] >= 0
        lon, lat, members = lon[kept], lat[kept], members[kept]
        sets, region = np.unique(members, axis=0, return_inverse=True)
        region = np.asarray(region).ravel()
        counts = np.stack(
            [np.bincount(members[members[:, k] >= 0, k], minlength=len(self)) for k in range(members.shape[1])]
        )
        pixel_area = self.area / np.maximum(counts.sum(axis=0), 1)  # of each field's own pixels
        fields = tuple(tuple(int(j) for j in row if j >= 0) for row in sets)
        number = np.bincount(region, minlength=len(fields))
        area = np.array(
            [n * float(np.mean(pixel_area[list(inside)])) for n, inside in zip(number, fields, strict=True)]
        )
        vectors = unit_vectors(lon, lat)
        middle = np.stack([np.bincount(region, vectors[:, k], minlength=len(fields)) for k in range(3)], axis=1)
        return Regions(
            fields,
            area,
            np.degrees(np.arctan2(middle[:, 1], middle[:, 0])) % 360.0,
            np.degrees(np.arctan2(middle[:, 2], np.hypot(middle[:, 0], middle[:, 1]))),
            region,
            lon,
            lat,
        )
