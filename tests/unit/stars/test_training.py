from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from starloom.errors import ConfigError, FitError, ModelFileError
from starloom.neural.checkpoints import load_tensors
from starloom.stars import mock
from starloom.stars.observations import read_tokens
from starloom.stars.tokens import COLORS, LABELS, Vocabulary
from starloom.stars.training import Settings, learning_rate, train


@pytest.fixture(scope="module")
def data():
    table = mock.make(500, 5)
    words = Vocabulary([*COLORS, *LABELS])
    tokens = read_tokens(table, words, None)
    words = words.scaled(tokens.values)
    values = words.standardize(tokens.values).astype(np.float32)
    return words, values, words.standardize_errors(tokens.values, tokens.errors).astype(np.float32)


def weights(network):
    return torch.cat([value.flatten() for value in network.state_dict().values()])


def test_an_interrupted_training_ends_where_the_other_does(data, tmp_path):
    settings = mock.settings(40)
    whole, stand = train(*data, settings, seed=1)
    train(*data, settings, seed=1, checkpoint=tmp_path / "c.safetensors", until=17)
    resumed, later = train(*data, settings, seed=1, checkpoint=tmp_path / "c.safetensors")
    assert later.resumed_at == 17
    assert later.steps == stand.steps == 40
    assert torch.equal(weights(whole), weights(resumed))
    again, _ = train(*data, settings, seed=1)
    assert torch.equal(weights(whole), weights(again))
    other, _ = train(*data, settings, seed=2)
    assert not torch.equal(weights(whole), weights(other))


def test_a_checkpoint_of_other_settings_is_refused(data, tmp_path):
    train(*data, mock.settings(6), seed=1, checkpoint=tmp_path / "c.safetensors")
    with pytest.raises(ModelFileError, match="other settings or seed"):
        train(*data, mock.settings(7), seed=1, checkpoint=tmp_path / "c.safetensors")
    (tmp_path / "c.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelFileError, match="cannot be read"):
        train(*data, mock.settings(6), seed=1, checkpoint=tmp_path / "c.safetensors")


def test_a_loss_that_is_not_finite_ends_the_training(data):
    words, values, errors = data
    with pytest.raises(FitError, match="the loss became"):
        train(words, values * 1e30, errors, mock.settings(5), seed=1)


def test_the_rate_rises_and_fades():
    settings = Settings(steps=1000)
    rates = [learning_rate(settings, step) for step in range(1000)]
    assert max(rates) <= settings.learning_rate
    assert np.argmax(rates) == pytest.approx(50, abs=2)
    assert rates[-1] < 1e-4 * settings.learning_rate
    with pytest.raises(ConfigError, match="needs steps"):
        Settings(steps=0)


PROGRAM = """
import sys
import numpy as np
from pathlib import Path
from starloom.stars import mock
from starloom.stars.tokens import COLORS, LABELS, Vocabulary
from starloom.stars.training import train
found = np.load(sys.argv[1])
words = Vocabulary([*COLORS, *LABELS]).scaled(found["raw"])
train(words, found["values"], found["errors"], mock.settings(8), seed=1, checkpoint=Path(sys.argv[2]))
"""


def test_two_processes_train_as_one(data, tmp_path):
    """torchrun with gloo: the gradient of two halves of a draw is that of the draw."""
    words, values, errors = data
    raw = words.restore(values)
    np.savez(tmp_path / "data.npz", raw=raw, values=values, errors=errors)
    (tmp_path / "program.py").write_text(PROGRAM)
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    program = [str(tmp_path / "program.py"), str(tmp_path / "data.npz")]
    train(*data, mock.settings(8), seed=1, checkpoint=one)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*launch, *program, str(two)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = load_tensors(one), load_tensors(two)
    assert int(second["step"]) == 8
    away = max(float((first[n].float() - second[n].float()).abs().max()) for n in first if n.startswith("weight."))
    start = [name.replace("average.", "weight.") for name in first if name.startswith("average.")]
    moved = max(float((first[name] - first[name.replace("weight.", "average.", 1)]).abs().max()) for name in start)
    assert away < 2e-4 < moved  # the last bits of sums over two halves, amplified by eight steps
