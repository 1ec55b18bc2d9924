"""The machinery of a study: its configuration, its inputs, one run of it.

A study is one file that holds a ``STUDY``: a Config with presets, what it reads, a ``run`` that gives back Results,
and a mock of its inputs for places where the real ones cannot be had. Everything else is here.
"""

from __future__ import annotations

import difflib
import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pydantic

from starloom.errors import ConfigError, OutputError
from starloom.files import RunFolder, write_json
from starloom.progress import say
from starloom.results.record import Results
from starloom.studies.inputs import Input, Inputs, InputSpec, load_inputs

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.catalog.schema import Schema

__all__ = [
    "Input",
    "InputSpec",
    "Inputs",
    "Study",
    "StudyConfig",
    "check_resumed",
    "command",
    "configure",
    "execute",
    "load_inputs",
]

Preset = Literal["tour", "quick", "full"]
PRESETS: tuple[str, ...] = get_args(Preset)


class StudyConfig(pydantic.BaseModel):
    """What every study can be told; a study adds its own settings.

    Parameters
    ----------
    preset : ``tour`` (under a minute), ``quick`` (minutes) or ``full``.
    seed : every random choice of the run follows from it.
    workers : processes or threads used; the result does not depend on it.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, validate_default=True)

    preset: Preset = "quick"
    seed: int = pydantic.Field(1, ge=0)
    workers: int = pydantic.Field(2, ge=1)


@dataclass(frozen=True)
class Study:
    """One paper as one command.

    Parameters
    ----------
    name, title, arxiv, summary : what it is; ``arxiv`` is the paper's id.
    citations : what to cite: a bibcode or arXiv id, a space, and who and what in words.
    config : the settings.
    presets : preset -> settings that differ from the defaults.
    inputs : what it reads.
    run : ``run(config, inputs, folder)`` gives back Results; long steps keep checkpoints in ``folder.checkpoints``.
    mock : ``mock(config)`` makes stand-ins for the inputs, name -> table.
    schema : the columns of the primary input, by which a user's own table is read.
    key_number, key_figure : what a gallery shows of it; the first ones when they are not named.
    """

    name: str
    title: str
    arxiv: str
    summary: str
    citations: tuple[str, ...]
    config: type[StudyConfig]
    presets: Mapping[str, Mapping[str, Any]]
    inputs: tuple[InputSpec, ...]
    run: Callable[[Any, Mapping[str, Input], RunFolder], Results]
    mock: Callable[[Any], Mapping[str, QTable]] | None = None
    schema: Schema | None = None
    key_number: str = ""
    key_figure: str = ""

    @property
    def primary(self) -> InputSpec | None:
        """The input that a user's own table stands in for."""
        return next((spec for spec in self.inputs if spec.primary), None)


# ---------------------------------------------------------------------------------------------------- configuration


def _settings(model: type[pydantic.BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, entry in model.model_fields.items():
        if isinstance(entry.annotation, type) and issubclass(entry.annotation, pydantic.BaseModel):
            yield from _settings(entry.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", entry.annotation


def _put(settings: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        settings = settings.setdefault(parent, {})
    settings[last] = value


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _value(text: str, annotation: Any) -> Any:
    if annotation is str:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def configure(
    study: Study,
    *,
    preset: str = "quick",
    seed: int | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
) -> StudyConfig:
    """Make a study's configuration from a preset and ``key=value`` overrides.

    Parameters
    ----------
    study : the study.
    preset : ``tour``, ``quick`` or ``full``.
    seed, workers : used when given.
    overrides : ``"key=value"``; values are JSON or plain text, the keys of nested settings are dotted.

    Raises
    ------
    ConfigError
        For an unknown preset or key (with the valid ones and the closest), or a value out of its range.
    """
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}: choose from {', '.join(PRESETS)}")
    valid = {name: annotation for name, annotation in _settings(study.config) if name != "preset"}
    settings: dict[str, Any] = {}
    for key, value in _flat(study.presets.get(preset, {})):
        _put(settings, key, value)
    settings["preset"] = preset
    for override in overrides:
        key, equals, text = (part.strip() for part in override.partition("="))
        if not equals or not key:
            raise ConfigError(f"cannot read the setting {override!r}: write key=value, such as seed=3")
        if key not in valid:
            closest = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
            hint = f"; did you mean {closest[0]!r}?" if closest else "."
            raise ConfigError(f"{study.name} has no setting {key!r}{hint} Its settings: {', '.join(sorted(valid))}")
        _put(settings, key, _value(text, valid[key]))
    settings.update({name: value for name, value in (("seed", seed), ("workers", workers)) if value is not None})
    try:
        return study.config.model_validate(settings)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "settings"
        raise ConfigError(f"{study.name}: {key}: {first['msg']}, got {first['input']!r}") from error


def command(study: Study, config: StudyConfig, data: str) -> str:
    """The command line that gives this run again."""
    words = ["starloom", "run", study.name, "--preset", config.preset, "--seed", str(config.seed)]
    if data != "auto":
        words += ["--data", data]
    plain = dict(_flat(configure(study, preset=config.preset).model_dump(mode="json")))
    for key, value in _flat(config.model_dump(mode="json")):
        if key not in ("preset", "seed", "workers") and value != plain.get(key):
            words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


# -------------------------------------------------------------------------------------------------------------- run


def _keep_comparable_honest(results: Results, same_data: bool) -> None:
    """A published number is comparable only where this run read the study's own real data."""
    if not same_data:
        results.numbers = [
            replace(number, published=replace(number.published, comparable=False)) if number.published else number
            for number in results.numbers
        ]


def check_resumed(folder: RunFolder, identity: dict[str, Any]) -> None:
    """Checkpoints of another run must not leak into this one."""
    path = folder.work / "run.json"
    if folder.resume:
        try:
            earlier = json.loads(path.read_text())
        except FileNotFoundError:
            say(f"nothing to resume at {folder.path}: starting anew")
        except (OSError, ValueError) as error:
            raise OutputError(f"cannot read {path} ({error}); run again without --resume") from error
        else:
            changed = sorted(key for key in {*earlier, *identity} if earlier.get(key) != identity.get(key))
            if changed:
                was = ", ".join(f"{key} was {earlier.get(key)!r} and is {identity.get(key)!r}" for key in changed)
                raise ConfigError(f"cannot resume {folder.path}: {was}; run again without --resume")
    write_json(path, identity)


def execute(
    study: Study,
    config: StudyConfig,
    *,
    data: str = "auto",
    out: str | Path,
    resume: bool = False,
    publish: Callable[[Results, Path], object] | None = None,
) -> Path:
    """Run a study into a folder, which changes only when the new result is whole.

    Parameters
    ----------
    study, config : what to run.
    data : see ``load_inputs``.
    out : the folder of the result.
    resume : go on from the checkpoints of an interrupted run of the same study, settings and data.
    publish : draws the page into the folder given to it, after the tables and ``results.json`` were written.

    Raises
    ------
    OutputError
        When the folder cannot be written, is in use, or holds files that are no result.
    ConfigError
        When ``resume`` is asked for with other settings than the interrupted run had.
    KeyboardInterrupt
        With the command that resumes the run; the checkpoints stay.
    """
    from importlib import metadata

    started, clock = datetime.now(UTC), time.monotonic()
    identity = config.model_dump(mode="json", exclude={"workers"})
    identity |= {"study": study.name, "data": data, "version": metadata.version("starloom")}
    again = command(study, config, data)
    with RunFolder(out, resume=resume) as folder:
        try:
            inputs = load_inputs(study, config, data)
            # a path or "auto" may give other stars today than it gave the interrupted run
            identity |= {f"input {name}": entry.record.sha256 for name, entry in inputs.items()}
            check_resumed(folder, identity)
            say(f"{study.name}: {study.title} (preset {config.preset}, seed {config.seed})")
            results = study.run(config, inputs, folder)
            results.study, results.preset, results.seed = study.name, config.preset, config.seed
            results.started, results.seconds = started, time.monotonic() - clock
            results.config, results.command = config.model_dump(mode="json"), again
            more = [record for record in results.inputs if record.name not in inputs]  # a grid the run opened itself
            results.inputs = [*(entry.record for entry in inputs.values()), *more]
            results.citations = [*dict.fromkeys([*study.citations, *results.citations])]
            results.warnings = [*dict.fromkeys([*inputs.warnings, *results.warnings])]
            _keep_comparable_honest(results, inputs.same_data)
            results.write(folder.staging)
            if publish is not None:
                publish(results, folder.staging)
            return folder.publish()
        except KeyboardInterrupt:
            hint = f"{again} --out {shlex.quote(str(out))} --resume"
            raise KeyboardInterrupt(f"interrupted; the checkpoints are kept, go on with: {hint}") from None
