"""Images of galaxies: the loss of votes, training and inference beside a plain torch loop, and what decoding takes.

The peer of the loss is a loop over questions, as Zoobot has it. The peer of training and inference is what one writes
by hand: pictures decoded in full and resized one by one, a model called batch by batch, the loop over questions.
Zoobot's own stack is the peer of :mod:`speed_zoobot`.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from side_by_side import Comparison, cpu_seconds, table
from torch import Tensor, nn

from starloom import progress
from starloom.galaxies.embedding import embed
from starloom.galaxies.encoders import encoder
from starloom.galaxies.image_encoder import ImageEncoder
from starloom.galaxies.image_sources import ImageSource, image_source
from starloom.galaxies.image_training import SCRATCH, Network, parameter_groups
from starloom.galaxies.images import ImageForm
from starloom.galaxies.vote_campaigns import JOINT
from starloom.galaxies.vote_loss import concentrations_of
from starloom.galaxies.votes import VoteSchema, schema
from starloom.neural.training import one_thread, seeded

GALAXIES = 512
IMAGES, SIDE, SIZE = 192, 424, 64
FORM = ImageForm(SIZE, 3)
NAMES = ("convnext_mini", "resnet_mini", "efficientnet_lite_mini")
LEAST = 5.0


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results are as good as they have to be."""
    with one_thread():
        loss = _loss()
        pictures = jpegs()
        inference = [_inference(name, pictures) for name in NAMES]
        training = [_training(name, pictures) for name in NAMES]
        profile, share = _decoding(pictures)
    comparisons = [loss, *inference, *training]
    fast = loss.peer_seconds / loss.seconds >= LEAST
    text = f"## galaxy images\n\n{table(comparisons)}\n{profile}"
    return text, all(c.agrees for c in comparisons) and fast and share < 0.5


def votes_of(joint: VoteSchema, campaigns: tuple[str, ...], rng: np.random.Generator) -> Tensor:
    """Votes of galaxies of many campaigns: each has those of its own, on the questions that volunteers reach."""
    votes = np.zeros((GALAXIES, len(joint.columns)), np.float32)
    schemas = [schema(name) for name in campaigns]
    starts = np.cumsum([0, *(len(one.columns) for one in schemas)])
    for row, own in enumerate(rng.integers(0, len(schemas), GALAXIES)):
        fractions = schemas[own].expected_fractions(rng.gamma(1.0, size=(1, len(schemas[own].columns))))
        for question, asked in zip(schemas[own].questions, schemas[own].asked(fractions)[0], strict=True):
            part = schemas[own].slice_of(question.name)
            chances = fractions[0, part] / fractions[0, part].sum()
            votes[row, starts[own] + part.start : starts[own] + part.stop] = rng.multinomial(
                rng.binomial(40, asked), chances
            )
    return torch.from_numpy(votes)


def loop(joint: VoteSchema, a: Tensor, votes: Tensor) -> Tensor:
    """The loss, question by question."""
    total = torch.zeros(len(a))
    for question in joint.questions:
        part = joint.slice_of(question.name)
        k, c = votes[:, part], a[:, part]
        n, whole = k.sum(-1), c.sum(-1)
        inside = (torch.lgamma(k + c) - torch.lgamma(c) - torch.lgamma(k + 1)).sum(-1)
        total = total - (torch.lgamma(n + 1) + torch.lgamma(whole) - torch.lgamma(n + whole) + inside)
    return total.mean()


def _loss() -> Comparison:
    progress.say("galaxy images: loss")
    joint = schema("gz_evo_v2")
    votes = votes_of(joint, JOINT["gz_evo_v2"], np.random.default_rng(1))
    outputs = torch.randn(GALAXIES, len(joint.columns), generator=torch.Generator().manual_seed(1))
    values: dict[str, float] = {}

    def ours() -> None:
        x = outputs.clone().requires_grad_()
        value = joint.loss(concentrations_of(x), votes)
        value.backward()
        values["ours"] = float(value.detach())

    def theirs() -> None:
        x = outputs.clone().requires_grad_()
        value = loop(joint, concentrations_of(x), votes)
        value.backward()
        values["theirs"] = float(value.detach())

    seconds, peer_seconds = cpu_seconds(ours, 9), cpu_seconds(theirs, 9)
    return Comparison(
        name=f"loss and gradient, {len(joint.questions)} questions, batch of {GALAXIES}", peer="loop over questions",
        seconds=seconds, peer_seconds=peer_seconds, difference=abs(values["ours"] - values["theirs"]), tolerance=1e-3,
        unit="in the loss", work=GALAXIES, work_unit="galaxies",
        note="float64 inside; the loop is in float32, which is what the difference is.",
    )  # fmt: skip


def jpegs(count: int = IMAGES) -> list[bytes]:
    """JPEGs of 424 x 424 pixels, as the cut-outs of Galaxy Zoo are: a soft source and noise."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    result = []
    for _ in range(count):
        ratio, angle = rng.uniform(0.2, 1), rng.uniform(0, np.pi)
        u, v = x * np.cos(angle) + y * np.sin(angle), (y * np.cos(angle) - x * np.sin(angle)) / ratio
        light = 220 * np.exp(-8 * np.hypot(u, v))[..., None] * rng.uniform(0.5, 1, 3) + rng.normal(
            8, 4, (SIDE, SIDE, 3)
        )
        stream = io.BytesIO()
        Image.fromarray(np.clip(light, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=85)
        result.append(stream.getvalue())
    return result


def plain_image(picture: bytes) -> Tensor:
    """Decoded in full, resized, as a tensor."""
    image = Image.open(io.BytesIO(picture)).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(image).astype(np.float32) / 255.0).permute(2, 0, 1)


def new_encoder(name: str) -> ImageEncoder:
    with seeded(torch.Generator().manual_seed(1)):
        return encoder(name)


def _inference(name: str, pictures: list[bytes]) -> Comparison:
    progress.say(f"galaxy images: inference with {name}")
    made, source = new_encoder(name).eval(), image_source(pictures)
    found: dict[str, Any] = {}

    def ours() -> None:
        found["ours"] = embed(made, source, FORM, workers=1)

    def theirs() -> None:
        parts = []
        with torch.no_grad():
            for start in range(0, IMAGES, 64):
                batch = torch.stack([plain_image(picture) for picture in pictures[start : start + 64]])
                parts.append(made.features(batch))
        found["theirs"] = torch.cat(parts)

    seconds, peer_seconds = cpu_seconds(ours, 3), cpu_seconds(theirs, 3)
    pixels, _, _ = source.read(range(IMAGES), FORM)
    plain = torch.stack([plain_image(picture) for picture in pictures]).numpy()
    with torch.no_grad():
        same = made.features(torch.from_numpy(pixels)).numpy()
    away = float(np.abs(found["ours"] - same).max())
    return Comparison(
        name=f"features of JPEGs of {SIDE} pixels at {SIZE}, {name}", peer="plain torch loop", seconds=seconds,
        peer_seconds=peer_seconds, difference=away, tolerance=1e-4, unit="in features of the same pixels",
        work=IMAGES, work_unit="images",
        note=f"pixels differ by {float(np.sqrt(np.mean((pixels - plain) ** 2))):.4f} (0 to 1, root mean square): JPEGs "
        "are decoded at a fraction of their size where that is enough.",
    )  # fmt: skip


def _training(name: str, pictures: list[bytes]) -> Comparison:
    """Steps on images in memory, without augmentation: encoder, layer, loss of the joint schema, AdamW."""
    progress.say(f"galaxy images: training of {name}")
    joint = schema("gz_evo_v2")
    votes = votes_of(joint, JOINT["gz_evo_v2"], np.random.default_rng(1))[:IMAGES]
    pixels, _, _ = image_source(pictures).read_all(FORM, workers=1)
    images = torch.from_numpy(pixels.astype(np.float32))
    last: dict[str, float] = {}

    def run(label: str, loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        def work() -> None:
            made = new_encoder(name)
            with seeded(torch.Generator().manual_seed(2)):
                network = Network(made, nn.Linear(made.out_features, len(joint.columns)), 0.0).train()
            ours = label == "ours"
            groups = parameter_groups(network, SCRATCH) if ours else list(network.parameters())
            optimizer = torch.optim.AdamW(groups, lr=1e-4, weight_decay=0.0, fused=ours)
            for group in optimizer.param_groups:
                group.update(lr=1e-4, weight_decay=0.0)
            for start in range(0, IMAGES, 64):
                batch = images[start : start + 64]
                outputs, _ = network(batch) if ours else (network.layer(made.features(batch)), None)
                value = loss(concentrations_of(outputs), votes[start : start + 64])
                optimizer.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                last[label] = float(value.detach())

        return work

    seconds = cpu_seconds(run("ours", joint.loss), 3)
    peer_seconds = cpu_seconds(run("theirs", lambda a, k: loop(joint, a, k)), 3)
    return Comparison(
        name=f"training steps of 64 images of {SIZE} pixels, {name}", peer="plain torch loop", seconds=seconds,
        peer_seconds=peer_seconds, difference=abs(last["ours"] / last["theirs"] - 1), tolerance=1e-3,
        unit="of the loss", work=IMAGES, work_unit="images",
    )  # fmt: skip


def _decoding(pictures: list[bytes]) -> tuple[str, float]:
    """Share of the CPU time of inference that reading takes, by a profile of one thread."""
    progress.say("galaxy images: profile")
    lines = []
    for name, size, passes in ((NAMES[0], SIZE, 0), (NAMES[0], SIZE, 10), ("efficientnet_lite0", 224, 0)):
        made, form = new_encoder(name), ImageForm(size, 3)
        made.train(passes > 0)
        part: ImageSource = image_source(pictures[: 64 if size > SIZE else IMAGES])
        profile = cProfile.Profile(time.process_time)
        profile.enable()
        batches = [part.read(range(start, min(start + 64, len(part))), form)[0] for start in range(0, len(part), 64)]
        for _ in range(max(1, passes)):
            for pixels in batches:
                with torch.set_grad_enabled(passes > 0):
                    features = made(torch.from_numpy(pixels))
                if passes:
                    features.sum().backward()
        profile.disable()
        entries = pstats.Stats(profile).stats  # type: ignore[attr-defined]
        total = sum(entry[2] for entry in entries.values())
        reading = sum(entry[3] for key, entry in entries.items() if key[2] == "read" and "image_sources" in key[0])
        what = f"training, {passes} passes" if passes else "inference"
        lines.append((f"{what}, {name}, {size} pixels", len(part) * max(1, passes) / total, reading / total))
    rows = "\n".join(f"| {what} | {rate:,.0f} images/s | {share:.0%} |" for what, rate, share in lines)
    text = (
        "Where the CPU time goes, JPEGs of 424 pixels, one thread. Images that fit into memory are decoded once for a "
        "training. One pass of the smallest encoders at 64 pixels costs less than decoding does:\n\n"
        f"| work | speed | reading, decoding, resizing |\n|---|---|---|\n{rows}\n"
    )
    return text, max(share for _, _, share in lines[1:])


if __name__ == "__main__":
    with progress.shown():
        print(section()[0])
