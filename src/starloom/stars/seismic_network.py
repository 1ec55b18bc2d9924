"""The variational encoder-decoder: from a spectrum's coefficients to a few latents, from these to a power spectrum.

The encoder gives mean and variance of each latent, the decoder ln(power over background) in any number of bins. The
target is another kind of data than the input: the latents keep what both have in common. The objective is that of
arXiv:2302.05479, squared error and the divergence of the latents from N(0, 1),

    loss = pressure * mean over bins of (ln P - output)^2 + sum over latents of 0.5 (mu^2 + s^2 - 1 - ln s^2),

in which bins that a star lacks do not count. The layers are not that paper's: convolutions over 7,514 pixels are
replaced by the learned basis of ``seismic_basis`` and dense layers, which is many times faster and takes any length.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starloom.errors import FitError
from starloom.neural.training import TrainingRecord, descend, one_thread, seeded

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NetworkSettings:
    """Shape and training of the network.

    Parameters
    ----------
    latents : number of latents.
    encoder, decoder : widths of the hidden layers.
    pressure : weight of the squared error against the divergence; smaller prunes more.
    steps, batch, learning_rate : of the training.
    decay : weight of the squared weights in the loss.
    dropout : share of the hidden units left out in training.
    """

    latents: int = 5
    encoder: tuple[int, ...] = (128, 64)
    decoder: tuple[int, ...] = (64, 128)
    pressure: float = 128.0
    steps: int = 6000
    batch: int = 128
    learning_rate: float = 2e-3
    decay: float = 1e-5
    dropout: float = 0.0


def _layers(sizes: tuple[int, ...], dropout: float) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before, after in pairwise(sizes):
        parts += [nn.Linear(before, after), nn.SiLU()]
        if dropout > 0:
            parts.append(nn.Dropout(dropout))
    return nn.Sequential(*parts)


class EncoderDecoder(nn.Module):
    """Coefficients (n, inputs) -> latents (n, k) -> log power (n, bins)."""

    middle: Tensor

    def __init__(self, inputs: int, bins: int, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        k = settings.latents
        self.encoder = _layers((inputs, *settings.encoder), settings.dropout)
        self.head = nn.Linear(settings.encoder[-1], 2 * k)
        self.decoder = _layers((k, *settings.decoder), 0.0)
        self.out = nn.Linear(settings.decoder[-1], bins)
        self.register_buffer("middle", torch.zeros(bins))

    def encode(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and ln variance of the latents, each (n, k)."""
        mean, log_variance = self.head(self.encoder(coefficients)).chunk(2, dim=-1)
        return mean, log_variance.clamp(-12.0, 4.0)

    def decode(self, latents: Tensor) -> Tensor:
        """Log power (n, bins)."""
        found: Tensor = self.out(self.decoder(latents)) + self.middle
        return found

    def loss(self, coefficients: Tensor, target: Tensor, known: Tensor, generator: torch.Generator) -> Tensor:
        """The objective of a batch, a star."""
        mean, log_variance = self.encode(coefficients)
        drawn = mean + torch.exp(0.5 * log_variance) * torch.randn(mean.shape, generator=generator)
        away = torch.where(known, target - self.decode(drawn), 0.0)
        error = (away**2).sum(dim=1) / known.sum(dim=1).clamp_min(1)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1.0 - log_variance).sum(dim=1)
        return (self.settings.pressure * error + divergence).mean()


def train(
    coefficients: Floats,
    coefficient_errors: Floats,
    log_power: Floats,
    settings: NetworkSettings,
    generator: torch.Generator,
    *,
    checkpoint: Path | None = None,
) -> tuple[EncoderDecoder, TrainingRecord]:
    """Train a network on pairs; resumes from ``checkpoint``.

    Parameters
    ----------
    coefficients, coefficient_errors : (n, inputs); the errors are drawn anew at every step, so that the network learns
        what noise does.
    log_power : (n, bins), NaN where a star has none.

    Raises
    ------
    FitError
        When there are too few pairs, no bin is known, or the latents collapse.
    """
    if len(coefficients) != len(log_power) or len(coefficients) < 20:
        raise FitError(f"{len(coefficients)} spectra and {len(log_power)} power spectra: at least 20 pairs are needed")
    known = torch.from_numpy(np.isfinite(log_power))
    if not bool(known.any()):
        raise FitError("no bin of any power spectrum is known")
    inputs = torch.from_numpy(np.asarray(coefficients, dtype=np.float32))
    noise = torch.from_numpy(np.asarray(coefficient_errors, dtype=np.float32))
    target = torch.from_numpy(np.nan_to_num(log_power).astype(np.float32))
    with seeded(generator):
        network = EncoderDecoder(inputs.shape[1], target.shape[1], settings)
    network.middle.copy_((target * known).sum(0) / known.sum(0).clamp_min(1))
    first = int(torch.randint(2**31, (1,), generator=generator))
    parameters = list(network.parameters())

    def loss(step: int) -> Tensor:
        # numbers of a step depend on the step alone, so that a resumed training is the same
        rng = torch.Generator().manual_seed(first + step)
        rows = torch.randint(len(inputs), (settings.batch,), generator=rng)
        given = inputs[rows] + 0.5 * noise[rows] * torch.randn(noise[rows].shape, generator=rng)
        value = network.loss(given, target[rows], known[rows], rng)
        if settings.decay:
            value = value + settings.decay * sum((p**2).sum() for p in parameters if p.ndim > 1)
        return value

    network.train()
    with one_thread():
        record = descend(
            loss, parameters, steps=settings.steps, learning_rate=settings.learning_rate, label="encoder-decoder",
            checkpoint=checkpoint,
        )  # fmt: skip
    network.eval()
    return network, record


def encode(network: EncoderDecoder, coefficients: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the latents of coefficients (n, inputs)."""
    with torch.inference_mode():
        mean, log_variance = network.encode(torch.from_numpy(np.asarray(coefficients, dtype=np.float32)))
    return mean.numpy().astype(float), np.exp(0.5 * log_variance.numpy().astype(float))


def decode(network: EncoderDecoder, latents: Floats) -> Floats:
    """Log power of latents (n, k)."""
    with torch.inference_mode():
        found = network.decode(torch.from_numpy(np.asarray(latents, dtype=np.float32)))
    return np.asarray(found.numpy(), dtype=float)


def tensors_of(network: EncoderDecoder) -> dict[str, Tensor]:
    """What is saved."""
    return {f"network.{name}": value for name, value in network.state_dict().items()}


def shape_of(network: EncoderDecoder) -> dict[str, Any]:
    """What a network is made anew from."""
    return {
        "inputs": network.encoder[0].in_features,
        "bins": network.out.out_features,
        "settings": asdict(network.settings),
    }


def from_saved(shape: dict[str, Any], tensors: dict[str, Tensor]) -> EncoderDecoder:
    """A network out of what was saved."""
    settings: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in shape["settings"].items()}
    network = EncoderDecoder(int(shape["inputs"]), int(shape["bins"]), NetworkSettings(**settings))
    network.load_state_dict(
        {name.removeprefix("network."): v for name, v in tensors.items() if name.startswith("network.")}
    )
    network.eval()
    return network
