"""Tracebacks of tables of any size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from starloom.catalog import row_jobs
from starloom.galactic_center.flight import frame_for, galaxy
from starloom.galactic_center.traceback import Traceback

if TYPE_CHECKING:
    from astropy.table import QTable

ROWS = 1_000


@dataclass(frozen=True)
class TracebackJob:
    """Some rows of a table followed back: potential, span (Myr), samples, seed, threads; survey and label."""

    potential: str
    span: float
    samples: int
    seed: int
    workers: int | None
    survey: str | None
    label: str

    def __call__(self, batch: QTable, first: int) -> QTable:
        """The rows with where they come from."""
        tracer = _tracer(self.potential, self.span, self.samples, self.workers)
        return tracer.predict(batch, seed=self.seed, survey=self.survey, label=self.label, first=first)


@lru_cache(maxsize=2)
def _tracer(potential: str, span: float, samples: int, workers: int | None) -> Traceback:
    model = galaxy(potential)
    return Traceback(model, frame_for(model), span=span, samples=samples, workers=workers)


def tracebacks_of_table(
    source: str | Path,
    out_path: str | Path,
    *,
    potential: str = "Marchetti2017",
    span: float = 100.0,
    samples: int = 100,
    seed: int = 1,
    workers: int | None = None,
    survey: str | None = None,
) -> row_jobs.Done:
    """Write a table of any size with where its stars come from; see :class:`Traceback`.

    Parameters
    ----------
    source, out_path : files, or a folder of Parquet files to read; the suffix of the result names its format.
    potential : name of a potential.
    span, samples, workers : as of `Traceback`.
    seed, survey : as of its ``predict``.
    """
    _tracer(potential, span, samples, workers)  # a wrong name is said before the work
    job = TracebackJob(potential, span, samples, seed, workers, survey, str(source))
    return row_jobs.run(job, source, out_path, rows=ROWS)
