"""What a ten-line file does not say, completed from the table of stars and the published track: a whole StreamModel.

Which columns are there decides what is used; windows that are not written are the range of the table, or run along the
track. Every such choice is a note, for the reader of the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError, MissingColumnError
from starloom.streams.configuration import PM
from starloom.streams.membership import StreamModel, model_from_settings
from starloom.streams.schema import IN_FRAME, SCHEMA
from starloom.streams.stars import optional
from starloom.streams.stream_file import IsochroneSettings, Pair, StreamFile
from starloom.streams.tracks import ReferenceTrack

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.streams.populations import Population

Array = NDArray[np.float64]
BAND_CHOICES = (
    ("g_mag", "r_mag"),
    ("g_mag", "i_mag"),
    ("r_mag", "i_mag"),
    ("phot_bp_mean_mag", "phot_rp_mean_mag"),
)
PM_WIDTH, PM_WIDTH_TOTAL = (0.02, 0.8), (0.05, 1.5)  # mas/yr: the stream's own; with the errors in it
GUIDE_SPACING, GUIDE_PM, GUIDE_MODULUS = 5.0, 1.0, 0.4  # deg, mas/yr, mag
LEAST_PHOTOMETRY = 0.05  # share of the stars that must have a pair of bands for it to be chosen


def model_for(
    file: StreamFile, table: QTable, reference: ReferenceTrack | None = None
) -> tuple[StreamModel, list[str]]:
    """The model for a table of stars.

    Parameters
    ----------
    file : the settings.
    table : as ``read_table`` gives it.
    reference : what ``file.reference()`` gave.

    Returns
    -------
    model : the StreamModel.
    notes : what was chosen because the file does not say it.

    Raises
    ------
    ConfigError, MissingColumnError
        Saying what is wrong and what to write.
    """
    settings, notes = _Builder(file, table, reference).settings()
    return model_from_settings(_merged(settings, file.model)), notes


def _merged(settings: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others put over them, table by table."""
    result = dict(settings)
    for name, value in more.items():
        inner = result.get(name)
        result[name] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return result


def modulus(distance: Any) -> Array:
    """Distance modulus (mag) of distances in kpc."""
    return np.asarray(5.0 * np.log10(np.asarray(distance, dtype=float)) + 10.0)


class _Builder:
    """Settings of a StreamModel from a file, a table and a track."""

    def __init__(self, file: StreamFile, table: QTable, reference: ReferenceTrack | None) -> None:
        self.file, self.reference = file, reference
        self.notes: list[str] = []
        schema = IN_FRAME if file.frame is None else SCHEMA
        self.table = schema.apply(table, unique=None)
        self.wanted = file.features
        self.inside = self._inside()

    def settings(self) -> tuple[dict[str, Any], list[str]]:
        """Settings of a StreamModel, and the notes."""
        file = self.file
        window = file.phi2
        width = file.width or (0.03, min(1.0, (window[1] - window[0]) / 6.0))
        frame = file.stream_frame
        found: dict[str, Any] = {
            "frame": None if frame is None else {"name": frame.name, "rotation": frame.rotation},
            "phi1": file.phi1,
            "phi2": {"window": window, "width": width},
            "off_stream": file.off_stream,
            "training": dict(file.training),
        }
        component: dict[str, Any] = {"name": "stream", "start": {}, "guides": self._guides_on_the_sky()}
        motion = self._proper_motion()
        if motion is not None:
            found["proper_motion"] = motion
            component["start"] |= self._starts(motion)
            component["guides"] += self._guides_on_proper_motion()
        distance = self._distance()
        population = self._photometry(distance)
        if population is not None:
            found["photometry"] = population
        if self._wants("parallax", file.parallax is not None, "parallax"):
            if distance is None:
                raise ConfigError("parallax needs the range of the distance: write distance = [low, high] (kpc)")
            found["parallax"] = file.parallax
        if distance is not None and ("photometry" in found or "parallax" in found):
            found["distance"] = distance
            component["guides"] += self._guides_on_distance(distance["modulus"])
        if self._wants("radial_velocity", file.radial_velocity is not None, "radial_velocity"):
            found["radial_velocity"] = {"window": file.radial_velocity, "width": (0.5, 30.0), "scale": 30.0}
        if set(found).isdisjoint(("proper_motion", "photometry", "parallax", "radial_velocity")):
            self.notes.append("The stars are judged by their place on the sky alone: the table offers nothing else.")
        found["components"] = [component]
        return found, self.notes

    def _has(self, *names: str) -> bool:
        return all(name in self.table.colnames for name in names)

    def _values(self, name: str) -> Array:
        return optional(self.table, name)[self.inside]

    def _inside(self) -> NDArray[np.bool_]:
        frame = self.file.stream_frame
        if frame is None:
            phi1, phi2 = optional(self.table, "phi1"), optional(self.table, "phi2")
        else:
            phi1, phi2 = frame.to_frame(optional(self.table, "ra"), optional(self.table, "dec"))
        self.phi1, self.phi2 = phi1, phi2
        with np.errstate(invalid="ignore"):
            in_window = (phi1 >= self.file.phi1[0]) & (phi1 <= self.file.phi1[1])
            in_window &= (phi2 >= self.file.phi2[0]) & (phi2 <= self.file.phi2[1])
        if not in_window.any():
            seen = np.isfinite(phi1) & np.isfinite(phi2)
            where = (
                f"they lie at phi1 {phi1[seen].min():.1f} to {phi1[seen].max():.1f}, phi2 {phi2[seen].min():.1f} to "
                f"{phi2[seen].max():.1f} deg"
                if seen.any()
                else "no star has a position"
            )
            raise ConfigError(
                f"no star of the table is inside phi1 {list(self.file.phi1)}, phi2 {list(self.file.phi2)} of the "
                f"frame {'of the table' if frame is None else frame.name}: {where}"
            )
        return np.asarray(in_window)

    def _wants(self, feature: str, written: bool, *columns: str) -> bool:
        """Whether a feature is used: asked for, or written in the file, and in the table."""
        asked = self.wanted is not None and feature in self.wanted
        if not asked and (self.wanted is not None or not written):
            return False
        absent = [name for name in columns if not self._has(name)]
        if absent:
            raise MissingColumnError(
                f"the file describes {feature.replace('_', ' ')}, and the table has no {' and no '.join(absent)}"
            )
        if not np.isfinite(np.stack([self._values(name) for name in columns])).all(axis=0).any():
            raise MissingColumnError(f"no star in the window has {' and '.join(columns)}: take it out of the file")
        return True

    # ------------------------------------------------------------------------------------------------ proper motion

    def _motions(self) -> Array | None:
        """Proper motions of the stars in the window, in the stream's frame (n, 2); None where there are none."""
        frame = self.file.stream_frame
        names = PM if frame is None else ("pmra", "pmdec")
        if not self._has(*names):
            return None
        observed = np.stack([self._values(name) for name in names], axis=1)
        if not np.isfinite(observed).all(axis=1).any():
            return None
        if frame is None:
            return observed
        ra, dec = self._values("ra"), self._values("dec")
        pm = np.asarray((frame.turn(ra, dec) @ observed[..., None])[..., 0])
        if self.file.reflex_distance is not None:
            distance = np.full(len(pm), self.file.reflex_distance)
            pm = pm - frame.reflex(self.phi1[self.inside], self.phi2[self.inside], distance)
        return pm

    def _proper_motion(self) -> dict[str, Any] | None:
        file = self.file
        written = file.pm_phi1_cosphi2 is not None or file.pm_phi2 is not None or file.pm_polygon is not None
        names = PM if file.frame is None else ("pmra", "pmdec")
        motions = self._motions()
        if self.wanted is not None and "proper_motion" not in self.wanted:
            return None
        if motions is None:
            if written or self.wanted is not None:
                self._wants("proper_motion", True, *names)
            return None
        errors = all(self._has(f"{name}_error") for name in names)
        width = PM_WIDTH if errors else PM_WIDTH_TOTAL
        settings: dict[str, Any] = {"wings": not errors}
        for place, (key, name) in enumerate(zip(("phi1", "phi2"), PM, strict=True)):
            window = getattr(file, name) or self._motion_window(name, motions[:, place])
            settings[key] = {"window": window, "width": width, "constant_width": True, "scale": 0.7, "length": 20.0}
        if not errors:
            self.notes.append(
                "The table has no errors of the proper motions: the stream's widths in them are total widths, and its "
                "proper motions a core with wings."
            )
        if file.pm_polygon is not None:
            settings |= {"polygon": file.pm_polygon, "system": "icrs"}
        if file.reflex_distance is not None:
            settings["reflex_distance"] = file.reflex_distance
        return settings

    def _motion_window(self, name: str, values: Array) -> Pair:
        known = self._along_track(name)
        if known is not None:
            low, high = float(known.min()) - 4.0, float(known.max()) + 4.0
            origin = "4 mas/yr around the track"
        else:
            low, high = (float(value) for value in np.nanpercentile(values, (1.0, 99.0)))
            origin = "the middle 98 % of the table"
        low, high = round(low, 2), round(high, 2)
        self.notes.append(f"{name} = [{low:g}, {high:g}] mas/yr ({origin}).")
        return low, high

    def _starts(self, motion: Mapping[str, Any]) -> dict[str, float]:
        """Where the mean begins: on the track, or where the stars along the guide crowd above the field."""
        starts = {}
        for key, name in zip(("phi1", "phi2"), PM, strict=True):
            known = self._along_track(name)
            low, high = motion[key]["window"]
            if known is not None and low < (middle := float(np.median(known))) < high:
                starts[name] = middle
        return starts

    # -------------------------------------------------------------------------------------------------- photometry

    def _distance(self) -> dict[str, Any] | None:
        low_high = self.file.distance
        if low_high is None:
            known = self._along_track("distance")
            if known is None:
                return None
            low_high = (round(0.8 * float(known.min()), 2), round(1.25 * float(known.max()), 2))
            self.notes.append(f"distance = [{low_high[0]:g}, {low_high[1]:g}] kpc (a quarter around the track).")
        low, high = (float(value) for value in modulus(low_high))
        return {"modulus": (low, high)}

    def _bands(self) -> tuple[str, ...] | None:
        if self.file.bands is not None:
            absent = [band for band in self.file.bands if not self._has(band)]
            if absent:
                known = [name for name in self.table.colnames if "mag" in name and "error" not in name]
                raise MissingColumnError(
                    f"the table has no {' and no '.join(absent)} (bands); its magnitudes: {', '.join(known) or 'none'}"
                )
            return self.file.bands
        for pair in BAND_CHOICES:
            if self._has(*pair):
                both = np.isfinite(self._values(pair[0])) & np.isfinite(self._values(pair[1]))
                if both.mean() > LEAST_PHOTOMETRY:
                    self.notes.append(f"bands = {list(pair)} ({both.mean():.0%} of the stars have both).")
                    return pair
        return None

    def _photometry(self, distance: Mapping[str, Any] | None) -> dict[str, Any] | None:
        file = self.file
        if self.wanted is not None and "photometry" not in self.wanted:
            return None
        bands = self._bands()
        asked = self.wanted is not None or file.bands is not None or file.isochrone is not None
        if bands is None or file.isochrone is None or distance is None:
            lacking = [
                text
                for text, gone in (
                    ("a pair of magnitudes in the table", bands is None),
                    ("isochrone = { age = ..., fe_h = ... }", file.isochrone is None),
                    ("distance = [low, high] (kpc)", distance is None),
                )
                if gone
            ]
            if asked:
                raise ConfigError(f"photometry needs {' and '.join(lacking)}")
            self.notes.append(f"Photometry is not used: it needs {' and '.join(lacking)}.")
            return None
        values = [self._values(band) for band in bands]
        if not np.isfinite(np.stack(values)).all(axis=0).any():
            raise MissingColumnError(f"no star in the window has {' and '.join(bands)}: take the bands out of the file")
        magnitude = file.magnitude or self._magnitude_window(bands[0], values[0])
        population = self._population(bands)
        part = population.visible(magnitude[1] - distance["modulus"][0] + 0.3)
        colors = file.colors or tuple(
            self._color_window(bands[k : k + 2], values[k] - values[k + 1], part.magnitudes[:, k : k + 2])
            for k in range(len(bands) - 1)
        )
        errors = [band for band in bands if not self._has(f"{band}_error")]
        if errors:
            self.notes.append(f"No errors of {', '.join(errors)}: a rough model is used (Photometry.errors).")
        scatter = file.isochrone.scatter if isinstance(file.isochrone, IsochroneSettings) else 0.04
        return {
            "bands": bands,
            "isochrone": part.magnitudes.tolist(),
            "weights": part.weights.tolist(),
            "magnitude": magnitude,
            "colors": colors,
            "scatter": scatter,
        }

    def _population(self, bands: tuple[str, ...]) -> Population:
        from starloom.catalog.schema import plain
        from starloom.catalog.tables import read_table
        from starloom.streams.populations import Population, from_grid

        isochrone = self.file.isochrone
        if isinstance(isochrone, IsochroneSettings):
            return from_grid(
                isochrone.age, isochrone.fe_h, bands, grid=isochrone.grid, passbands_of=isochrone.passbands
            )
        table = read_table(str(isochrone))
        absent = [band for band in bands if band not in table.colnames]
        if absent:
            raise MissingColumnError(
                f"{isochrone} has no {' and no '.join(absent)}: an isochrone has the absolute magnitudes in columns "
                f"named for the bands; it has {', '.join(table.colnames)}"
            )
        points = np.stack([plain(table, band) for band in bands], axis=1)
        if not np.isfinite(points).all() or len(points) < 3:
            raise ConfigError(f"{isochrone}: an isochrone needs three points or more, all of them finite")
        if points[0, 0] < points[-1, 0]:
            points = points[::-1]
        length = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1))
        return Population(bands, points, length, np.full(len(points), np.nan), str(isochrone))

    def _magnitude_window(self, band: str, values: Array) -> Pair:
        low, high = np.nanpercentile(values, 0.02), np.nanmax(values)
        window = (float(np.floor(10.0 * low) / 10.0), float(np.ceil(10.0 * high) / 10.0))
        self.notes.append(f"magnitude = [{window[0]:g}, {window[1]:g}] (the table's {band}).")
        return window

    def _color_window(self, pair: tuple[str, ...], values: Array, ridge: Array) -> Pair:
        low, high = np.nanpercentile(values, (0.1, 99.9))
        along = ridge[:, 0] - ridge[:, 1]
        low, high = min(float(low), float(along.min()) - 0.3), max(float(high), float(along.max()) + 0.3)
        window = (float(np.floor(10.0 * low) / 10.0), float(np.ceil(10.0 * high) / 10.0))
        self.notes.append(f"colors: {pair[0]} - {pair[1]} in [{window[0]:g}, {window[1]:g}] (the table's).")
        return window

    # ------------------------------------------------------------------------------------------------------- guides

    def _places(self) -> Array:
        low, high = self.file.phi1
        return np.linspace(low, high, max(int((high - low) / GUIDE_SPACING), 2) + 1)

    def _along_track(self, name: str) -> Array | None:
        """A coordinate of the track inside the window; None without a track, or where it does not know it."""
        if self.reference is None:
            return None
        values = self.reference.at(np.linspace(*self.file.phi1, 50), name)
        values = values[np.isfinite(values)]
        whole = getattr(self.reference, name)
        unknown = (whole <= 0).any() if name == "distance" else self._no_motions()
        return None if unknown or len(values) == 0 else values

    def _no_motions(self) -> bool:
        """Whether the track comes without proper motions, which galstreams writes as zeros."""
        assert self.reference is not None
        pm = np.stack([self.reference.pm_phi1_cosphi2, self.reference.pm_phi2])
        if self.file.reflex_distance is not None:
            frame = self.file.stream_frame
            assert frame is not None
            distance = np.full(pm.shape[1], self.file.reflex_distance)
            pm = pm + frame.reflex(self.reference.phi1, self.reference.phi2, distance).T
        return bool((np.abs(pm) < 1e-9).all())

    def _guide(self, name: str, half_width: float) -> list[dict[str, Any]]:
        assert self.reference is not None
        places = self._places()
        values = self.reference.at(places, name)
        kept = np.isfinite(values)
        if not kept.any():
            return []
        return [self._as_guide(name, places[kept], values[kept], half_width)]

    @staticmethod
    def _as_guide(name: str, places: Array, values: Array, half_width: float) -> dict[str, Any]:
        return {"coordinate": name, "phi1": places.tolist(), "value": values.tolist(), "half_width": [half_width]}

    def _guides_on_the_sky(self) -> list[dict[str, Any]]:
        if self.reference is not None:
            found = self._guide("phi2", self.file.guide)
            if not found:
                raise ConfigError(
                    f"the track {self.reference.name} runs from phi1 = {self.reference.phi1[0]:.1f} to "
                    f"{self.reference.phi1[-1]:.1f} deg, outside the window {list(self.file.phi1)}"
                )
            return found
        if self.file.track is not None:
            points = np.asarray(self.file.track, dtype=float)
            along = np.sign(np.diff(points[:, 0]))
            if (along != along[:1]).any() or (along == 0).any():
                raise ConfigError(
                    f"track turns back in phi1: {points[:, 0].tolist()}; a stream has one phi2 at each phi1. List the "
                    "points along it, choose another frame, or fit its arms one by one in windows of their own"
                )
            points = points[np.argsort(points[:, 0])]
            return [self._as_guide("phi2", points[:, 0], points[:, 1], self.file.guide)]
        return []

    def _guides_on_proper_motion(self) -> list[dict[str, Any]]:
        found = []
        for name in PM:
            if self._along_track(name) is not None:
                found += self._guide(name, GUIDE_PM)
        return found

    def _guides_on_distance(self, window: Pair) -> list[dict[str, Any]]:
        if self._along_track("distance") is None:
            return []
        assert self.reference is not None
        places = self._places()
        values = modulus(self.reference.at(places, "distance"))
        kept = np.isfinite(values) & (values > window[0]) & (values < window[1])
        return [self._as_guide("distance_modulus", places[kept], values[kept], GUIDE_MODULUS)] if kept.any() else []
