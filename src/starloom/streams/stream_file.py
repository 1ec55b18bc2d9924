"""The ten-line file: a stream in TOML, completed by what the table of stars has, made into a StreamModel.

    name = "Palomar 5"
    frame = "Pal5PriceWhelan18"
    phi1 = [-14, 6]
    phi2 = [-4, 4]
    pm_phi1_cosphi2 = [1.5, 6.0]
    pm_phi2 = [-1.5, 3.0]
    distance = [17, 26]
    isochrone = { age = 11.5, fe_h = -1.3 }
    track = "Pal5 pricewhelan2019"

What is not written is taken from the table or from defaults (see ``stream_completion``). ``[model]`` reaches every
setting of StreamModel.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pydantic

from starloom.dynamics.stream_frames import StreamFrame
from starloom.errors import ConfigError
from starloom.streams.configuration import Training
from starloom.streams.tracks import ReferenceTrack

Pair = tuple[float, float]
Feature = Literal["proper_motion", "photometry", "parallax", "radial_velocity"]
GUIDE_PHI2 = 1.5  # deg


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class FrameSettings(_Strict):
    """A frame by the ends of the stream, or by pole and origin; each (ra, dec) in deg."""

    ends: tuple[Pair, Pair] | None = None
    pole: Pair | None = None
    origin: Pair | None = None

    def frame(self) -> StreamFrame:
        """The frame.

        Raises
        ------
        ConfigError
            Unless there are either both ends, or pole and origin.
        """
        if self.ends is not None and self.pole is None and self.origin is None:
            return StreamFrame.from_ends("from its ends", *self.ends)
        if self.ends is None and self.pole is not None and self.origin is not None:
            return StreamFrame.from_poles("from its pole", self.pole, self.origin)
        raise ConfigError(
            "frame: write ends = [[ra, dec], [ra, dec]], or pole = [ra, dec] and origin = [ra, dec], or gala's name"
        )


class IsochroneSettings(_Strict):
    """An isochrone of a grid: age (Gyr), [Fe/H], and the passbands where the names of the columns do not tell them."""

    age: float = pydantic.Field(gt=0)
    fe_h: float
    grid: str = "mist"
    passbands: tuple[str, ...] | None = None
    scatter: float = pydantic.Field(0.04, ge=0, description="width around it in each band, mag")


class QuerySettings(_Strict):
    """What ``starloom streams query`` asks the archive for, beyond the window; false leaves a condition out."""

    ruwe: Annotated[float, pydantic.Field(gt=0)] | None = 1.4
    parallax: Pair | None = (-10.0, 1.0)
    bp_rp: Pair | None = (-1.0, 3.0)
    phot_g_mean_mag: Pair | None = None
    strip: float = pydantic.Field(1.0, gt=0, description="width in phi1 of one query, deg")

    @pydantic.field_validator("ruwe", "parallax", "bp_rp", "phot_g_mean_mag", mode="before")
    @classmethod
    def _false_is_none(cls, value: Any) -> Any:
        return None if value is False else value  # TOML has no word for nothing


class StreamFile(_Strict):
    """The settings of a ten-line file; ranges are pairs [low, high].

    Parameters
    ----------
    name : what to call the stream.
    frame : gala's name of a frame, its ends or its pole; absent: the table is in the stream's frame already.
    phi1, phi2 : the window on the sky, deg.
    width : range of the stream's one-sigma width in phi2, deg.
    pm_phi1_cosphi2, pm_phi2 : the window in proper motion, mas/yr; absent: around the track, or what the table holds.
    pm_polygon : the selection in (pmra, pmdec) where it was made there: corners of a convex polygon, mas/yr.
    reflex_distance : kpc at which the Sun's motion is taken out of the proper motions before all else.
    parallax, radial_velocity : windows in mas and km/s; each is used only where its window is written.
    distance : range of the distance, kpc; absent: around the track.
    bands : two or more magnitude columns; absent: the first pair that the table has of g and r, g and i, r and i, BP
        and RP.
    isochrone : age, fe_h and grid; or a file with the absolute magnitudes from faint to bright in columns named for the
        bands.
    magnitude, colors : window of the first band, and of each color in turn; absent: what the table holds.
    features : of proper_motion, photometry, parallax and radial_velocity those to use; absent: all that can be.
    track : a track of galstreams, "STREAM REFERENCE", as a guide; or points [phi1, phi2].
    guide : half width of the guide in phi2, deg.
    off_stream : stars farther than this from the track train the background, deg.
    simulated : the table is a mock; the page then says so.
    training, query, model : see Training, QuerySettings and StreamModel.
    """

    name: str = "stream"
    frame: str | FrameSettings | None = None
    phi1: Pair
    phi2: Pair
    width: Pair | None = None
    pm_phi1_cosphi2: Pair | None = None
    pm_phi2: Pair | None = None
    pm_polygon: tuple[Pair, ...] | None = None
    reflex_distance: float | None = pydantic.Field(None, gt=0)
    parallax: Pair | None = None
    radial_velocity: Pair | None = None
    distance: Pair | None = None
    bands: tuple[str, ...] | None = pydantic.Field(None, min_length=2)
    isochrone: IsochroneSettings | str | None = None
    magnitude: Pair | None = None
    colors: tuple[Pair, ...] | None = None
    features: tuple[Feature, ...] | None = None
    track: str | tuple[Pair, ...] | None = None
    guide: float = pydantic.Field(GUIDE_PHI2, gt=0)
    off_stream: float = pydantic.Field(1.0, gt=0)
    simulated: bool = False
    training: dict[str, Any] = pydantic.Field(default_factory=dict)
    query: QuerySettings = QuerySettings()
    model: dict[str, Any] = pydantic.Field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path) -> StreamFile:
        """Read a TOML file.

        Raises
        ------
        ConfigError
            When it cannot be read, is no TOML, or has an unknown or wrong setting; the message names the nearest one.
        """
        path = Path(path)
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(f"{path} does not exist; it should describe the stream, in about ten lines") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is not valid TOML: {error}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read: {error}") from error
        return cls.of(settings, str(path))

    @classmethod
    def of(cls, settings: Mapping[str, Any], label: str = "the settings") -> StreamFile:
        """Check settings as TOML gives them."""
        try:
            found = cls.model_validate(dict(settings))
        except pydantic.ValidationError as error:
            raise ConfigError(f"{label}: {'; '.join(dict.fromkeys(_explain(settings, error)))}") from error
        found._check(label)
        return found

    def _check(self, label: str) -> None:
        for name, pair in self.model_dump(include=set(_PAIRS)).items():
            if pair is not None and not pair[0] < pair[1]:
                raise ConfigError(f"{label}: {name} must be [low, high] with low < high, got {list(pair)}")
        if self.distance is not None and self.distance[0] <= 0:
            raise ConfigError(f"{label}: distance is in kpc and positive, got {list(self.distance)}")
        if self.frame is None and (self.pm_polygon is not None or self.reflex_distance is not None):
            raise ConfigError(f"{label}: pm_polygon and reflex_distance need the frame")
        if isinstance(self.track, str) and len(self.track.split()) < 2:
            raise ConfigError(
                f'{label}: track is "STREAM REFERENCE", such as "Pal5 pricewhelan2019"; got {self.track!r}'
            )
        for feature, needs in (("parallax", "parallax"), ("radial_velocity", "radial_velocity")):
            if feature in (self.features or ()) and getattr(self, needs) is None:
                raise ConfigError(f"{label}: features names {feature}; write its window, such as {needs} = [-1, 1]")
        known = [entry.name for entry in dataclasses.fields(Training)]
        for name in self.training:
            if name not in known:
                raise ConfigError(f"{label}: there is no setting 'training.{name}'; {_nearest(name, known)}")
        _ = self.stream_frame

    @property
    def stream_frame(self) -> StreamFrame | None:
        """The frame as an object; None where the table is in it already."""
        if isinstance(self.frame, FrameSettings):
            return self.frame.frame()
        return None if self.frame is None else StreamFrame.named(self.frame)

    def reference(self) -> ReferenceTrack | None:
        """The published track that ``track`` names, in the stream's frame; None without one.

        Raises
        ------
        ConfigError
            When galstreams has no such track, or the frame is not given.
        CatalogError
            When the track turns back in phi1.
        """
        from starloom.datasets.access import open_table

        if not isinstance(self.track, str):
            return None
        frame = self.stream_frame
        if frame is None:
            raise ConfigError(f"track = {self.track!r} needs the frame; points [phi1, phi2] do without")
        stream, reference = self.track.rsplit(maxsplit=1)
        table = open_table("galstreams_tracks", "tracks")
        return ReferenceTrack.from_galstreams(table, stream, reference, frame, reflex_distance=self.reflex_distance)


_PAIRS = (
    *("phi1", "phi2", "width", "pm_phi1_cosphi2", "pm_phi2", "parallax", "radial_velocity", "distance", "magnitude"),
)


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _explain(settings: Mapping[str, Any], error: pydantic.ValidationError) -> Iterator[str]:
    """What is wrong with the settings, with the nearest known name for an unknown one."""
    owners: dict[str, type[_Strict]] = {"query": QuerySettings, "isochrone": IsochroneSettings, "frame": FrameSettings}
    for entry in error.errors():
        where = [part for part in entry["loc"] if part not in ("str", "FrameSettings", "IsochroneSettings")]
        if entry["type"] == "string_type" and isinstance(settings.get(str(where[0])), Mapping):
            continue  # the other half of a union: a table was written, and the table has the true complaint
        name = ".".join(str(part) for part in where)
        if entry["type"] == "extra_forbidden":
            owner = owners.get(str(where[0]), StreamFile) if len(where) > 1 else StreamFile
            known = list(owner.model_fields)
            yield f"there is no setting {name!r}; {_nearest(str(where[-1]), known)}"
        elif entry["type"] == "missing":
            yield f"{name} is missing" + (f"; write {name} = [low, high] (deg)" if name in ("phi1", "phi2") else "")
        elif entry["type"] == "literal_error":
            yield f"{name}: {entry['input']!r} is not one of {', '.join(get_args(Feature))}"
        else:
            yield f"{name}: {entry['msg']}, got {entry['input']!r}"
