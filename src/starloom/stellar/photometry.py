"""Magnitudes from bolometric corrections: any band of a table over Teff, log g, [Fe/H] and A_V."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.stellar.isochrones import SUN_MBOL, Floats, Isochrone

_GAIA = {
    "Gaia_G_EDR3": "gaia_g",
    "Gaia_BP_EDR3": "gaia_bp",
    "Gaia_RP_EDR3": "gaia_rp",
    "Gaia_G_DR2Rev": "gaia_dr2_g",
    "Gaia_BP_DR2Rev": "gaia_dr2_bp",
    "Gaia_RP_DR2Rev": "gaia_dr2_rp",
    "Gaia_G_MAW": "gaia_dr2_maw_g",
    "Gaia_BP_MAWb": "gaia_dr2_maw_bp_bright",
    "Gaia_BP_MAWf": "gaia_dr2_maw_bp_faint",
    "Gaia_RP_MAW": "gaia_dr2_maw_rp",
}
_PREFIXES = {"PS_": "ps1_"}


def band_name(table_name: str) -> str:
    """The name Starloom gives to a band of the MIST tables: lower case, survey first, one name a passband.

    The Gaia EDR3 passbands (which hold for DR3 too) are plain ``gaia_g``, ``gaia_bp``, ``gaia_rp``; the two sets of DR2
    passbands are ``gaia_dr2_*`` (revised) and ``gaia_dr2_maw_*`` (2018A&A...619A.180M).

    Examples
    --------
    >>> band_name("PS_g"), band_name("2MASS_Ks"), band_name("Gaia_BP_EDR3")
    ('ps1_g', '2mass_ks', 'gaia_bp')
    """
    if table_name in _GAIA:
        return _GAIA[table_name]
    for prefix, ours in _PREFIXES.items():
        if table_name.startswith(prefix):
            return ours + table_name.removeprefix(prefix).lower()
    return table_name.lower()


class _Group:
    """The corrections of one photometric system as a regular grid."""

    def __init__(self, axes: tuple[Floats, Floats, Floats, Floats], values: NDArray[np.float32]) -> None:
        self.axes = axes  # [Fe/H], A_V, log10 Teff, log g
        self.values = values  # over these axes, then the bands

    def interpolate(self, points: tuple[Floats, Floats, Floats, Floats], columns: list[int]) -> Floats:
        """Multilinear interpolation, shape (n, len(columns)); NaN outside and beside a missing corner."""
        count = len(points[0])
        inside = np.ones(count, dtype=bool)
        indices, fractions = [], []
        for axis, point in zip(self.axes, points, strict=True):
            inside &= (point >= axis[0]) & (point <= axis[-1])
            index = np.clip(np.searchsorted(axis, point, side="right") - 1, 0, len(axis) - 2)
            indices.append(index)
            fractions.append((point - axis[index]) / (axis[index + 1] - axis[index]))
        total = np.zeros((count, len(columns)))
        for corner in range(16):
            ends = [(corner >> k) & 1 for k in range(4)]
            weight = np.ones(count)
            for end, fraction in zip(ends, fractions, strict=True):
                weight = weight * (fraction if end else 1.0 - fraction)
            place = tuple(index + end for index, end in zip(indices, ends, strict=True))
            values = self.values[place][:, columns].astype(np.float64)
            total += np.where(weight[:, None] == 0, 0.0, weight[:, None] * values)
        total[~inside] = np.nan
        return total


class BolometricCorrections:
    """Bolometric corrections of the MIST project (R_V = 3.1) in one HDF5 file, a group for each photometric system.

    A group has ``band_names``, ``feh_values`` and ``data`` of shape ([Fe/H], points, 5 + bands) with the columns Teff,
    log g, [Fe/H], A_V, R_V and then the corrections. They are interpolated linearly in log Teff, log g, [Fe/H] and A_V,
    and ``m_band = Mbol - BC_band``. A group is read when its first band is asked for.

    The systems UBVRIplus (Bessell, 2MASS, Kepler, Hipparcos, Tycho, Gaia, TESS) and WISE are in Vega magnitudes,
    PanSTARRS, SDSSugriz, SkyMapper and GALEX in AB magnitudes.
    """

    r_v = 3.1

    def __init__(self, path: Path, bands: dict[str, tuple[str, int]]) -> None:
        self.path = path
        self._bands = bands
        self._groups: dict[str, _Group] = {}

    @classmethod
    def open(cls, path: str | Path) -> BolometricCorrections:
        """Read the names of the bands; the corrections stay on disk until they are asked for.

        Raises
        ------
        CatalogError
            When the file is absent, not HDF5, or not of this layout.
        """
        import h5py

        path = Path(path)
        bands: dict[str, tuple[str, int]] = {}
        try:
            with h5py.File(path, "r") as file:
                for group in file:
                    for place, name in enumerate(file[group]["band_names"][:]):
                        bands[band_name(name.decode())] = (str(group), place)
        except FileNotFoundError as error:
            raise CatalogError(f"there is no table of bolometric corrections at {path}") from error
        except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise CatalogError(f"{path} is not a table of bolometric corrections: {error}") from error
        if not bands:
            raise CatalogError(f"{path} holds no bolometric corrections")
        return cls(path, bands)

    def list_bands(self) -> list[str]:
        """The names of all bands."""
        return list(self._bands)

    def corrections(
        self, teff: ArrayLike, logg: ArrayLike, fe_h: ArrayLike, bands: Sequence[str], a_v: ArrayLike = 0.0
    ) -> Floats:
        """Bolometric corrections with extinction, in mag.

        Parameters
        ----------
        teff : effective temperatures in K (n,).
        logg : log10 of surface gravities in cm/s2 (n,).
        fe_h : [Fe/H] in dex, (n,) or one number.
        bands : names of bands.
        a_v : extinction in V in mag, (n,) or one number.

        Returns
        -------
        corrections : shape (n, len(bands)); NaN outside the table (nothing is extrapolated).

        Raises
        ------
        ConfigError
            When a band is unknown.
        """
        if isinstance(bands, str):
            raise ConfigError(f"give the bands as a list, not {bands!r}")
        unknown = [band for band in bands if band not in self._bands]
        if unknown:
            raise ConfigError(f"unknown bands {unknown}; there are: {', '.join(self._bands)}")
        given = (np.asarray(value, dtype=np.float64) for value in (teff, logg, fe_h, a_v))
        teff_, logg_, fe_h_, a_v_ = (np.atleast_1d(value) for value in np.broadcast_arrays(*given))
        with np.errstate(divide="ignore", invalid="ignore"):
            points = (fe_h_, a_v_, np.log10(teff_), logg_)
        result = np.full((len(teff_), len(bands)), np.nan)
        usable = np.logical_and.reduce([np.isfinite(point) for point in points])
        for group in dict.fromkeys(self._bands[band][0] for band in bands):
            wanted = [k for k, band in enumerate(bands) if self._bands[band][0] == group]
            columns = [self._bands[bands[k]][1] for k in wanted]
            values = self._group(group).interpolate(tuple(p[usable] for p in points), columns)  # type: ignore[arg-type]
            result[np.ix_(usable, wanted)] = values
        return result

    def a_v_range(self, band: str) -> tuple[float, float]:
        """Smallest and largest A_V of a band's table."""
        axis = self._group(self._bands[band][0]).axes[1]
        return float(axis[0]), float(axis[-1])

    def _group(self, name: str) -> _Group:
        if name not in self._groups:
            self._groups[name] = self._read(name)
        return self._groups[name]

    def _read(self, name: str) -> _Group:
        import h5py

        try:
            with h5py.File(self.path, "r") as file:
                data: NDArray[np.float32] = file[name]["data"][:]
                fe_h = np.asarray(file[name]["feh_values"][:], dtype=np.float64)
        except (OSError, KeyError) as error:
            raise CatalogError(f"{self.path}: the group {name} cannot be read: {error}; get the file again") from error
        if data.ndim != 3 or len(data) != len(fe_h) or data.shape[2] < 6:
            raise CatalogError(
                f"{self.path}: the group {name} has the shape {data.shape}, not ([Fe/H], points, 5 + bands)"
            )
        point = data[0]
        teff, logg, a_v = (np.unique(point[:, column]).astype(np.float64) for column in (0, 1, 3))
        order = np.lexsort((point[:, 1], point[:, 0], point[:, 3]))
        regular = np.stack(np.meshgrid(a_v, teff, logg, indexing="ij"), axis=-1).reshape(-1, 3)
        if regular.shape[0] != data.shape[1] or any(
            not np.array_equal(data[k][order][:, [3, 0, 1]], regular.astype(np.float32)) for k in range(len(fe_h))
        ):
            raise CatalogError(f"{self.path}: the group {name} is not a regular grid over Teff, log g and A_V")
        if (data[..., 4] != np.float32(self.r_v)).any() or not (np.diff(fe_h) > 0).all():
            raise CatalogError(f"{self.path}: the group {name} is not for R_V = {self.r_v}, or its [Fe/H] do not grow")
        values = data[:, order, 5:].reshape(len(fe_h), len(a_v), len(teff), len(logg), -1)
        return _Group((fe_h, a_v, np.log10(teff), logg), values)


def with_photometry(
    isochrone: Isochrone, corrections: BolometricCorrections, bands: Sequence[str], a_v: float = 0.0
) -> Isochrone:
    """The isochrone with absolute magnitudes in some bands, dimmed by an extinction A_V (R_V = 3.1).

    The corrections are taken at the isochrone's own Teff and log g and at its initial [Fe/H]; diffusion changes the
    metallicity of the photosphere somewhat near the turn-off, which this leaves out. Points outside the corrections get
    NaN (`Isochrone.without_photometry` counts them).

    Raises
    ------
    ConfigError
        When a band is unknown or A_V is outside the table.
    """
    correction = corrections.corrections(10.0**isochrone.log_teff, isochrone.logg, isochrone.fe_h, bands, a_v)
    for band in bands:
        low, high = corrections.a_v_range(band)
        if not low <= a_v <= high:
            raise ConfigError(f"A_V must be {low:g} to {high:g} for {band}, got {a_v}; nothing is extrapolated")
    m_bol = SUN_MBOL - 2.5 * isochrone.log_l
    magnitudes = {band: m_bol - correction[:, k] for k, band in enumerate(bands)}
    return replace(isochrone, bands=magnitudes, a_v=float(a_v))
