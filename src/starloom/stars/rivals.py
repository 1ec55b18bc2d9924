"""What a star foundation model is held against: tuned trees and a plain network, on the same complete inputs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starloom.neural.checkpoints import load_tensors, save_tensors
from starloom.progress import say

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TreeSettings:
    """One setting of XGBoost, stopped early on the validation stars."""

    depth: int
    learning_rate: float
    trees: int = 4000


TUNED = (TreeSettings(6, 0.05), TreeSettings(8, 0.04), TreeSettings(7, 0.02))
"""Settings of which the best one per label counts; the default settings are 20 to 30 % worse."""


def xgboost_answers(
    inputs: Floats,
    targets: Floats,
    valid: Floats,
    valid_targets: Floats,
    asked: Floats,
    setting: TreeSettings,
    *,
    seed: int,
    threads: int = 1,
) -> Floats:
    """Answers (stars, targets) of one model a target, each with complete rows and a target that is not missing.

    Parameters
    ----------
    inputs, targets : (stars, ...) to train with; standardized targets, NaN where missing.
    valid, valid_targets : to stop early with.
    asked : inputs of the stars to answer for.
    """
    from xgboost import XGBRegressor

    result = np.empty((len(asked), targets.shape[1]))
    for column in range(targets.shape[1]):
        model = XGBRegressor(
            n_estimators=setting.trees,
            max_depth=setting.depth,
            learning_rate=setting.learning_rate,
            subsample=0.7,
            colsample_bytree=0.7,
            min_child_weight=5,
            early_stopping_rounds=40,
            tree_method="hist",
            n_jobs=threads,
            random_state=seed,
        )
        known, other = np.isfinite(targets[:, column]), np.isfinite(valid_targets[:, column])
        model.fit(
            inputs[known],
            targets[known, column],
            eval_set=[(valid[other], valid_targets[other, column])],
            verbose=False,
        )
        result[:, column] = model.predict(asked)
        say(
            f"XGBoost, depth {setting.depth}, rate {setting.learning_rate:g}, target {column + 1}: "
            f"{model.best_iteration} trees"
        )
    return result


def network_answers(
    inputs: Floats, targets: Floats, asked: Floats, *, seed: int, epochs: int = 30, width: int = 384
) -> Floats:
    """Answers of a plain network: three layers, a mean and a variance a target, all rows complete."""
    import torch
    from torch import nn

    from starloom.neural.training import one_thread

    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x, y = (torch.tensor(part, dtype=torch.float32) for part in (inputs, targets))
        count = targets.shape[1]
        network = nn.Sequential(
            nn.Linear(x.shape[1], width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, 2 * count),
        )
        optimizer = torch.optim.AdamW(network.parameters(), lr=1.5e-3, weight_decay=0.05)
        batch = min(512, len(x))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=epochs * (len(x) // batch))
        for _ in range(epochs):
            order = torch.randperm(len(x))
            for step in range(len(x) // batch):
                rows = order[step * batch : (step + 1) * batch]
                out = network(x[rows])
                mean, spread = out[:, :count], out[:, count:].clamp(-8.0, 5.0)
                loss = (0.5 * ((y[rows] - mean) ** 2 * torch.exp(-spread) + spread)).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                schedule.step()
        with torch.inference_mode():
            found = network(torch.tensor(asked, dtype=torch.float32))[:, :count].numpy().astype(float)
    return np.asarray(found)


def kept(folder: Path, rival: partial[Floats]) -> Floats:
    """What a rival answers, found once: an interrupted run goes on behind the rivals that it has trained.

    Parameters
    ----------
    folder : of the answers, one file for each set of inputs and settings.
    rival : a function of this module with all that it needs.
    """
    import torch

    digest = hashlib.sha256(rival.func.__name__.encode())
    for part in (*rival.args, *sorted(rival.keywords.items())):
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    path = folder / f"rival-{digest.hexdigest()[:20]}.safetensors"
    if not path.exists():
        save_tensors(path, {"answers": torch.tensor(rival(), dtype=torch.float64)})
    return np.asarray(load_tensors(path)["answers"].numpy())
