"""What halos are made and seen with, as arXiv:2306.03084 took it: the Galaxy, velocities, giants, dust and fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starloom.dynamics.distribution_functions import DistributionMixture, constant_anisotropy, osipkov_merritt
from starloom.dynamics.potentials import Potential, potential
from starloom.dynamics.spherical_potentials import SphericalPotential
from starloom.dynamics.tracer_densities import PowerLawTracer
from starloom.halo.completeness import Velocities
from starloom.halo.survey import FRAME, halo_giants
from starloom.selection.tracers import Tracers

if TYPE_CHECKING:
    from starloom.stellar.extinction import DustMap
    from starloom.stellar.isochrone_grids import IsochroneGrid
    from starloom.stellar.photometry import BolometricCorrections

POTENTIAL = "MWPotential2014"
IRON = {"accreted": (-2.0, -0.6), "halo": (-3.0, -0.6)}  # [Fe/H] of the fits
BETA, REST_BETA = 0.8, 0.3
DUST_RATE = 0.25  # E(B-V) per kpc at the Sun


def galaxy() -> Potential:
    """The potential of the orbits."""
    return potential(POTENTIAL)


def constant_beta(beta: float = BETA) -> Velocities:
    """Velocities of one anisotropy, in the sphere that stands in for the Galaxy."""
    return constant_anisotropy(SphericalPotential.of(galaxy()), PowerLawTracer(), beta)


def two_functions(radii: tuple[float, float], share: float) -> Velocities:
    """A mixture of two of Osipkov's and Merritt's functions: anisotropy radii in kpc, and the share of the first."""
    sphere, density = SphericalPotential.of(galaxy()), PowerLawTracer()
    return DistributionMixture([osipkov_merritt(sphere, density, radius) for radius in radii], [share, 1.0 - share])


def analytic_dust(rate: float = DUST_RATE) -> DustMap:
    """An exponential disk of dust."""
    from starloom.stellar.extinction import ExponentialDust

    return ExponentialDust(local_rate=rate, r0=FRAME.r0, z_sun=FRAME.z_sun)


def stellar_models(grid: str = "mist") -> tuple[IsochroneGrid, BolometricCorrections]:
    """Isochrones and bolometric corrections of the datasets."""
    from starloom.datasets.access import locate
    from starloom.stellar.isochrone_grids import IsochroneGrid
    from starloom.stellar.photometry import BolometricCorrections

    models = IsochroneGrid.open(locate("isochrone_grids", grid).path)
    return models, BolometricCorrections.open(locate("bolometric_corrections").path)


def giants(
    grid: str = "mist", mass_function: str = "chabrier_2003", fe_h: tuple[float, float] = IRON["accreted"]
) -> Tracers:
    """Old giants of one of the grids."""
    models, corrections = stellar_models(grid)
    return halo_giants(models, corrections, mass_function_name=mass_function, fe_h=fe_h)
