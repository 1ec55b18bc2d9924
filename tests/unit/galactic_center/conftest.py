"""A made set of tracks, made bolometric corrections, and the sky of both."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.galactic_center.evolution import StellarTracks
from starloom.galactic_center.flight import galaxy
from starloom.galactic_center.photometry import BANDS, Photometer
from starloom.galactic_center.sky import Sky
from starloom.stellar.extinction import ExponentialDust

EEPS = 40


def life(mass):
    """Gyr: ten for a solar mass, as m^-2.5."""
    return 10.0 * np.asarray(mass) ** -2.5


def made_tracks():
    """A star of phase e (0 to 39) has lived the share (e + 1)/40 of its life; luminosity and Teff are laws of both."""
    fe_h, log_age = np.array([-0.25, 0.0, 0.25]), np.arange(5.0, 10.31, 0.05)
    eep = np.arange(EEPS)
    values = np.full((3, len(log_age), EEPS, 4), np.nan)
    for j, age in enumerate(10.0 ** (log_age - 9.0)):
        mass = (10.0 * (eep + 1.0) / EEPS / age) ** 0.4
        values[:, j, :, 0] = np.log10(mass)
        values[:, j, :, 1] = np.clip(3.76 + 0.5 * np.log10(mass) - 0.002 * eep, 3.45, 4.6)
        values[:, j, :, 2] = 4.4 - 0.04 * eep
        values[:, j, :, 3] = 3.5 * np.log10(mass) + 0.03 * eep
    log_mass = np.linspace(-1.0, 2.3, 200)
    return StellarTracks(fe_h, log_age, 1, values, np.tile(np.log10(life(10.0**log_mass)), (3, 1)), log_mass, "made")


class MadeCorrections:
    """Corrections that are laws of temperature and extinction."""

    def corrections(self, teff, logg, fe_h, bands, a_v=0.0):
        color = np.log10(np.asarray(teff) / 5772.0)
        slope = {"gaia_g": 0.9, "gaia_bp": 1.1, "gaia_rp": 0.6, "bessell_v": 1.0, "bessell_i": 0.6}
        tint = {"gaia_g": 0.0, "gaia_bp": 1.0, "gaia_rp": -2.0, "bessell_v": 0.0, "bessell_i": -2.5}
        return np.stack([tint[band] * color - slope[band] * np.asarray(a_v) for band in bands], axis=-1)

    def a_v_range(self, band):
        return 0.0, 6.0


@pytest.fixture(scope="session")
def tracks():
    return made_tracks()


@pytest.fixture(scope="session")
def photometer():
    assert set(BANDS) == {"gaia_g", "gaia_bp", "gaia_rp", "bessell_v", "bessell_i"}
    return Photometer(MadeCorrections(), ExponentialDust())


@pytest.fixture(scope="session")
def sky(tracks, photometer):
    return Sky(galaxy("Marchetti2017"), tracks, photometer)
