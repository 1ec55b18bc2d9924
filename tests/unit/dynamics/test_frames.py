from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.coordinates import Galactocentric, galactocentric_frame_defaults

from starloom.dynamics.frames import GalacticFrame


def test_the_default_is_astropys_v4():
    with galactocentric_frame_defaults.set("v4.0"):
        expected = Galactocentric()
    found = GalacticFrame().galactocentric()
    assert found.galcen_distance.to_value(u.kpc) == expected.galcen_distance.to_value(u.kpc)
    assert found.z_sun.to_value(u.kpc) == expected.z_sun.to_value(u.kpc)
    np.testing.assert_allclose(
        found.galcen_v_sun.xyz.to_value(u.km / u.s), expected.galcen_v_sun.xyz.to_value(u.km / u.s)
    )


def test_another_sun():
    found = GalacticFrame(8.0, 0.0, (0.0, 220.0, 0.0), "round").galactocentric()
    assert found.galcen_distance.to_value(u.kpc) == 8.0
    np.testing.assert_allclose(found.galcen_v_sun.xyz.to_value(u.km / u.s), [0, 220, 0])
