"""The best orbit of a stream: a grid over what the points leave open, then climbs from its best places."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.frames import MAS_YR_KPC
from starloom.errors import FitError
from starloom.streams.orbit_points import StreamPoints
from starloom.streams.orbit_posterior import Posterior

Array = NDArray[np.float64]
STARTS = 6  # maxima of the first grid that are followed up
FOLLOWED = 3  # of them are followed to the end
CUT = 40.0  # but none that is this much below the best in ln P
FIRST_CLIMB, LAST_CLIMB = 300, 1200  # evaluations
RIVAL = 8.0  # a maximum this close to the best in ln P is given to the sampler too


def _line(phi1: Array, value: Array, error: Array) -> tuple[float, float]:
    """Weighted straight line: value at phi1 = 0 and slope; a slope only where the points are spread out."""
    weight = 1.0 / np.maximum(error, 1e-12)
    spread = float(np.std(phi1))
    if len(phi1) < 3 or spread < 0.5:
        return float(np.average(value, weights=weight**2)), 0.0
    design = np.stack([np.ones_like(phi1), phi1], axis=1)
    solution = np.linalg.lstsq(design * weight[:, None], value * weight, rcond=None)[0]
    return float(solution[0]), float(solution[1])


def _measured(points: StreamPoints, quantity: str, floor: float) -> tuple[Array, Array, Array]:
    known = np.isfinite(points[f"{quantity}_error"])
    return points["phi1"][known], points[quantity][known], np.hypot(points[f"{quantity}_error"][known], floor)


def _proper_motion(points: StreamPoints) -> tuple[float, float] | None:
    """Proper motion in the frame at phi1 = 0, from straight lines through the points; None where too few have it."""
    columns, targets = [], []
    for quantity, first, second in (("pmra", "turn_cos", "turn_sin"), ("pmdec", "turn_sin", "turn_cos")):
        known = np.isfinite(points[f"{quantity}_error"])
        weight = 1.0 / np.hypot(points[f"{quantity}_error"][known], 0.3)
        sign = -1.0 if quantity == "pmra" else 1.0
        a, b, phi1 = points[first][known], sign * points[second][known], points["phi1"][known] / 10.0
        columns.append(np.stack([a, a * phi1, b, b * phi1], axis=1) * weight[:, None])
        targets.append(points[quantity][known] * weight)
    if min(len(target) for target in targets) == 0:
        return None
    # a weak pull of the slopes to zero, so that two points are enough
    design = np.concatenate([*columns, np.diag([0.0, 0.1, 0.0, 0.1])])
    solution = np.linalg.lstsq(design, np.concatenate([*targets, np.zeros(4)]), rcond=None)[0]
    return float(solution[0]), float(solution[2])


def _first_guesses(posterior: Posterior) -> Array:
    """A grid over what the points leave open: distance, velocity and, where unknown, the motion along the stream."""
    points, prior = posterior.points, posterior.prior
    on_sky = np.isfinite(points["sky_error"])
    degree = 2 if on_sky.sum() > 5 else 1
    curve = np.polynomial.Polynomial.fit(points["phi1"][on_sky], points["phi2"][on_sky], degree)
    phi2 = float(curve(0.0))
    if points.count("distance"):
        middle = max(_line(*_measured(points, "distance", 0.1))[0], prior.distance[0] * 1.01)
        distances = middle * np.array([0.7, 0.85, 1.0, 1.15, 1.3])
    else:
        distances = np.geomspace(max(prior.distance[0], 1.0), min(prior.distance[1], 60.0), 25)
    if points.count("radial_velocity"):
        velocities = _line(*_measured(points, "radial_velocity", 5.0))[0] + np.array([-20.0, 0.0, 20.0])
    else:
        velocities = np.arange(-0.9, 0.91, 0.075) * prior.velocity
    motion = _proper_motion(points)
    guesses = []
    for d in distances:
        if motion is not None:
            motions = [motion]
        else:
            reflex = points.frame.reflex(0.0, phi2, d, posterior.frame)
            speeds = np.arange(-400.0, 401.0, 50.0) / (MAS_YR_KPC * d)
            motions = [(float(reflex[..., 0] + speed), float(reflex[..., 1])) for speed in speeds]
        guesses += [(phi2, d, *pm, v) for pm in motions for v in velocities]
    rest = np.concatenate([np.log(0.3 * posterior.width), [0.03], posterior.base[10:]])[posterior.places[5:] - 5]
    return np.concatenate([np.array(guesses), np.broadcast_to(rest, (len(guesses), len(rest)))], axis=1)


def first_steps(posterior: Posterior, u: Array) -> Array:
    """Sizes of first steps for a search."""
    sizes = np.array([0.2, 0.05 * u[1], 0.2, 0.2, 20.0, 0.3, 0.3, 0.3, 0.3, 0.02, *(0.5 * posterior.sigma)])
    return np.asarray(sizes[posterior.places])


def _climb(function: Callable[[Array], Array], start: Array, scales: Array, evaluations: int) -> tuple[Array, float]:
    """Nelder-Mead in scaled coordinates, which needs no derivatives and takes -inf for an answer."""
    from scipy.optimize import minimize

    k = len(start)
    simplex = np.concatenate([np.zeros((1, k)), np.eye(k)])

    def cost(x: Array) -> float:
        return -float(max(function((start + scales * x)[None])[0], -1e14))

    options = {"maxfev": evaluations, "initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-3, "adaptive": True}
    found = minimize(cost, np.zeros(k), method="Nelder-Mead", options=options)
    return start + scales * found.x, -float(found.fun)


def maximum(posterior: Posterior) -> tuple[Array, Array]:
    """The best parameters, and other maxima within reach of a sampler, shape (m, k)."""
    guesses = _first_guesses(posterior)
    guesses = np.clip(guesses, posterior.low + 1e-9, posterior.high - 1e-9)
    values = posterior(guesses)
    if not np.isfinite(values).any():
        raise FitError(
            f"{posterior.points.name}: no bound orbit within the prior passes along the points; check distances, "
            "proper motions and their units"
        )
    order = np.argsort(-values, kind="stable")
    chosen: list[int] = []
    for place in order:  # starts that differ in distance or velocity
        differs = all(
            abs(guesses[place, 4] - guesses[other, 4]) > 60.0 or abs(guesses[place, 1] / guesses[other, 1] - 1) > 0.2
            for other in chosen
        )
        if np.isfinite(values[place]) and differs:
            chosen.append(int(place))
        if len(chosen) == STARTS:
            break
    climbed = [_climb(posterior, guesses[n], first_steps(posterior, guesses[n]), FIRST_CLIMB) for n in chosen]
    climbed.sort(key=lambda pair: -pair[1])
    near = [place for place, value in climbed[:FOLLOWED] if value > climbed[0][1] - CUT]
    finished = [_climb(posterior, place, 0.5 * first_steps(posterior, place), LAST_CLIMB) for place in near]
    finished.sort(key=lambda pair: -pair[1])
    # a simplex can stall: once more from where the best one ended
    best, top = _climb(posterior, finished[0][0], 0.1 * first_steps(posterior, finished[0][0]), LAST_CLIMB)
    others = [place for place, value in finished[1:] if value > top - RIVAL and _apart(place, best)]
    return best, np.array(others).reshape(-1, len(best))


def _apart(a: Array, b: Array) -> bool:
    """Whether two orbits differ by more than a sampler's first steps: in distance by 5 %, in velocity by 20 km/s."""
    return bool(abs(a[1] / b[1] - 1.0) > 0.05 or abs(a[4] - b[4]) > 20.0)
