"""``starloom galaxies``: fine-tune an encoder on labeled images, predict, and compute features of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from starloom import executors, progress
from starloom.cli.options import Scheduler

app = typer.Typer(no_args_is_help=True, help="Images of galaxies: fine-tune, predict, compute features.")

Images = Annotated[Path, typer.Argument(help="A folder of images, or a table with a column of files or pictures.")]
Seed = Annotated[int, typer.Option(help="Every random choice follows from it.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Threads; the result is the same. All cores by default.")]
ImageColumn = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the table with the images.")]
IdColumn = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the ids.")]
Size = Annotated[int, typer.Option(min=4, help="Pixels on a side that images are brought to.")]
Crop = Annotated[float, typer.Option(help="Central share of each side that is kept.")]
Gray = Annotated[bool, typer.Option("--gray", help="One channel instead of three.")]
Views = Annotated[int, typer.Option(min=1, max=8, help="Mean over so many of the eight symmetric views.")]


@app.command()
def finetune(
    images: Images,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the model.")],
    labels: Annotated[Path | None, typer.Option(help="Table of labels with ids; by default the images' own.")] = None,
    column: Annotated[str, typer.Option(metavar="COLUMN,...", help="Column of the label, or of numbers.")] = "label",
    schema: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Votes: a Galaxy Zoo campaign, or a schema in JSON.")
    ] = None,
    regress: Annotated[bool, typer.Option("--regress", help="The labels are numbers.")] = False,
    unit_interval: Annotated[bool, typer.Option("--unit-interval", help="Numbers between 0 and 1.")] = False,
    encoder: Annotated[
        str,
        typer.Option(
            help="A name (fresh weights), imagenet, starloom:lite0, a file or folder of weights, or hf_hub:NAME."
        ),
    ] = "imagenet",
    parts: Annotated[
        int, typer.Option(help="Parts of the encoder that learn, from its end; 0: the last layer; -1: all.")
    ] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the images at most.")] = 30,
    batch: Annotated[int, typer.Option(min=1, help="Images a step.")] = 64,
    learning_rate: Annotated[float | None, typer.Option(help="Of the last layer; as the mode has it.")] = None,
    lr_decay: Annotated[float | None, typer.Option(help="Factor on the rate from part to part.")] = None,
    patience: Annotated[int, typer.Option(min=1, help="Passes without a better held-out loss.")] = 8,
    contrastive: Annotated[float, typer.Option(help="Weight of a loss between two views; for unlabeled images.")] = 0.0,
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or auto.")] = "float32",
    size: Size = 128,
    crop: Crop = 1.0,
    gray: Gray = False,
    image_column: ImageColumn = None,
    id_column: IdColumn = None,
    seed: Seed = 1,
    workers: Workers = None,
) -> None:
    """Fit a model to labeled images and save it; a training that was interrupted goes on."""
    from starloom.catalog.tables import read_table, write_table
    from starloom.galaxies.finetune import fit, with_settings
    from starloom.galaxies.image_catalogs import match_labels
    from starloom.galaxies.image_sources import image_source
    from starloom.galaxies.image_training import DEEP, LINEAR, SCRATCH
    from starloom.galaxies.images import ImageForm
    from starloom.neural.processes import world

    source = image_source(images, images=image_column, ids=id_column)
    table = source.table
    if labels is not None:
        source, table, counts = match_labels(source, read_table(labels), id_column)
        typer.echo(
            f"{counts['matched']:,} images with a row of labels, {counts['images_without_label']:,} without; "
            f"{counts['labels_without_image']:,} rows without an image"
        )
    task = _task(table, column, schema, regress, unit_interval)
    fresh = _is_fresh(encoder)
    base = LINEAR if parts == 0 else SCRATCH if fresh else DEEP
    changes: dict[str, Any] = {
        "parts": parts, "epochs": epochs, "batch": batch, "patience": patience, "contrastive": contrastive,
        "precision": precision,
    }  # fmt: skip
    changes |= {} if learning_rate is None else {"learning_rate": learning_rate}
    changes |= {} if lr_decay is None else {"lr_decay": lr_decay}
    checkpoint = out.parent / f".{out.name}.checkpoint.safetensors"
    with progress.shown(world()[0] == 0):
        model = fit(
            source, table, task, encoder=encoder, settings=with_settings(base, **changes),
            form=ImageForm(size=size, channels=1 if gray else 3, crop=crop), seed=seed, checkpoint=checkpoint,
            workers=workers,
        )  # fmt: skip
    if world()[0] != 0:
        return
    model.save(out)
    write_table(model.training_rows, out / "rows.parquet")
    checkpoint.unlink(missing_ok=True)
    _say(model)
    typer.echo(f"model: {out}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a model that `galaxies finetune` saved.")],
    images: Images,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The table to write.")],
    passes: Annotated[int, typer.Option(min=1, help="Passes with dropout (Monte Carlo).")] = 1,
    views: Views = 1,
    image_column: ImageColumn = None,
    id_column: IdColumn = None,
    seed: Seed = 1,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Write the table of images with answers; an interrupted run goes on where it was."""
    from starloom.galaxies.image_catalogs import predict_file
    from starloom.galaxies.image_model import ImageModel
    from starloom.galaxies.image_sources import image_source

    loaded = ImageModel.load(model)
    source = image_source(images, images=image_column, ids=id_column)
    with progress.shown(), executors.on(scheduler):
        counts = predict_file(loaded, source, out, passes=passes, views=views, seed=seed, workers=workers)
    typer.echo(f"{counts['rows']:,} rows, {counts['unusable']:,} of them with a reason and no answer: {out}")


@app.command()
def embed(
    encoder: Annotated[
        str, typer.Argument(help="A model's folder, imagenet, starloom:lite0, a file of weights, or hf_hub:NAME.")
    ],
    images: Images,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The table to write.")],
    views: Views = 1,
    size: Size = 128,
    crop: Crop = 1.0,
    gray: Gray = False,
    image_column: ImageColumn = None,
    id_column: IdColumn = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Write the table of images with features; a model's own size, crop and color hold where a model is given."""
    from starloom.galaxies.embedding import chosen_encoder
    from starloom.galaxies.image_catalogs import embed_file
    from starloom.galaxies.image_model import ImageModel
    from starloom.galaxies.image_sources import image_source
    from starloom.galaxies.images import ImageForm
    from starloom.seeds import generator

    source = image_source(images, images=image_column, ids=id_column)
    if _is_model(encoder):
        model = ImageModel.load(encoder)
        made, form = model.encoder, model.form
    else:
        form = ImageForm(size=size, channels=1 if gray else 3, crop=crop)
        made = chosen_encoder(encoder, form.channels, generator(1))
    with progress.shown(), executors.on(scheduler):
        counts = embed_file(made, source, form, out, views=views, workers=workers)
    typer.echo(
        f"{counts['rows']:,} rows with {made.out_features} features, {counts['unusable']:,} of them without: {out}"
    )


def _task(table: Any, column: str, schema: str | None, regress: bool, unit_interval: bool) -> Any:
    import numpy as np

    from starloom.errors import CatalogError, ConfigError
    from starloom.galaxies.tasks import Classification, Regression, Votes

    if table is None:
        raise CatalogError("there are no labels: give --labels TABLE, or a table of images with their columns")
    if schema is not None:
        return Votes(_schema(schema))
    names = [name.strip() for name in column.split(",") if name.strip()]
    for name in names:
        if name not in table.colnames:
            raise CatalogError(f"the labels lack the column {name!r}; there are {', '.join(table.colnames[:20])}")
    if regress or unit_interval:
        return Regression(names, unit_interval=unit_interval)
    if len(names) != 1:
        raise ConfigError("classes come from one column; give --regress for several columns of numbers")
    values = np.ma.masked_array(table[names[0]]).compressed()
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    whole = values.dtype.kind in "iub" or (values.dtype.kind == "f" and (values == np.rint(values)).all())
    distinct = np.unique(values)
    classes = [int(value) if whole else str(value) for value in distinct]
    if not 2 <= len(classes) <= 200:
        raise CatalogError(
            f"column {names[0]!r} has {len(classes)} distinct values, and a classification 2 to 200; give --regress "
            "for numbers"
        )
    return Classification(classes, names[0])


def _schema(text: str) -> Any:
    import json

    from starloom.errors import ConfigError
    from starloom.galaxies.votes import VoteSchema, schema

    path = Path(text)
    if not path.is_file():
        return schema(text)
    try:
        return VoteSchema.from_json(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no schema: {error}") from error


def _is_fresh(encoder: str) -> bool:
    from starloom.galaxies.encoders import names

    return encoder in names()


def _is_model(encoder: str) -> bool:
    import json

    from starloom.galaxies.encoder_weights import MODEL_KIND

    path = Path(encoder) / "model.json"
    try:
        return bool(json.loads(path.read_text()).get("kind") == MODEL_KIND)
    except (OSError, ValueError, AttributeError):
        return False


def _say(model: Any) -> None:
    history = model.history
    left_out = history["images"] - history["used"]
    typer.echo(f"{history['used']:,} of {history['images']:,} images used" + (
        f"; {left_out:,} left out, with their reasons in rows.parquet" if left_out else ""
    ))  # fmt: skip
    if "linear" in history:
        losses = history["linear"]["cross_validated"]
        best = f", cross-validated loss {min(losses.values()):.4f}" if losses else ""
        typer.echo(f"linear fit: penalty {history['linear']['penalty']:g}{best}")
    if "training" in history:
        record = history["training"]
        held = record["held_out_losses"]
        typer.echo(
            f"training: {len(held)} epochs, best {record['best_epoch']} with a held-out loss of {min(held):.4f}"
            + (", stopped early" if record["stopped_early"] else "")
        )
