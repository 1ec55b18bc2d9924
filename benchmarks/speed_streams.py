"""Streams: the mixture's likelihood and gradient, and the mass in its window."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import plain_stream_model
import torch
from astropy import units as u
from astropy.table import QTable
from side_by_side import Comparison, cpu_seconds, table
from torch import Tensor

from starloom import progress
from starloom.seeds import generator
from starloom.stats.windows import ConvexPolygon
from starloom.streams import mock
from starloom.streams.fitted import FittedStream
from starloom.streams.mixture import PreparedStars
from starloom.streams.tracks import ReferenceTrack
from starloom.studies import gd1_stream

STARS = 100_000
MEMBERS = 2
PARALLAX = (-0.5, 2.0)  # mas
PARALLAX_ERROR = 0.1
NORMALS = 20_000
CHECKED = 500
REFERENCE_NODES = 512
MATRIX_PRODUCTS = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "aten::matmul")
KERNEL = "_Mass"


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results agree."""
    progress.say("streams: a field of 1e5 stars and a fit")
    stars, fitted = field(STARS), fit()
    likelihood, share = _likelihood(fitted, stars)
    comparisons = [likelihood, *_window_mass()]
    return f"## streams\n\n{table(comparisons)}\n{share}", all(c.agrees for c in comparisons)


def field(rows: int, seed: int = 1) -> QTable:
    """A made field of about this many stars with phi1, phi2, both proper motions, parallax and two magnitudes."""
    sparse = mock.MockField(gd1_stream.POLYGON)
    background = round(sparse.background * rows / 6400)  # about 6,400 of the default's background pass the selection
    stars = mock.make(dataclasses.replace(sparse, background=background), seed)
    rng = generator(seed)
    member = np.asarray(stars["component"]) != "background"
    parallax = np.where(member, 0.13, rng.exponential(0.4, len(stars))) + rng.normal(0.0, PARALLAX_ERROR, len(stars))
    stars["parallax"] = parallax * u.mas
    stars["parallax_error"] = np.full(len(stars), PARALLAX_ERROR) * u.mas
    kept = (parallax > PARALLAX[0]) & (parallax < PARALLAX[1])
    return stars[kept][:rows]


def fit(members: int = MEMBERS, steps: int = 120) -> FittedStream:
    """The model of gd1-stream with parallax, fitted well enough to have the widths of a fitted model."""
    sparse = mock.MockField(gd1_stream.POLYGON)
    frame = gd1_stream.model_of(gd1_stream.Config(), mock.isochrone(), None).stream_frame
    reference = ReferenceTrack.from_galstreams(
        mock.reference_track(sparse), "GD-1", "truth", frame, reflex_distance=mock.REFLEX_DISTANCE
    )
    model = gd1_stream.model_of(gd1_stream.Config(members=members, steps=steps), mock.isochrone(), reference)
    training = dataclasses.replace(model.training, background_epochs=5)
    assert model.photometry is not None  # what is learned of it beyond the paper's model, the peer does not have
    photometry = dataclasses.replace(model.photometry, scatter=0.08, selective=False)
    model = dataclasses.replace(model, parallax=PARALLAX, training=training, photometry=photometry)
    return model.fit(field(7000), seed=1)


def _likelihood(fitted: FittedStream, table: QTable) -> tuple[Comparison, str]:
    progress.say("streams: likelihood and gradient")
    stars = fitted.prepare(table)
    background = fitted.background.log_prob(stars)
    prepared = PreparedStars(fitted.model, stars, fitted.mixture, background)
    networks = range(fitted.model.training.members)
    plain = [plain_stream_model.PlainStreamModel(fitted, network, stars, background) for network in networks]

    def ours() -> Tensor:
        fitted.mixture.zero_grad()
        value = torch.logsumexp(fitted.mixture.log_densities(prepared, fitted.mixture.curves()), dim=0)
        value.sum().backward()
        return value.detach()

    def peer() -> Tensor:
        values = []
        for network in plain:
            network.clear()
            value = network.log_likelihood()
            value.sum().backward()
            values.append(value.detach())
        return torch.stack(values)

    apart = (ours() - peer()).abs()
    comparison = Comparison(
        name=f"log-likelihood and gradient of the mixture: {len(stars)} stars, 7 features, {len(plain)} networks",
        peer="plain torch",
        seconds=cpu_seconds(ours, 3),
        peer_seconds=cpu_seconds(peer, 2),
        difference=float(apart.mean()),
        tolerance=1e-3,
        unit="in ln p, mean over stars",
        work=len(stars) * len(plain),
        work_unit="stars x networks",
        note="phi1, phi2, parallax, two proper motions, two magnitudes (half of the stars have them); stream, spur and "
        "background. The peer evaluates every network and both components at every star, the window's mass with 24 "
        "Gauss-Legendre nodes and the isochrone with a log-sum-exp over 118 points, once for both components; the "
        "background's flows are frozen and not timed in either. Largest difference of one star "
        f"{float(apart.max()):.3f}: Starloom reads the isochrone off a table in steps of distance modulus and the "
        f"curves off a grid in phi1. Largest difference of the gradient: {_gradient_difference(fitted, plain):.1%} of "
        "its largest element.",
    )
    return comparison, _time_outside(ours)


def _gradient_difference(fitted: FittedStream, plain: list[plain_stream_model.PlainStreamModel]) -> float:
    difference = largest = 0.0
    for network, model in enumerate(plain):
        gradients = model.gradients()
        for name, curves in model.curves.items():
            pairs = zip(curves.weights, curves.biases, strict=True)
            parameters = [*(parameter for layer in pairs for parameter in layer), curves.details]
            ours = [parameter.grad[network] for parameter in parameters]
            for a, b in zip(ours, gradients[name], strict=True):
                difference = max(difference, float((a - b).abs().max()))
                largest = max(largest, float(b.abs().max()))
    return difference / largest


def _time_outside(work: Callable[[], Tensor]) -> str:
    """Where the time of one evaluation goes."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        work()
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    total = sum(times.values())
    kernel = times.get(KERNEL, 0.0) / total
    products = sum(times.get(name, 0.0) for name in MATRIX_PRODUCTS) / total
    rest = sorted(((t, name) for name, t in times.items() if name not in (KERNEL, *MATRIX_PRODUCTS)), reverse=True)
    largest = ", ".join(f"{name.removeprefix('aten::')} {t / total:.0%}" for t, name in rest[:4])
    return (
        f"Of Starloom's time {kernel:.0%} is the compiled kernel of the window's mass, {products:.1%} matrix products; "
        f"**{1.0 - kernel - products:.0%} is outside both** (largest: {largest}). The networks are evaluated on a grid "
        "of phi1, so their matrix products do not grow with the stars."
    )


def normals(count: int, seed: int = 2) -> list[Tensor]:
    """Means (mas/yr) and covariances about the selection polygon, float64, as a fit meets them."""
    rng = generator(seed)
    vertices = ConvexPolygon(gd1_stream.POLYGON).vertices
    corners = rng.dirichlet(np.ones(len(vertices)), count) @ vertices + rng.normal(0.0, 0.7, (count, 2))
    a, b = np.exp(rng.uniform(np.log(0.05), np.log(2.0), (2, count)))
    rho = rng.uniform(-0.8, 0.8, count)
    return [torch.as_tensor(value) for value in (*corners.T, a**2, rho * a * b, b**2)]


def _with_gradient(mass: Callable[..., Tensor], parameters: list[Tensor]) -> tuple[Tensor, Tensor]:
    leaves = [value.clone().requires_grad_() for value in parameters]
    value = mass(*leaves)
    value.sum().backward()
    gradient = torch.stack([leaf.grad for leaf in leaves[:2] if leaf.grad is not None])
    return value.detach(), gradient


def _window_mass() -> list[Comparison]:
    """The kernel against torch rules that come as near to the truth as it does."""
    progress.say("streams: mass in the window")
    polygon = ConvexPolygon(gd1_stream.POLYGON)
    corners = torch.as_tensor(np.unique(polygon.vertices[:, 0]))
    parameters = normals(NORMALS)
    some = [value[:CHECKED] for value in parameters]

    def kernel(*normal: Tensor) -> Tensor:
        return polygon.log_normal_mass(*normal).exp()

    def rule(nodes: int, ends: Tensor | None) -> Callable[..., Tensor]:
        return lambda *normal: plain_stream_model.window_mass(polygon, normal, nodes, ends)

    truth = _with_gradient(rule(REFERENCE_NODES, corners), some)

    def errors(mass: Callable[..., Tensor]) -> tuple[float, float]:
        found = _with_gradient(mass, some)
        value, gradient = (float((a - b).abs().max()) for a, b in zip(found, truth, strict=True))
        return value, gradient

    ours = errors(kernel)
    seconds = cpu_seconds(lambda: _with_gradient(kernel, parameters))
    found = []
    for label, ends, choices in (
        ("once over the whole window", None, (96, 192, 384, 768)),
        ("from corner to corner", corners, (8, 12, 16, 20, 24, 32, 64)),
    ):
        for nodes in choices:
            reached = errors(rule(nodes, ends))
            if equal := reached[0] <= ours[0] and reached[1] <= ours[1]:
                break
        as_near = "the fewest nodes with errors as small" if equal else "not as near, with the most nodes tried"
        found.append(
            Comparison(
                name=f"mass of {NORMALS} normals in the window, with gradient; peer {label}",
                peer=f"torch, {nodes} nodes{' a piece' if ends is not None else ''}",
                seconds=seconds,
                peer_seconds=cpu_seconds(lambda n=nodes, e=ends: _in_blocks(rule(n, e), parameters), 1),
                difference=max(reached[0], ours[0]),
                tolerance=1e-4,
                unit="of the mass",
                work=NORMALS,
                work_unit="normals",
                note=f"{as_near}. Largest error of the mass: kernel {ours[0]:.1e}, peer {reached[0]:.1e}; of its "
                f"derivatives by the mean: kernel {ours[1]:.1e}, peer {reached[1]:.1e} per mas/yr. The reference has "
                f"{REFERENCE_NODES} nodes between each two corners; {CHECKED} normals of width 0.05 to 2 mas/yr with "
                "correlations to 0.8; float64.",
            )
        )
    return found


def _in_blocks(mass: Callable[..., Tensor], parameters: list[Tensor], block: int = 2000) -> None:
    for pieces in zip(*(torch.split(value, block) for value in parameters), strict=True):
        _with_gradient(mass, list(pieces))
