"""What a study reads: real tables, the labeled mock where they cannot be had, or a user's own table."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starloom.errors import CatalogError, ConfigError, DatasetError
from starloom.files import sha256
from starloom.progress import say
from starloom.results.record import InputRecord

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.studies.study import Study, StudyConfig


@dataclass(frozen=True)
class InputSpec:
    """A table that a study reads: ``file`` of ``dataset``; an empty ``dataset``: only a user's own table will do.

    ``primary`` marks the one a user's own table stands in for; a run goes on without an ``optional`` one. An optional
    input without a dataset is only ever a user's own: without it the study makes what it needs, and records it as
    simulated.
    """

    name: str
    dataset: str
    file: str
    meaning: str
    primary: bool = False
    optional: bool = False


@dataclass
class Input:
    """A table that was read, and the record of where it came from."""

    table: QTable
    record: InputRecord


class Inputs(dict[str, Input]):
    """The inputs of a run by name, with what the reader of the result has to be warned of.

    ``same_data`` says that every table is the study's own real one, so that published numbers may be compared.
    """

    def __init__(self, entries: Mapping[str, Input], *, warnings: list[str], same_data: bool) -> None:
        super().__init__(entries)
        self.warnings = warnings
        self.same_data = same_data


def content_sha256(table: QTable) -> str:
    """SHA-256 over the names, kinds, units, missing flags and values of a table's columns."""
    from starloom.catalog.arrow_tables import split_column

    digest = hashlib.sha256()
    for name in table.colnames:
        values, missing, unit = split_column(table[name], name)
        digest.update(f"{name}|{values.dtype.str}|{values.shape}|{unit}|".encode())
        digest.update(values.tobytes())
        digest.update(b"" if missing is None else missing.tobytes())
    return digest.hexdigest()


def load_inputs(study: Study, config: StudyConfig, data: str = "auto") -> Inputs:
    """Read what a study needs.

    Parameters
    ----------
    study, config : the study and its settings.
    data : ``auto``: the real tables, or all of the mock where a needed one cannot be had, with a warning; ``real``:
        the real tables or an error; ``mock``: the mock; anything else: the path or the dataset name of a user's own
        table, which takes the place of the primary input.

    Returns
    -------
    Inputs
        By name; an optional input that cannot be had is absent, with a warning.

    Raises
    ------
    DatasetError
        When a needed table cannot be had, with what to install or where to put it.
    CatalogError
        When the user's own table cannot be read or lacks what the study needs.
    """
    if data == "mock":
        return _mock(study, config, [])
    if data == "real":
        return _real(study)
    if data == "auto":
        try:
            return _real(study)
        except DatasetError as error:
            if study.mock is None:
                raise
            warning = f"SIMULATED INPUT: the real tables cannot be had here, so this run is on a mock. {error}"
            say(f"warning: {warning}")
            return _mock(study, config, [warning])
    return _own(study, data)


def _mock(study: Study, config: StudyConfig, warnings: list[str]) -> Inputs:
    if study.mock is None:
        raise ConfigError(f"{study.name} has no mock; run it with --data real")
    known = {spec.name for spec in study.inputs}
    tables = study.mock(config)
    if lost := [spec.name for spec in study.inputs if not spec.optional and spec.name not in tables]:
        raise ConfigError(f"the mock of {study.name} makes no {lost[0]!r}")
    entries = {
        name: Input(table, InputRecord(name, "simulated", f"mock of {study.name}", len(table), content_sha256(table)))
        for name, table in tables.items()
        if name in known
    }
    return Inputs(entries, warnings=warnings, same_data=False)


def _real(study: Study, given: Mapping[str, Input] | None = None) -> Inputs:
    from starloom.datasets.access import open_table

    entries, warnings = dict(given or {}), []
    for spec in study.inputs:
        if spec.name in entries or (spec.optional and not spec.dataset):
            continue
        try:
            if not spec.dataset:
                raise DatasetError(f"no open table of {spec.meaning} is known; give your own with --data FILE")
            table = open_table(spec.dataset, spec.file)
        except DatasetError as error:
            if not spec.optional:
                raise
            warnings.append(f"without {spec.name} ({spec.meaning}): {error}")
            say(f"warning: {warnings[-1]}")
            continue
        entries[spec.name] = Input(table, _record(spec.name, table))
    return Inputs(entries, warnings=warnings, same_data=not given)


def _own(study: Study, data: str) -> Inputs:
    primary = study.primary
    if primary is None:
        raise ConfigError(f"{study.name} has no input that a table of your own could stand in for")
    from starloom.catalog.surveys import SURVEYS, identify

    table, record = _read_own(primary.name, data)
    fitting = identify(table)
    notes = [SURVEYS[name].note for name, _ in fitting[:1] if SURVEYS[name].note]
    if study.schema is not None:
        table = study.schema.apply(table, label=data)
    if len(table) == 0:
        raise CatalogError(f"{data} has no rows; {study.name} needs some")
    found = _real(study, {primary.name: Input(table, record)})
    found.warnings[:0] = [f"This run is on your own table, {data}: published numbers are analogous only.", *notes]
    return found


def _read_own(name: str, data: str) -> tuple[QTable, InputRecord]:
    from starloom.catalog.tables import read_table
    from starloom.datasets import registry
    from starloom.datasets.access import open_table

    dataset, _, file = data.partition("/")
    if not Path(data).exists() and dataset in registry.names():
        table = open_table(dataset, file or None)
        return table, _record(name, table)
    if not Path(data).exists() and Path(data).name == data and not Path(data).suffix:
        close = difflib.get_close_matches(data, ["auto", "real", "mock", *registry.names()], n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"--data {data}: neither auto, real or mock, nor a file, nor a dataset.{hint}")
    table = read_table(data)
    return table, InputRecord(name, "real", f"your own table {data}", len(table), sha256(data))


def _record(name: str, table: QTable) -> InputRecord:
    """The record of a table that ``open_table`` read, from what it wrote into the table's meta."""
    meta = table.meta
    return InputRecord(name, "real", meta["origin"], len(table), meta["sha256"], meta["license"], meta["citation"])
