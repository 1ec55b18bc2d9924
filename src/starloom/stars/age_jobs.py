"""Ages by the forest and by seismology applied to tables of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from starloom.catalog import row_jobs
from starloom.catalog.row_jobs import Done

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stars.ages import AgeForest
    from starloom.stars.seismic_ages import SeismicAges

ROWS = 50_000
SPECTRA = 1_000  # rows with spectra of 7,514 pixels in memory at a time


@dataclass(frozen=True)
class ForestAgeJob:
    """Ages of some rows of a table by the forest in a folder, or by the one that APOKASC-2 gives for the inputs.

    Parameters
    ----------
    folder : of a forest; None to fit one to the giants of APOKASC-2.
    inputs, trees, seed : of that one.
    asked : whether it must have all these inputs, or those that APOKASC-2 has.
    label : what to call the table in messages.
    """

    folder: str | None
    inputs: tuple[str, ...]
    asked: bool
    trees: int
    seed: int
    label: str

    def forest(self) -> AgeForest:
        """The forest; fitted once in each process."""
        return _forest(self)

    def __call__(self, batch: QTable, first: int) -> QTable:
        """The rows with ages."""
        return _forest(self).predict(batch, label=self.label)


@lru_cache(maxsize=2)
def _forest(job: ForestAgeJob) -> AgeForest:
    from starloom.stars.ages import AgeForest, forest_of_apokasc

    if job.folder is not None:
        return AgeForest.load(job.folder)
    return forest_of_apokasc(job.inputs, asked=job.asked, n_trees=job.trees, seed=job.seed, label=job.label)


def forest_ages_of_table(
    source: str | Path,
    out_path: str | Path,
    *,
    model: str | Path | None = None,
    inputs: Sequence[str] | None = None,
    trees: int = 200,
    seed: int = 1,
) -> tuple[Done, AgeForest]:
    """Write a table of any size with ages from a forest.

    Parameters
    ----------
    source : path of the table.
    out_path : the file to write; its suffix names the format.
    model : folder of a forest; by default one is fitted to APOKASC-2.
    inputs : what that one tells ages from; by default all that half of the rows have.
    trees, seed : of that one.

    Returns
    -------
    tuple
        What was written, and the forest.
    """
    from starloom.stars.ages import available_in

    label = str(source)
    chosen: tuple[str, ...] = ()
    if model is None:
        chosen = tuple(inputs) if inputs is not None else available_in(source, label=label)
    folder = None if model is None else str(Path(model).absolute())
    job = ForestAgeJob(folder, chosen, inputs is not None, trees, seed, label)
    forest = job.forest()  # what is wrong with it is said before the work
    return row_jobs.run(job, source, out_path, rows=ROWS), forest


@dataclass(frozen=True)
class SeismicAgeJob:
    """Seismic quantities and ages of some rows of a table with spectra.

    Parameters
    ----------
    folder : of the model.
    base : where relative paths of spectra begin.
    label : what to call the table in messages.
    """

    folder: str
    base: str
    label: str

    def __call__(self, batch: QTable, first: int) -> QTable:
        """The rows with ages, without the arrays of their spectra."""
        from starloom.stars.seismic_tables import spectra_of

        answers = _seismic(self.folder).predict(spectra_of(batch, self.base), batch, label=self.label)
        for name in ("flux", "flux_error", "mask"):
            if name in answers.colnames and answers[name].ndim > 1:
                answers.remove_column(name)
        return answers


@lru_cache(maxsize=2)
def _seismic(folder: str) -> SeismicAges:
    from starloom.stars.seismic_ages import SeismicAges

    return SeismicAges.load(folder)


def seismic_ages_of_table(source: str | Path, out_path: str | Path, *, model: str | Path) -> Done:
    """Write a table of any size with seismic quantities and ages; ``model`` is the folder of a trained model.

    Paths of spectra begin at the folder of the table, or at the table where that is a folder.
    """
    table, folder = Path(source).absolute(), str(Path(model).absolute())
    _seismic(folder)
    base = table if table.is_dir() else table.parent
    return row_jobs.run(SeismicAgeJob(folder, str(base), str(source)), source, out_path, rows=SPECTRA)
