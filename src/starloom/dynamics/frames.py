"""Where the Sun is and how it moves: the one object that every conversion to the Galaxy's frame goes through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.coordinates import Galactocentric


@dataclass(frozen=True)
class GalacticFrame:
    """The Sun's place and motion in the Galaxy, in a right-handed frame with the Sun at x = -R0 (astropy's convention).

    Parameters
    ----------
    r0 : distance of the Sun from the Galactic center (kpc).
    z_sun : height of the Sun above the mid-plane (kpc).
    v_sun : velocity of the Sun (km/s), shape (3,): towards the center, along rotation, to the north Galactic pole.
    name : what to call it.

    The default is astropy's "v4.0" set (GRAVITY Collaboration 2018, Drimmel & Poggio 2018, Bennett & Bovy 2019).

    Examples
    --------
    >>> GalacticFrame().r0
    8.122
    """

    r0: float = 8.122
    z_sun: float = 0.0208
    v_sun: tuple[float, float, float] = (12.9, 245.6, 7.78)
    name: str = "astropy v4.0"

    def galactocentric(self) -> Galactocentric:
        """The same frame as astropy's object."""
        import astropy.coordinates as coordinates
        import astropy.units as u

        return coordinates.Galactocentric(
            galcen_distance=self.r0 * u.kpc,
            galcen_v_sun=coordinates.CartesianDifferential(*(self.v_sun * u.km / u.s)),
            z_sun=self.z_sun * u.kpc,
        )
