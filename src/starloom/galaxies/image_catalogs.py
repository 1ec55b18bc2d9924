"""Answers and features of whole catalogs of images: written in parts as they come, gone on with after an interrupt.

Beside the file OUT lies ``.OUT.parts`` while the work goes on. The same call again goes on from there; another model,
catalog or setting begins anew. Parts go to the workers of a cluster where there is one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from starloom import executors, progress
from starloom.catalog.provenance import record
from starloom.catalog.tables import format_of, read_table, require_writable, write_table
from starloom.errors import CatalogError
from starloom.files import atomic_path, held, write_json
from starloom.galaxies.image_encoder import ImageEncoder
from starloom.galaxies.image_sources import ID_COLUMNS, ImageSource, stem
from starloom.galaxies.images import ImageForm
from starloom.galaxies.inference_engine import BATCH, embedded_batches

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.galaxies.image_model import ImageModel

PART = 16 * BATCH
"""Images of one part."""


def predict_file(
    model: ImageModel, source: ImageSource, out: str | Path, *, passes: int = 1, views: int = 1, seed: int = 1,
    workers: int | None = None,
) -> dict[str, int]:  # fmt: skip
    """Write the rows of a catalog with the answers for their images.

    Parameters
    ----------
    model, source : the model and the images.
    out : the table to write; its suffix names the format.
    passes, views, seed, workers : as :meth:`starloom.galaxies.image_model.ImageModel.predict` has them.

    Returns
    -------
    dict
        ``rows``, ``unusable`` (those with a reason), ``resumed`` (those that were there already).
    """
    form = {"passes": passes, "views": views, "seed": seed, "task": model.task.as_json(), "form": model.form.as_json()}
    identity = _identity([*model.encoder.state_dict().values(), *model.layer.state_dict().values()], source, form)
    note = {
        "encoder": model.encoder.settings.get("name"), "task": model.task.as_json(), "passes": passes, "views": views,
        "seed": seed, "model": identity[:16],
    }  # fmt: skip
    maker = _Answers(model, passes, views, seed, workers)
    return _in_parts(maker, source, Path(out), identity, ("answers for images", note))


@dataclass(frozen=True)
class _Answers:
    """Answers for the images of a source from a number on, a batch at a time."""

    model: ImageModel
    passes: int
    views: int
    seed: int
    workers: int | None

    def __call__(self, source: ImageSource, first: int) -> Iterator[QTable]:
        return self.model.predicted_batches(
            source, passes=self.passes, views=self.views, seed=self.seed, workers=self.workers, first=first
        )


def embed_file(
    encoder: ImageEncoder, source: ImageSource, form: ImageForm, out: str | Path, *, views: int = 1,
    workers: int | None = None,
) -> dict[str, int]:  # fmt: skip
    """Write the rows of a catalog with the features of their images: columns feature_0, feature_1, ..."""
    identity = _identity([*encoder.state_dict().values()], source, {"views": views, "form": form.as_json()})
    note = {
        "encoder": encoder.settings.get("name"), "form": form.as_json(), "views": views, "model": identity[:16]
    }  # fmt: skip
    maker = _Features(encoder, form, views, workers)
    return _in_parts(maker, source, Path(out), identity, ("features of images", note))


@dataclass(frozen=True)
class _Features:
    """Features of the images of a source from a number on, a batch at a time."""

    encoder: ImageEncoder
    form: ImageForm
    views: int
    workers: int | None

    def __call__(self, source: ImageSource, first: int) -> Iterator[QTable]:
        from astropy.table import QTable

        for found in embedded_batches(
            self.encoder, source, self.form, views=range(self.views), workers=self.workers, first=first
        ):
            table = QTable({"id": source.ids[found.rows]})
            values = found.features.mean(dim=0).numpy().astype(np.float32)
            values[np.array([bool(reason) for reason in found.reasons])] = np.nan
            for place in range(values.shape[1]):
                table[f"feature_{place}"] = values[:, place]
            table["remark"] = np.array(found.remarks, dtype="U80")
            table["reason"] = np.array(found.reasons, dtype="U160")
            yield table


def features_of(table: QTable) -> Any:
    """Features (n, d) out of a table that :func:`embed_file` wrote."""
    names = [name for name in table.colnames if name.startswith("feature_") and name[8:].isdigit()]
    if not names:
        raise CatalogError("the table has no columns feature_0, feature_1, ...; `starloom galaxies embed` writes them")
    return np.stack([np.asarray(table[name]) for name in sorted(names, key=lambda name: int(name[8:]))], axis=1)


@dataclass(frozen=True)
class _Part:
    """Some images of a catalog, what is made of them and where it goes: what travels to a worker."""

    maker: _Answers | _Features
    source: ImageSource
    first: int
    target: Path
    note: tuple[str, dict[str, Any]]


class _From:
    """Part of a sequence under the numbers that its items have in the whole."""

    def __init__(self, items: Any, first: int) -> None:
        self.items, self.first = items, first

    def __len__(self) -> int:
        return self.first + len(self.items)

    def __getitem__(self, place: Any) -> Any:
        return self.items[place - self.first]


def _work(part: _Part, advance: Callable[[int], None] = lambda count: None) -> None:
    from astropy.table import vstack

    own, first = part.source, part.first
    numbered = ImageSource(_From(own.items, first), _From(own.ids, first))  # type: ignore[arg-type]
    made = []
    for table in part.maker(numbered, first):
        made.append(table)
        advance(len(table))
    whole = _with_catalog(vstack(made, metadata_conflicts="silent"), own)
    record(whole, part.note[0], **part.note[1])
    write_table(whole, part.target)


def _in_parts(
    maker: _Answers | _Features, source: ImageSource, out: Path, identity: str, note: tuple[str, dict[str, Any]]
) -> dict[str, int]:
    format_of(out)  # an unknown suffix is said before the work, and so is a column that the format cannot hold
    if source.table is not None:
        own = [name for name in source.table.colnames if name not in ("remark", "reason")]  # those are written anew
        require_writable(source.table[own], out)
    with held(out.absolute().parent / f".{out.name}.parts") as folder:
        known = folder / "identity.json"
        if not known.exists() or json.loads(known.read_text()).get("identity") != identity:
            for stale in folder.glob("*.parquet"):
                stale.unlink()
            write_json(known, {"identity": identity})
        starts = range(0, len(source), PART)
        paths = [folder / f"part-{start:09d}.parquet" for start in starts]
        # made as they are handed out: a part has pictures in it
        todo = [place for place, path in enumerate(paths) if not path.exists()]
        resumed = len(source) - sum(min(PART, len(source) - starts[place]) for place in todo)

        def part(place: int) -> _Part:
            first = starts[place]
            return _Part(
                maker, source.subset(np.arange(first, min(first + PART, len(source)))), first, paths[place], note
            )

        with progress.bar(note[0], len(source), "images") as advance:
            advance(resumed)
            if executors.active():
                parts = _Lazy(part, todo)
                for done, _ in executors.each(_work, parts, what="part"):
                    advance(min(PART, len(source) - starts[todo[done]]))
            else:
                for place in todo:
                    _work(part(place), advance)
        unusable = _join(paths, out)
        shutil.rmtree(folder, ignore_errors=True)
    return {"rows": len(source), "unusable": unusable, "resumed": resumed}


class _Lazy(Sequence[_Part]):
    """Parts that are made when they are asked for."""

    def __init__(self, make: Callable[[int], _Part], places: Sequence[int]) -> None:
        self.make, self.places = make, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: Any) -> Any:
        return self.make(self.places[number])


def _with_catalog(table: QTable, source: ImageSource) -> QTable:
    """The catalog's own columns first; where a name is there already, the new one wins."""
    if source.table is None:
        return table
    from astropy.table import hstack

    own = source.table
    taken = [name for name in own.colnames if name not in table.colnames]
    named = any(name in taken for name in ID_COLUMNS)
    answers = table[[name for name in table.colnames if not (named and name == "id")]]
    return hstack([own[taken], answers], metadata_conflicts="silent") if taken else table


def _join(paths: list[Path], out: Path) -> int:
    """Write the parts as one table; how many rows have a reason."""
    from astropy.table import vstack
    from pyarrow import parquet

    if format_of(out) != "parquet":
        whole = vstack([read_table(path) for path in paths], metadata_conflicts="silent")
        write_table(whole, out)
        return int((np.ma.filled(np.ma.asarray(whole["reason"]), "") != "").sum())
    unusable = 0
    schema = parquet.read_schema(paths[0])
    with atomic_path(out) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for path in paths:
            part = parquet.read_table(path).cast(schema)
            unusable += sum(bool(reason) for reason in part["reason"].to_pylist())
            writer.write_table(part)
    return unusable


def _identity(tensors: list[torch.Tensor], source: ImageSource, settings: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update("\n".join(map(str, source.ids)).encode())
    return digest.hexdigest()


def match_labels(
    source: ImageSource, labels: QTable, ids: str | None = None
) -> tuple[ImageSource, QTable, dict[str, int]]:
    """Images that have a row of labels, and these rows in their order.

    Parameters
    ----------
    source : images, usually of a folder.
    labels : a table with a column of ids.
    ids : that column; by default the first of the usual ones. Ids are compared as text; the name of a file, with or
        without its folder and suffix, is its id.

    Returns
    -------
    source, labels : as many as match, in the images' order.
    counts : ``matched``, ``images_without_label``, ``labels_without_image``.

    Raises
    ------
    CatalogError
        When there is no such column, an id is there twice, or nothing matches.
    """
    usual = (*ID_COLUMNS, "file_loc", "file", "filename")
    column = ids or next((name for name in usual if name in labels.colnames), None)
    if column is None or column not in labels.colnames:
        raise CatalogError(
            f"the labels have no column {ids or 'of ids'!r}; there are {', '.join(labels.colnames[:20])}; name it"
        )
    names = [stem(str(value)) for value in labels[column]]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise CatalogError(f"the labels have {twice!r} more than once in column {column!r}; keep one row of each")
    place = {name: row for row, name in enumerate(names)}
    full = [stem(str(one)) for one in source.ids]
    short = [name.rsplit("/", 1)[-1] for name in full]
    unique = {name for name, count in zip(*np.unique(short, return_counts=True), strict=True) if count == 1}
    rows = [place.get(a, place.get(b, -1) if b in unique else -1) for a, b in zip(full, short, strict=True)]
    found = np.flatnonzero(np.array(rows) >= 0)
    if len(found) == 0:
        raise CatalogError(
            f"no image has a row in the labels: ids such as {full[0]!r} of the images and {names[0]!r} of column "
            f"{column!r}"
        )
    chosen = np.array(rows)[found]
    counts = {
        "matched": len(found), "images_without_label": len(full) - len(found),
        "labels_without_image": len(names) - len(set(chosen.tolist())),
    }  # fmt: skip
    return source.subset(found), labels[chosen], counts
