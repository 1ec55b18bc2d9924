"""The encoder-decoder of the seismic ages against the published design, written in plain torch: throughput only.

The published network (arXiv:2302.05479, as described in the documentation of astroNN) reads 7,514 pixels through two
convolutions and writes a power spectrum through transposed ones. Both are given the same spectra and the same targets
on one thread. They are different networks: what each learns is not compared here.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn

from starloom import progress
from starloom.stars.seismic_basis import SpectralBasis
from starloom.stars.seismic_network import EncoderDecoder, NetworkSettings, encode

PIXELS, BINS, BATCH, SIZE = 7514, 2092, 128, 48
STARS = 512


class Published(nn.Module):
    """Convolutional encoder and decoder with the published layers; the output is cut or padded to the bins."""

    def __init__(self, pixels: int = PIXELS, bins: int = BINS, latents: int = 5) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 32, 8, stride=2, padding=3)
        self.second = nn.Conv1d(32, 64, 8, stride=2, padding=3)
        self.pool = nn.MaxPool1d(2)
        with torch.no_grad():
            length = self._conv(torch.zeros(1, pixels)).shape[1]
        self.dense, self.head = nn.Linear(length, 16), nn.Linear(16, 2 * latents)
        self.wide, self.bins = bins // 4 - 31, bins
        self.grow = nn.Linear(latents, self.wide * 16)
        self.up1 = nn.ConvTranspose1d(16, 16, 32, stride=2)
        self.up2 = nn.ConvTranspose1d(16, 16, 32, stride=2)
        self.out = nn.ConvTranspose1d(16, 1, 32)

    def _conv(self, flux: Tensor) -> Tensor:
        found: Tensor = self.pool(torch.relu(self.second(torch.relu(self.first(flux[:, None]))))).flatten(1)
        return found

    def encode(self, flux: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and ln variance of the latents."""
        mean, log_variance = self.head(torch.tanh(self.dense(self._conv(flux)))).chunk(2, dim=-1)
        return mean, log_variance

    def loss(self, flux: Tensor, target: Tensor) -> Tensor:
        """Squared error and divergence of a batch."""
        mean, log_variance = self.encode(flux)
        drawn = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        grown = torch.relu(self.grow(drawn)).reshape(len(flux), 16, self.wide)
        made = self.out(torch.relu(self.up2(torch.relu(self.up1(grown)))))[:, 0]
        lack = self.bins - made.shape[1]
        made = nn.functional.pad(made, (0, lack)) if lack > 0 else made[:, : self.bins]
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return ((target - made) ** 2).mean(1).sum() + divergence


def _rate(work: object, stars: int, repeats: int) -> float:
    work()  # type: ignore[operator]
    started = time.process_time()
    for _ in range(repeats):
        work()  # type: ignore[operator]
    return stars * repeats / (time.process_time() - started)


def section() -> tuple[str, bool]:
    """The section of the page; nothing is compared but throughput, so all agrees."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    progress.say("seismic ages: throughput")
    signal = rng.normal(size=(STARS, 12)) @ rng.normal(size=(12, PIXELS)) * 0.02
    flux = (1.0 + signal + 0.01 * rng.normal(size=signal.shape)).astype(np.float32)
    error = np.full(flux.shape, 0.01, dtype=np.float32)
    target = torch.from_numpy(rng.normal(size=(BATCH, BINS)).astype(np.float32))
    theirs, peer = Published(), torch.from_numpy(flux)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=5e-4)

    def their_step() -> None:
        optimizer.zero_grad()
        theirs.loss(peer[:BATCH], target).backward()
        optimizer.step()

    def their_answer() -> None:
        with torch.inference_mode():
            theirs.encode(peer[:BATCH])

    basis = SpectralBasis.fit(flux, error, size=SIZE, seed=1)
    coefficients = basis.project(flux[:BATCH], error[:BATCH])[0]
    mine = EncoderDecoder(SIZE, BINS, NetworkSettings())
    given, known = torch.from_numpy(coefficients.astype(np.float32)), torch.ones(BATCH, BINS, dtype=torch.bool)
    stepper, generator = torch.optim.Adam(mine.parameters(), lr=2e-3), torch.Generator().manual_seed(1)

    def my_step() -> None:
        stepper.zero_grad()
        mine.loss(given, target, known, generator).backward()
        stepper.step()

    def my_answer() -> None:
        encode(mine, basis.project(flux[:BATCH], error[:BATCH])[0])

    started = time.process_time()
    SpectralBasis.fit(flux, error, size=SIZE, seed=1)
    fit = STARS / (time.process_time() - started)
    rates = {
        "training step": (_rate(my_step, BATCH, 20), _rate(their_step, BATCH, 2)),
        "latents of new spectra": (_rate(my_answer, BATCH, 3), _rate(their_answer, BATCH, 3)),
    }
    weights = [sum(p.numel() for p in network.parameters()) for network in (mine, theirs)]
    lines = [
        "## seismic ages",
        "",
        f"One thread, batches of {BATCH} spectra of {PIXELS} pixels and power spectra of {BINS} bins. The peer is the "
        "published convolutional design in plain torch. The networks differ, so only throughput is compared.",
        "",
        "| what | starloom, stars/s | published design, stars/s | starloom / published |",
        "|---|---|---|---|",
        *(f"| {name} | {a:,.0f} | {b:,.0f} | **{a / b:.2g}** |" for name, (a, b) in rates.items()),
        "",
        f"- Weights: {weights[0]:,} and {weights[1]:,}. Before the training Starloom learns its basis, once: "
        f"{fit:,.0f} stars/s. Its latents of new spectra include the projection, each star with its own bad pixels.",
        "",
    ]
    return "\n".join(lines), True
