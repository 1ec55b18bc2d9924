"""The shipped model, made anew: from the dataset to the folder that Starloom carries.

Under ``torchrun`` this module is the program: ``torchrun --nproc-per-node 2 -m starloom.stars.release -o DIR``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from starloom.catalog.tables import read_table
from starloom.errors import ConfigError
from starloom.files import make_folder, sha256
from starloom.neural.processes import process_group, world
from starloom.seeds import generator
from starloom.stars.evaluation import label_scores
from starloom.stars.foundation import StarFoundation
from starloom.stars.network import ARCHITECTURES
from starloom.stars.split import is_test, is_validation
from starloom.stars.training import Settings

DATASET = "gaia_xp_apogee"
PAPER_STEPS = 400_000
COMPLETED_STEPS = 10_000
SHIPPED_PRESET = "completed"


def settings_of(preset: str, steps: int | None = None) -> Settings:
    """Settings of a preset.

    Raises
    ------
    ConfigError
        For an unknown preset.
    """
    if preset not in ARCHITECTURES:
        raise ConfigError(f"no preset is called {preset!r}; known: {', '.join(ARCHITECTURES)}")
    chosen = Settings(architecture=ARCHITECTURES[preset])
    if preset == "paper":  # post-norm without a summary: it needs small steps and many of them
        chosen = replace(chosen, learning_rate=1e-4, weight_decay=0.01, steps=PAPER_STEPS)
    if preset == "completed":
        chosen = replace(chosen, steps=COMPLETED_STEPS)
    return chosen if steps is None else replace(chosen, steps=steps)


def train_release(
    out: str | Path, *, table: Path | None = None, preset: str = SHIPPED_PRESET, steps: int | None = None,
    until: int | None = None, seed: int = 1,
) -> StarFoundation:  # fmt: skip
    """Train into a folder, with a checkpoint beside it; the same call goes on from there.

    Parameters
    ----------
    out : folder of the model.
    table : a training table; by default the dataset ``gaia_xp_apogee`` without its test stars.
    preset, steps, until, seed : see :class:`starloom.stars.training.Settings`.

    Returns
    -------
    StarFoundation
        With scores on the test stars in its history when all steps are done and the table is the default one.
    """
    from starloom.datasets.access import locate

    settings = settings_of(preset, steps)
    folder = Path(out)
    checkpoint = make_folder(folder.parent) / f".{folder.name}.checkpoint.safetensors"
    if table is None:
        found = locate(DATASET)
        path, origin = found.path, found.origin
    else:
        path, origin = table, str(table)
    stars = read_table(path)
    test = validation = None
    if table is None:
        ids = np.asarray(stars["source_id"])
        test, validation = stars[is_test(ids)], is_validation(ids[~is_test(ids)])
        stars = stars[~is_test(ids)]
    with process_group():
        model = StarFoundation.fit(
            stars, seed=seed, settings=settings, checkpoint=checkpoint, until=until, held_out=validation
        )
        model.history |= {
            "preset": preset,
            "data": {"origin": origin if table is None else table.name, "sha256": sha256(path)},
        }
        if test is not None and model.history["steps"] == settings.steps:
            model.history["test_stars"] = len(test)
            model.history["test_scores"] = label_scores(model, model.tokens(test), generator(seed))
        if world()[0] == 0:
            model.save(folder)
    return model


def main() -> None:
    """The program that torchrun starts."""
    from starloom.progress import shown

    parser = argparse.ArgumentParser(description="Train the star foundation model.")
    parser.add_argument("-o", "--out", required=True, type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--preset", default=SHIPPED_PRESET)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--until", type=int)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with shown(world()[0] == 0):
        train_release(
            given.out, table=given.table, preset=given.preset, steps=given.steps, until=given.until, seed=given.seed
        )


if __name__ == "__main__":
    main()
