"""One spectrum of a survey: vacuum wavelengths, flux, inverse variance, the survey's bits, and what came with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]
FLUX_UNIT = "1e-17 erg / (Angstrom s cm2)"
LIGHT_SPEED = 299792.458  # km/s
SNAP = 1e-3  # of a step: how far a stored log wavelength may be from its grid (float32 keeps 2e-7 dex of 1e-4)


@dataclass(frozen=True)
class LogGrid:
    """Wavelengths equally spaced in log10: pixel k is at ``10 ** (start + step * k)`` Angstrom, in vacuum.

    Examples
    --------
    >>> grid = LogGrid(3.58, 1e-4, 3)
    >>> grid.wavelength.round(3).tolist()
    [3801.894, 3802.769, 3803.645]
    """

    start: float
    step: float
    count: int

    @property
    def wavelength(self) -> Floats:
        """Centers of the pixels (count,) in Angstrom."""
        return np.asarray(10.0 ** (self.start + self.step * np.arange(self.count)))

    @property
    def edges(self) -> Floats:
        """Edges of the pixels (count + 1,) in Angstrom."""
        return np.asarray(10.0 ** (self.start + self.step * (np.arange(self.count + 1) - 0.5)))

    @property
    def velocity(self) -> float:
        """Width of a pixel in km/s."""
        return LIGHT_SPEED * self.step * float(np.log(10.0))

    def offset(self, other: LogGrid) -> float:
        """Pixels from the first of this grid to the first of another one with the same step."""
        return (other.start - self.start) / self.step

    def aligned(self, other: LogGrid) -> bool:
        """Whether the pixels of another grid lie on those of this one, so that nothing has to be resampled."""
        places = self.offset(other)
        same_step = abs(other.step - self.step) * max(self.count, other.count) < SNAP * self.step
        return same_step and abs(places - round(places)) < 20 * SNAP

    @classmethod
    def through(
        cls, log_wavelength: ArrayLike, start: float | None = None, step: float | None = None
    ) -> LogGrid | None:
        """The grid on which stored log10 wavelengths lie; None where they are not equally spaced.

        Parameters
        ----------
        log_wavelength : (n,) log10 Angstrom, float32 as most files have them.
        start, step : of the header, where it has them; they are believed only if the stored values agree.
        """
        stored = np.asarray(log_wavelength, dtype=np.float64)
        if stored.ndim != 1 or len(stored) < 2 or not np.isfinite(stored).all():
            return None
        guess = step or float((stored[-1] - stored[0]) / (len(stored) - 1))
        if step is None and guess > 0:  # SDSS steps are round numbers: 1e-4, 6e-6
            rounded = float(f"{guess:.3g}")
            guess = rounded if abs(rounded - guess) * len(stored) < 0.05 * guess else guess
        first = start if start is not None else round(float(stored[0]) / guess) * guess if guess > 0 else np.nan
        grid = cls(float(first), float(guess), len(stored))
        off = np.abs(stored - (grid.start + grid.step * np.arange(grid.count)))
        resolution = 4 * float(np.finfo(np.float32).eps) * float(np.abs(stored).max())
        return grid if guess > 0 and off.max() < max(resolution, SNAP * guess) else None


@dataclass(frozen=True)
class Spectrum:
    """Flux against vacuum wavelength, with errors and the survey's bits.

    Parameters
    ----------
    wavelength : (n,) vacuum wavelengths in Angstrom, to the bit as the file gives them.
    flux : (n,) flux density.
    ivar : (n,) inverse variance; 0 where nothing is known of a pixel.
    mask : (n,) the survey's own bits, int64.
    name : which spectrum of its file, such as ``coadd`` or ``visit 2``.
    unit : unit of the flux; empty for one divided by its continuum.
    bad_bits : bits of ``mask`` that make a pixel unusable; `good` heeds them.
    grid : the exact grid of the wavelengths where they are equally spaced in log10.
    frame : of the wavelengths: ``observed``, ``barycentric`` (SDSS, BOSS: corrected for the motion of the Earth), or
        ``rest`` (APOGEE's combined stars: shifted by each visit's velocity).
    columns : further arrays (n,) of the file: ``sky``, ``model``, ``wdisp``, ... ``error`` is the file's own.
    meta : what else is known of it (redshift, velocity, MJD, ids, ...).
    """

    wavelength: Floats
    flux: Floats
    ivar: Floats
    mask: NDArray[np.int64]
    name: str = ""
    unit: str = FLUX_UNIT
    bad_bits: int = 0
    grid: LogGrid | None = None
    frame: Literal["observed", "barycentric", "rest"] = "barycentric"
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("wavelength", "flux", "ivar"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "mask", np.asarray(self.mask, dtype=np.int64))
        arrays = {name: getattr(self, name) for name in ("wavelength", "flux", "ivar", "mask")} | dict(self.columns)
        shapes = {name: np.shape(array) for name, array in arrays.items() if np.shape(array) != np.shape(self.flux)}
        if self.flux.ndim != 1 or len(self.flux) == 0 or shapes:
            raise CatalogError(
                f"spectrum {self.name!r}: all its arrays must be 1-D, of one length and not empty; the flux has the "
                f"shape {np.shape(self.flux)}" + "".join(f", {name} {shape}" for name, shape in shapes.items())
            )
        if (self.ivar < 0).any():
            pixel = int(np.argmax(self.ivar < 0))
            raise CatalogError(f"spectrum {self.name!r}: the inverse variance is negative in pixel {pixel}")

    def __len__(self) -> int:
        return len(self.flux)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Pixels with a finite flux, a positive inverse variance, and none of the bad bits."""
        usable = np.isfinite(self.flux) & np.isfinite(self.ivar) & (self.ivar > 0)
        return np.asarray(usable & ((self.mask & self.bad_bits) == 0))

    @property
    def error(self) -> Floats:
        """Standard deviation of the flux (n,); NaN where the inverse variance is 0."""
        known = self.ivar > 0
        own = self.columns.get("error")  # where the file gives errors they are kept to the bit
        return np.where(known, 1.0 / np.sqrt(np.where(known, self.ivar, 1.0)) if own is None else own, np.nan)

    @property
    def signal_to_noise(self) -> float:
        """Median flux over error of the good pixels; NaN when there is none."""
        good = self.good
        return float(np.median(self.flux[good] * np.sqrt(self.ivar[good]))) if good.any() else float("nan")

    def table(self) -> QTable:
        """The spectrum as a table: wavelength, flux, error, ivar, mask, good, and its further columns."""
        from astropy.table import QTable

        from starloom.catalog.arrow_tables import make_column

        per = f"1 / ({self.unit})2" if self.unit else ""
        found = QTable(meta={key: value for key, value in self.meta.items() if np.ndim(value) == 0})
        found["wavelength"] = make_column(self.wavelength, None, "Angstrom", "vacuum wavelength")
        found["flux"] = make_column(self.flux, None, self.unit, "flux density")
        found["error"] = make_column(self.error, None, self.unit, "standard deviation; NaN where nothing is known")
        found["ivar"] = make_column(self.ivar, None, None, f"inverse variance{per and ', ' + per}; 0: nothing is known")
        found["mask"] = make_column(self.mask, None, None, "bits of the survey")
        found["good"] = make_column(self.good, None, None, "usable: finite, ivar > 0, none of the bad bits")
        for name, values in self.columns.items():
            if name not in found.colnames:
                found[name] = make_column(values)
        return found

    def to_specutils(self, uncertainty: Literal["ivar", "error"] = "ivar") -> Any:
        """The same as a ``specutils.Spectrum``; a pixel with any bit set is masked there, as its own loaders do.

        Raises
        ------
        CatalogError
            When specutils is not installed, or the wavelengths do not grow or fall all the way (chips side by side in
            no order), which specutils does not take.
        """
        try:
            from specutils import Spectrum as Theirs
        except ImportError as error:
            raise CatalogError("specutils is not installed; install starloom with the extra 'spectra'") from error
        from astropy import units as u
        from astropy.nddata import InverseVariance, StdDevUncertainty

        unit = u.Unit(self.unit) if self.unit else u.dimensionless_unscaled
        if uncertainty == "ivar":
            errors: Any = InverseVariance(self.ivar / unit**2)
        else:
            errors = StdDevUncertainty(self.error * unit)
        try:
            return Theirs(
                flux=self.flux * unit,
                spectral_axis=self.wavelength * u.AA,
                uncertainty=errors,
                mask=self.mask != 0,
                meta={"name": self.name, **self.meta},
            )
        except ValueError as error:
            raise CatalogError(f"specutils does not take spectrum {self.name!r}: {error}") from error


@dataclass(frozen=True)
class SpectrumFile:
    """What a file of spectra holds.

    Parameters
    ----------
    path : the file.
    kind : ``spec``, ``apStar``, ``apVisit``, ``aspcapStar``, ``mwmStar`` or ``mwmVisit``.
    spectra : its spectra; the first one is the one most users want.
    header : cards of the primary header.
    tables : the tables beside the spectra, by name (``object``, ``lines``, ``labels``, ...).
    ids : identifiers as int64 (``catalogid``, ``sdss_id``, ...) or text (``apogee_id``).
    notes : what a user should know before trusting it.
    """

    path: Path
    kind: str
    spectra: tuple[Spectrum, ...]
    header: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, QTable] = field(default_factory=dict)
    ids: Mapping[str, int | str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def main(self) -> Spectrum:
        """The first spectrum: the coadd where there is one."""
        return self.spectra[0]

    def __getitem__(self, name: str) -> Spectrum:
        for spectrum in self.spectra:
            if spectrum.name == name:
                return spectrum
        raise CatalogError(f"{self.path} has no spectrum {name!r}; it has: {', '.join(self.names)}")

    @property
    def names(self) -> list[str]:
        """Names of the spectra."""
        return [spectrum.name for spectrum in self.spectra]


def require_spectra(spectra: Sequence[Spectrum], path: Path, missing: str) -> None:
    """Raise CatalogError when a file holds none."""
    if not spectra:
        raise CatalogError(f"{path} holds no spectrum: {missing}; get it again, or read another kind of file")
