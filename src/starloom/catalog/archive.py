"""Queries to an archive in pieces (TAP, through pyvo): each answer is written whole, a later run asks for the rest.

An answer that the server cut at its row limit is not taken: the piece is split and asked for again. Faults that may
pass (no connection, a server error, an answer that breaks off) are tried again; what the server refuses is an error
with the server's own words.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starloom import progress
from starloom.catalog.tables import read_table, write_table
from starloom.errors import CatalogError, ConfigError, DatasetError
from starloom.files import write_json

if TYPE_CHECKING:
    from astropy.table import QTable

GAIA_ARCHIVE = "https://gea.esac.esa.int/tap-server/tap"
MOST_SPLITS = 6
FIRST_POLL, LONGEST_POLL = 0.5, 30.0  # seconds between looks at a job


@dataclass(frozen=True)
class Piece:
    """One part of a query.

    Parameters
    ----------
    name : becomes the name of its file.
    adql : the query.
    halves : gives the two parts that it can be split into where the answer is too long; None: it cannot.
    """

    name: str
    adql: str
    halves: Callable[[], tuple[Piece, Piece]] | None = None

    @property
    def file_name(self) -> str:
        """The name of its file: changes with the query, so that no other query's answer is taken for its own."""
        return f"{self.name}-{hashlib.sha256(self.adql.encode()).hexdigest()[:12]}.parquet"


@dataclass(frozen=True)
class Archive:
    """A TAP service.

    Parameters
    ----------
    url : of the service.
    asynchronous : submit jobs and wait for them (the service's long queue); else ask and wait for the answer.
    rows : most rows of one answer to ask for; None: the service's own limit.
    attempts : how often a fault that may pass is tried.
    pause : seconds before the second attempt, doubled each time.
    timeout : seconds a job may take.
    """

    url: str = GAIA_ARCHIVE
    asynchronous: bool = True
    rows: int | None = None
    attempts: int = 4
    pause: float = 5.0
    timeout: float = 3600.0

    def fetch(self, pieces: Sequence[Piece], folder: str | Path) -> list[Path]:
        """Ask for all pieces, and keep each answer in a folder as a Parquet file.

        Parameters
        ----------
        pieces : the parts of the query.
        folder : answers that are there already are not asked for again.

        Returns
        -------
        list of Path
            The files in the order of the pieces; a piece that was split gives several.

        Raises
        ------
        CatalogError
            When the service refuses a query, or an answer is too long and its piece cannot be split.
        DatasetError
            When the service cannot be reached or keeps failing; what was answered before is kept.
        ConfigError
            When pyvo is not installed.
        """
        names = [piece.name for piece in pieces]
        if len(set(names)) != len(names):
            raise ConfigError("two pieces of a query have one name")
        place = Path(folder)
        found: list[Path] = []
        with progress.bar("query", len(pieces), "pieces") as advance:
            for piece in pieces:
                answers = self._answers(piece, place, MOST_SPLITS)
                found += answers
                advance(1, piece.name)
        return found

    def _answers(self, piece: Piece, folder: Path, splits: int) -> list[Path]:
        path = folder / piece.file_name
        if path.exists():
            return [path]
        split = path.with_suffix(".split.json")
        if not split.exists():
            table, whole = self._ask(piece)
            if whole:
                write_table(table, path)
                return [path]
            if piece.halves is None or splits == 0:
                raise CatalogError(
                    f"{self.url} cut the answer to {piece.name} after {len(table)} rows and the piece cannot be split "
                    "further; ask for narrower pieces"
                )
            progress.say(f"{piece.name}: more than {len(table)} rows, asked for in two halves")
            write_json(split, {"name": piece.name, "rows": len(table)})
        if piece.halves is None:
            raise CatalogError(f"{split} says that {piece.name} was split, and it cannot be; remove the folder")
        return [path for half in piece.halves() for path in self._answers(half, folder, splits - 1)]

    def _ask(self, piece: Piece) -> tuple[QTable, bool]:
        """The answer to one piece, and whether it is whole."""
        fault: Exception | None = None
        for attempt in range(self.attempts):
            if attempt:
                progress.say(f"{piece.name}: {_words(fault)}; attempt {attempt + 1} of {self.attempts}")
                time.sleep(self.pause * 2 ** (attempt - 1))
            try:
                return self._answer(piece)
            except _Passing as error:
                fault = error.fault
        raise DatasetError(
            f"{self.url} did not answer {piece.name} in {self.attempts} attempts: {_words(fault)}; run the same "
            "command again later, it goes on from what is there"
        ) from fault

    def _answer(self, piece: Piece) -> tuple[QTable, bool]:
        try:
            import pyvo
            from pyvo.dal import DALQueryError, DALServiceError
        except ImportError as error:
            raise ConfigError("queries to an archive need pyvo: pip install 'starloom[archive]'") from error
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pyvo warns of overflow, which is looked at below, and of units
                with _session() as session:
                    service = pyvo.dal.TAPService(self.url, session=session)
                    result = self._run_job(service, piece) if self.asynchronous else self._run_now(service, piece)
                    table = read_table(result.to_table(), label=f"the answer to {piece.name}")
        except DALQueryError as error:
            raise CatalogError(f"{self.url} refused {piece.name}: {_words(error)}") from error
        except DALServiceError as error:
            if error.code and 400 <= int(error.code) < 500 and int(error.code) not in (408, 429):
                raise CatalogError(f"{self.url} refused {piece.name}: {_words(error)}") from error
            raise _Passing(error) from error
        except Exception as error:  # the readers raise anything on an answer that breaks off
            raise _Passing(error) from error
        limit = self.rows
        overflowed = str(result.query_status).upper() == "OVERFLOW" or (limit is not None and len(table) >= limit)
        return table, not overflowed

    def _run_now(self, service: Any, piece: Piece) -> Any:
        return service.run_sync(piece.adql, **self._limit())

    def _run_job(self, service: Any, piece: Piece) -> Any:
        from pyvo.dal import DALServiceError

        job = service.submit_job(piece.adql, **self._limit())
        try:
            job.run()
            started, pause = time.monotonic(), FIRST_POLL
            # pyvo's own wait() knows no end
            while (phase := job.phase) not in ("COMPLETED", "ERROR", "ABORTED"):
                if time.monotonic() - started > self.timeout:
                    raise DALServiceError(f"the job was still {phase.lower()} after {self.timeout:g} s", 503)
                time.sleep(pause)
                pause = min(1.3 * pause, LONGEST_POLL)
            job.raise_if_error()
            return job.fetch_result()
        finally:
            _delete(job)

    def _limit(self) -> dict[str, int]:
        return {} if self.rows is None else {"maxrec": self.rows}


class _Passing(Exception):
    """A fault that may pass; never leaves this file."""

    def __init__(self, fault: Exception) -> None:
        super().__init__(str(fault))
        self.fault = fault


@contextlib.contextmanager
def _session() -> Iterator[Any]:
    """A session whose answers are closed with it: pyvo leaves those it could not read to the garbage collector."""
    import requests

    answers: list[Any] = []
    with requests.Session() as session:
        session.hooks["response"].append(lambda response, *_, **__: answers.append(response))
        try:
            yield session
        finally:
            for answer in answers:
                answer.close()


def _delete(job: Any) -> None:
    """Take a job off the service; that it cannot be is no reason to lose its answer."""
    import requests
    from pyvo.dal import DALServiceError

    try:
        job.delete()
    except (DALServiceError, requests.RequestException):
        progress.say("a finished job could not be deleted from the archive")


def _words(error: Exception | None) -> str:
    words = " ".join(str(error).split())[:300]
    return words or type(error).__name__
