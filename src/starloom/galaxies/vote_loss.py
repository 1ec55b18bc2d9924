"""The Dirichlet-multinomial likelihood of votes, for all questions of all galaxies at once.

For a question with votes k_j (N in all) and concentrations a_j (A in all),

    -ln L = -[ ln G(N+1) + ln G(A) - ln G(N+A) + sum_j ( ln G(k_j+a_j) - ln G(a_j) - ln G(k_j+1) ) ],

G being the gamma function (arXiv:2102.08414, equation 3). Most numbers are zero: a galaxy has votes in one campaign,
and volunteers reach a part of its questions. Only what has votes is computed, in one pass with its gradient. Gamma
functions of hundreds of votes are large numbers that cancel, so float64 is used inside, whatever precision the network
has (float32 on devices without it).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from starloom.errors import ConfigError

SMALLEST, SPAN = 1.0, 100.0
"""Concentrations lie between SMALLEST and SMALLEST + SPAN (arXiv:2102.08414)."""


class _LogLikelihood(torch.autograd.Function):
    """Negative log-likelihood (galaxies, questions); the gradient is made on the way, as it shares what is gathered."""

    @staticmethod
    def forward(ctx: Any, concentrations: Tensor, votes: Tensor, group: Tensor, kind: torch.dtype) -> Tensor:
        size = torch.bincount(group)
        questions, columns = len(size), len(group)
        voted = votes.reshape(-1).nonzero()[:, 0]  # place of each answer with votes
        row = voted // columns
        cells, place = torch.unique_consecutive(row * questions + group[voted - row * columns], return_inverse=True)
        # all answers of the questions that have votes
        answers = size[cells % questions]
        inside = torch.repeat_interleave(answers)
        first = (cells // questions) * columns + (torch.cumsum(size, 0) - size)[cells % questions]
        step = torch.arange(len(inside), device=votes.device) - (torch.cumsum(answers, 0) - answers)[inside]
        every = first[inside] + step
        zeros = torch.zeros(len(cells), dtype=kind, device=votes.device)
        whole = zeros.index_add(0, inside, concentrations.reshape(-1)[every].to(kind))
        k, a = votes.reshape(-1)[voted].to(kind), concentrations.reshape(-1)[voted].to(kind)
        total = zeros.index_add(0, place, k)
        values = torch.lgamma(total + whole) - torch.lgamma(whole) - torch.lgamma(total + 1.0)
        values.index_add_(0, place, torch.lgamma(a) + torch.lgamma(k + 1.0) - torch.lgamma(k + a))
        result = torch.zeros(votes.shape[0] * questions, dtype=kind, device=votes.device)
        result[cells] = values
        if ctx.needs_input_grad[0]:
            of_sum = torch.digamma(total + whole) - torch.digamma(whole)
            of_answer = torch.digamma(a) - torch.digamma(k + a)
            ctx.save_for_backward(of_sum, of_answer, cells, place, inside, every, voted)
            ctx.shape, ctx.dtype = concentrations.shape, concentrations.dtype
        return result.view(-1, questions)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        of_sum, of_answer, cells, place, inside, every, voted = ctx.saved_tensors
        weight = gradient.reshape(-1)[cells]
        result = torch.zeros(ctx.shape.numel(), dtype=weight.dtype, device=weight.device)
        result[every] = (of_sum * weight)[inside]
        result[voted] += of_answer * weight[place]
        return result.view(ctx.shape).to(ctx.dtype), None, None, None


def dirichlet_multinomial(concentrations: Tensor, votes: Tensor, membership: NDArray[np.int64]) -> Tensor:
    """Negative log-likelihood of each question of each galaxy.

    Parameters
    ----------
    concentrations : (galaxies, columns), positive.
    votes : (galaxies, columns), not negative.
    membership : (columns,) number of the question of each column; the columns of a question stand together.

    Returns
    -------
    Tensor
        (galaxies, questions), 0 without votes.

    Raises
    ------
    ConfigError
        When shapes differ, or a vote is negative or not finite.
    """
    if concentrations.shape != votes.shape or concentrations.dim() != 2:
        raise ConfigError(
            f"votes have the shape {tuple(votes.shape)} and concentrations {tuple(concentrations.shape)}; both are "
            "(galaxies, columns)"
        )
    counts = votes.detach().to(concentrations.device)
    if counts.numel() and not (bool(counts.min() >= 0) and bool(torch.isfinite(counts).all())):
        raise ConfigError("votes must be finite and not negative; a question that was not asked has 0 votes")
    kind = torch.float32 if concentrations.device.type == "mps" else torch.float64
    group = torch.as_tensor(membership, device=concentrations.device)
    result: Tensor = _LogLikelihood.apply(concentrations, counts, group, kind)  # type: ignore[no-untyped-call]
    return result


def concentrations_of(outputs: Tensor) -> Tensor:
    """Concentrations between 1 and 101 of unbounded outputs x: 100 sigmoid(x) + 1, in float32 at least."""
    return SPAN * torch.sigmoid(outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs) + 1.0


def start_head(layer: nn.Linear, generator: torch.Generator) -> None:
    """Start the last layer so that all concentrations begin near 2 to 4: every answer is possible."""
    bound = (6.0 / (layer.in_features + layer.out_features)) ** 0.5 / 10.0
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-4.5, -3.5, generator=generator)
