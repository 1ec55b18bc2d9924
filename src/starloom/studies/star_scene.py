"""What every part of the study star-foundation looks at: the model, the stars by their ids, and trees for rivals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydantic

from starloom.files import RunFolder
from starloom.results.record import Results
from starloom.seeds import generator
from starloom.studies.study import Input, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.spectra.xp import XpBases
    from starloom.stars.foundation import StarFoundation
    from starloom.stars.tokens import Tokens


class Config(StudyConfig):
    """Settings of star-foundation."""

    trees: int = pydantic.Field(1, ge=0, le=3, description="settings of XGBoost tried for each task; the best counts")
    tree_stars: int = pydantic.Field(0, ge=0, description="training stars of the rivals; 0 for all")
    network_rival: bool = pydantic.Field(True, description="train a plain network as well")
    all_tasks: bool = pydantic.Field(False, description="trees for the tasks with few tokens and for spectra too")
    half_networks: int = pydantic.Field(0, ge=0, description="plain networks trained for one random half each")
    test_stars: int = pydantic.Field(0, ge=0, description="test stars scored; 0 for all")
    mock_stars: int = pydantic.Field(6000, ge=1000, description="stars of the mock")
    mock_steps: int = pydantic.Field(1500, ge=10, description="steps of the model that is trained on the mock")


@dataclass
class Scene:
    """What every part of the study looks at."""

    model: StarFoundation
    bases: XpBases
    train: Tokens
    valid: Tokens
    test: Tokens
    stars: QTable
    labels: tuple[str, ...]
    colors: tuple[str, ...]
    config: Config
    real: bool
    checkpoints: Path
    networks: dict[tuple[str, ...], NDArray[np.float64]] = field(default_factory=dict)

    def complete(self, tokens: Tokens) -> Tokens:
        """Stars that have every label and color."""
        from starloom.stars.evaluation import complete

        return tokens.rows(complete(tokens, self.model, (*self.labels, *self.colors)))

    def inputs(self, tokens: Tokens, names: list[str]) -> NDArray[np.float64]:
        """Standardized values of these kinds."""
        places = self.model.vocabulary.places(names)
        return self.model.vocabulary.standardize(tokens.values[:, places], places)

    def made(self, columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Spectra over their flux in G, made from labels."""
        names = [name for name in columns if name in self.model.vocabulary]
        shown = {name: columns[name] for name in names}
        return self.model.generate_spectrum(shown, given=names, bases=self.bases)[0]


def scene_of(config: Config, inputs: Mapping[str, Input], folder: RunFolder, results: Results) -> Scene:
    """The model, and the stars it is scored on, read once."""
    from starloom.spectra.xp import XpBases
    from starloom.stars import mock as mock_stars
    from starloom.stars.evaluation import COLOR_NAMES, LABEL_NAMES
    from starloom.stars.foundation import StarFoundation
    from starloom.stars.split import is_test, is_validation

    table, record = inputs["stars"].table, inputs["stars"].record
    ids = np.asarray(table["source_id"])
    test, valid = is_test(ids), is_validation(ids)
    real = record.kind == "real"
    if real:
        model, bases = StarFoundation.shipped(), XpBases.from_gaiaxpy()
        results.summary += f" The model is the one that Starloom carries ({model.history['stars']} training stars)."
    else:
        bases = mock_stars.bases()
        held = valid[~test]
        model = StarFoundation.fit(
            table[~test],
            seed=config.seed,
            settings=mock_stars.settings(config.mock_steps),
            held_out=held,
            bases=bases,
            checkpoint=folder.checkpoints / "mock.safetensors",
        )
    tokens = model.tokens(table)
    rows = np.flatnonzero(test)
    if config.test_stars:
        rows = rows[: config.test_stars]
    labels = tuple(name for name in LABEL_NAMES if name in model.vocabulary)
    colors = tuple(name for name in COLOR_NAMES if name in model.vocabulary)
    train = np.flatnonzero(~test & ~valid)
    if config.tree_stars:
        train = generator(config.seed).permutation(train)[: config.tree_stars]
        results.warn(f"The rivals were trained with {len(train)} stars, fewer than the model: their ratios flatter it.")
    return Scene(
        model,
        bases,
        tokens.rows(train),
        tokens.rows(np.flatnonzero(valid)),
        tokens.rows(rows),
        table[rows],
        labels,
        colors,
        config,
        real,
        folder.checkpoints,
    )


def best_trees(scene: Scene, given: list[str], targets: list[str]) -> NDArray[np.float64]:
    """Robust scatter of each target of the best of several tuned XGBoosts, trained for just these inputs."""
    from starloom.stars.rivals import TUNED, kept, xgboost_answers
    from starloom.stats.robust import robust_scatter

    words = scene.model.vocabulary
    places = words.places(targets)
    parts = [scene.complete(part) for part in (scene.train, scene.valid, scene.test)]
    inputs, wanted = ([scene.inputs(part, names) for part in parts] for names in (given, targets))
    found = []
    for setting in TUNED[: scene.config.trees]:
        seed, threads = scene.config.seed, scene.config.workers
        rival = partial(
            xgboost_answers, inputs[0], wanted[0], inputs[1], wanted[1], inputs[2], setting, seed=seed, threads=threads
        )
        answers = kept(scene.checkpoints, rival)
        away = parts[2].values[:, places] - words.restore(answers, places)
        found.append([robust_scatter(away[:, k]) for k in range(len(targets))])
    return np.asarray(np.min(np.array(found), axis=0))


def plain_network(scene: Scene, given: list[str]) -> NDArray[np.float64]:
    """Truth minus answer (stars, labels) of a plain network that was trained for just these inputs."""
    from starloom.stars.rivals import kept, network_answers

    if tuple(given) not in scene.networks:
        words, names = scene.model.vocabulary, list(scene.labels)
        train, test = scene.complete(scene.train), scene.complete(scene.test)
        inputs, asked = scene.inputs(train, given), scene.inputs(test, given)
        rival = partial(network_answers, inputs, scene.inputs(train, names), asked, seed=scene.config.seed)
        answers = kept(scene.checkpoints, rival)
        places = words.places(names)
        scene.networks[tuple(given)] = test.values[:, places] - words.restore(answers, places)
    return scene.networks[tuple(given)]
