"""The star foundation model: attention against torch's own, and what a step and an answer cost in floating point."""

from __future__ import annotations

import numpy as np
import torch
from side_by_side import Comparison, cpu_seconds, table
from torch import nn

from starloom import progress
from starloom.neural.processes import has_bfloat16
from starloom.stars.network import ARCHITECTURES, Attention, StarNetwork
from starloom.stars.perception import batch_of
from starloom.stars.training import Settings, flops_per_step, forward_flops

KINDS, PLACES, REQUESTS, STARS = 118, 64, 4, 512
XP_STARS = 2.2e8
GPU = 1.0e14  # floating-point operations a second that a present GPU sustains in bfloat16, taken low


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results agree."""
    torch.set_num_threads(1)
    progress.say("stars: attention")
    comparisons = [_attention(64, 2), _attention(128, 16)]
    lines = [
        "## stars",
        "",
        table(comparisons),
        "",
        f"One thread, {PLACES} tokens and {REQUESTS} requests a star, in the batches of `StarFoundation.ask`: "
        f"{batch_of(ARCHITECTURES['paper'])} stars of the network of the paper, else {STARS}. The limit is the rate of "
        "one large matrix product on the same thread.",
        "",
        "| network | number type | stars/s | GFLOP a star | GFLOP/s | share of the limit |",
        "|---|---|---|---|---|---|",
    ]
    kinds = [("float32", False)] + ([("bfloat16", True)] if has_bfloat16() else [])
    for name, own in (("small", True), ("completed", False), ("completed", True), ("paper", True)):
        for word, low in kinds:
            progress.say(f"stars: {name} in {word}")
            lines.append(_inference(name, word, low, own))
    for word, low in kinds:
        lines.append(_training(word, low))
    gpu = forward_flops(ARCHITECTURES["small"], KINDS, 67, 5), forward_flops(ARCHITECTURES["paper"], KINDS, 64, 5)
    lines += [
        "",
        f"220 million XP stars on one GPU that sustains 1e14 operations a second, by count: "
        f"{XP_STARS * gpu[0] / GPU:.0f} s (small, five labels), {XP_STARS * gpu[1] / GPU / 60:.0f} minutes (paper); "
        "reading the spectra takes longer than either.",
        "",
    ]
    return "\n".join(lines), all(c.agrees for c in comparisons)


def _attention(dimension: int, heads: int) -> Comparison:
    torch.manual_seed(1)
    mine = Attention(dimension, heads, 0.0).eval()
    theirs = nn.MultiheadAttention(dimension, heads, add_bias_kv=True, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(mine.weight)
        theirs.in_proj_bias.copy_(mine.bias)
        theirs.bias_k.copy_(mine.key[None, None])
        theirs.bias_v.copy_(mine.value[None, None])
        theirs.out_proj.load_state_dict(mine.out.state_dict())
    memory, hidden = torch.randn(STARS, PLACES, dimension), torch.zeros(STARS, PLACES, dtype=torch.bool)
    absent = torch.zeros(STARS, PLACES)

    def ours() -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = mine(memory, memory, absent)
        return found

    def peer() -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = theirs(memory, memory, memory, key_padding_mask=hidden, need_weights=False)[0]
        return found

    return Comparison(
        name=f"self-attention of {STARS} stars, {PLACES} tokens of {dimension}, {heads} heads",
        peer="torch.nn.MultiheadAttention",
        seconds=cpu_seconds(ours),
        peer_seconds=cpu_seconds(peer),
        difference=float((ours() - peer()).abs().max()),
        tolerance=1e-4,
        unit="",
        work=STARS,
        work_unit="stars",
    )


def _limit(low: bool) -> float:
    size = 1024
    left, right = torch.randn(size, size), torch.randn(size, size)
    if low:
        left, right = left.bfloat16(), right.bfloat16()
    return 2 * size**3 / cpu_seconds(lambda: left @ right)


def _inference(name: str, word: str, low: bool, own: bool) -> str:
    """A line of the table; ``own``: each star has kinds of its own (else all have the same, as in most tables)."""
    torch.manual_seed(1)
    network, batch = StarNetwork(KINDS, ARCHITECTURES[name]).eval(), batch_of(ARCHITECTURES[name], PLACES)
    kinds = torch.stack([torch.randperm(KINDS)[:PLACES] + 1 for _ in range(STARS)])
    kinds = kinds if own else kinds[:1].expand(STARS, -1).contiguous()
    values, asked = torch.randn(STARS, PLACES), torch.randint(1, KINDS + 1, (STARS, REQUESTS))

    def work() -> None:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            for start in range(0, STARS, batch):
                part = slice(start, start + batch)
                network(kinds[part], values[part], asked[part])

    rate = STARS / cpu_seconds(work, 3)
    each = forward_flops(ARCHITECTURES[name], KINDS, PLACES, REQUESTS)
    share = rate * each / _limit(low)
    words = f"{name}, {'gaps of its own in each star' if own else 'the same kinds in all stars'}"
    return f"| {words} | {word} | {rate:,.0f} | {each / 1e9:.4f} | {rate * each / 1e9:.0f} | {share:.0%} |"


def _training(word: str, low: bool) -> str:
    from starloom.stars import contexts, tokens

    progress.say(f"stars: training in {word}")
    settings = Settings(architecture=ARCHITECTURES["small"])
    vocabulary = tokens.Vocabulary([*tokens.coefficients(), *tokens.COLORS, *tokens.LABELS])
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2000, len(vocabulary))).astype(np.float32)
    sampler = contexts.Sampler(vocabulary, values, np.zeros_like(values), dict(settings.modes))
    network = StarNetwork(len(vocabulary), settings.architecture)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    from starloom.stars.training import loss_of

    def work() -> None:
        for step in range(12):
            draw = sampler.draw(1, step)
            loss = loss_of(network, draw, torch.device("cpu"), low) / float(draw.weights.sum())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    rate = 12 / cpu_seconds(work, 3)
    each = flops_per_step(settings, len(vocabulary))
    share = rate * each / _limit(low)
    cells = (f"{rate:.1f} steps/s", f"{each / 1e9:.1f} a step", f"{rate * each / 1e9:.0f}", f"{share:.0%}")
    return f"| small, training | {word} | {' | '.join(cells)} |"
