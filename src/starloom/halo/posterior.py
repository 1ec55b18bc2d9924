"""From a likelihood to an answer: the best fit from many blind starts, the posterior by NUTS, evidence by nesting.

NUTS is nutpie's, over the compiled value and gradient; dynesty gives the evidence and finds modes that chains may miss;
emcee, as arXiv:2306.03084 ran it, is here for comparison.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError, FitError
from starloom.halo.likelihood import HaloLikelihood
from starloom.halo.orientation import AXES, AxisDirection, axes, rows_of, shape_tensor
from starloom.inference.chains import effective_sample_size, split_r_hat
from starloom.seeds import generator

Array = NDArray[np.float64]
STARTS, CHAINS, DRAWS, TUNE = 16, 4, 500, 400
SAME_MODE = 0.5  # in ln L: fits closer than this found the same top
LARGEST_RHAT, FEWEST = 1.02, 200.0
EDGE = 12.0  # logits beyond it are at the edge of the prior
FEW_CELLS = 4000  # for the first climbs
INSIDE = 8.0  # the same for climbs of the posterior
POLISHED = 4  # of the first climbs, taken on with all cells
ACCEPTED = 0.8  # share of NUTS steps: with 0.9 a gradient bought fewer effective draws, and neither diverged
WIDER = 1.5  # how much farther apart than the posterior's draws the chains begin
STEP = 0.03  # of the coordinates, for the curvature at the mode: wide enough to smooth over single cells
WIDEST = 2.0  # standard deviation that the curvature may ask for in a logit, where the prior's is 1.8
FARTHEST_TURN = 6.0  # in climbs; 1 is half a turn


@dataclass(frozen=True)
class BestFit:
    """The largest likelihood found.

    Parameters
    ----------
    y : (size,) sampling coordinates.
    parameters : name -> value.
    log_likelihood : there.
    stars : number of stars.
    count : number of parameters.
    tops : (k,) ln L of the climbs that were taken to the end, largest first.
    mode : (size,) sampling coordinates where the posterior is largest: away from the edges of the prior.
    """

    y: Array
    parameters: Mapping[str, float]
    log_likelihood: float
    stars: int
    count: int
    tops: Array
    mode: Array

    @property
    def aic(self) -> float:
        """2 k - 2 ln L."""
        return 2.0 * self.count - 2.0 * self.log_likelihood

    @property
    def bic(self) -> float:
        """k ln N - 2 ln L."""
        return self.count * math.log(self.stars) - 2.0 * self.log_likelihood

    @property
    def agreed(self) -> int:
        """How many of the climbs taken to the end came to the same top."""
        return int((self.tops > self.tops[0] - SAME_MODE).sum())


def prior_draws(likelihood: HaloLikelihood, count: int, seed: int | np.random.Generator) -> Array:
    """(count, size) sampling coordinates from the prior."""
    rng, model = generator(seed), likelihood.model
    u = np.clip(rng.random((count, model.size)), 1e-12, 1.0 - 1e-12)
    found = np.log(u) - np.log1p(-u)
    if model.turning:
        even = rng.normal(size=(count, 4))
        even /= np.linalg.norm(even, axis=1, keepdims=True)
        # a quaternion and its negative are one orientation: the nearer of the two turns
        found[:, model.is_turn] = even[:, 1:] * np.sign(even[:, :1]) / (1.0 + np.abs(even[:, :1]))
    return found


def best_fit(
    likelihood: HaloLikelihood,
    *,
    starts: int = STARTS,
    seed: int | np.random.Generator = 0,
    guesses: Array | None = None,
) -> BestFit:
    """The largest likelihood by L-BFGS from draws of the prior.

    Each start first climbs the posterior of the sampling coordinates on a few thousand cells, whose prior keeps it from
    running into an edge of the parameters, where the likelihood is flat in the logits and a climb ends below the top.
    The best of them go on with all cells, and from there up the likelihood.

    Parameters
    ----------
    likelihood : what to maximize.
    starts : draws of the prior to start from; they know nothing of the answer.
    seed : of the draws.
    guesses : (k, size) more starts, such as a simpler model's answer.

    Raises
    ------
    FitError
        When no start gave a finite likelihood.
    """
    points = prior_draws(likelihood, starts, seed)
    points = np.clip(points, -3.0, 3.0)  # the corners of the prior are flat: a climb that starts there stays there
    if guesses is not None:
        points = np.concatenate([np.atleast_2d(guesses), points])
    few = dataclasses.replace(likelihood, volume=likelihood.volume.thinned(FEW_CELLS), _pool=[])
    first = [y for y, _ in _climbs(likelihood, few.log_posterior, points, INSIDE)][:POLISHED]
    modes = _climbs(likelihood, likelihood.log_posterior, first, INSIDE)
    found = _climbs(likelihood, likelihood.value_and_gradient, [y for y, _ in modes], EDGE)
    if not found:
        raise FitError("no start gave a finite likelihood: look at the stars' places and at the volume")
    y, value = found[0]
    model = likelihood.model
    parameters = dict(zip(model.names, model.physical(y).tolist(), strict=True))
    tops = np.array([entry[1] for entry in found])
    return BestFit(y, parameters, value, len(likelihood.stars), len(model.names), tops, modes[0][0])


def _climbs(
    likelihood: HaloLikelihood, function: Callable[[Array], tuple[float, Array]], points: Sequence[Array] | Array,
    edge: float,
) -> list[tuple[Array, float]]:  # fmt: skip
    """Where L-BFGS ends from each point and the height there, highest first; logits stay within the edge."""
    from scipy.optimize import minimize

    def downhill(y: Array) -> tuple[float, Array]:
        value, slope = function(y)
        return (-value, -slope) if math.isfinite(value) else (1e30, np.zeros_like(y))

    bounds = [(-FARTHEST_TURN, FARTHEST_TURN) if turn else (-edge, edge) for turn in likelihood.model.is_turn]
    options = {"maxiter": 300, "ftol": 1e-10}
    answers = [minimize(downhill, y, jac=True, method="L-BFGS-B", bounds=bounds, options=options) for y in points]
    found = [(np.asarray(answer.x), -float(answer.fun)) for answer in answers if answer.fun < 1e29]
    return sorted(found, key=lambda entry: -entry[1])


@dataclass(frozen=True)
class Posterior:
    """Draws of a posterior.

    Parameters
    ----------
    names : parameters.
    draws : (chains, n, k) of them.
    y : (chains, n, size) sampling coordinates.
    log_likelihood : (chains, n).
    divergences : NUTS steps that went astray after the warm-up.
    evaluations : of the gradient in all, warm-up included; 0 where not counted.
    method : how it was drawn.
    """

    names: tuple[str, ...]
    draws: Array
    y: Array
    log_likelihood: Array
    divergences: int = 0
    evaluations: int = 0
    method: str = "NUTS"

    @property
    def flat(self) -> Array:
        """(chains x n, k)."""
        return self.draws.reshape(-1, self.draws.shape[-1])

    def of(self, name: str) -> Array:
        """All draws of one parameter."""
        return self.flat[:, self.names.index(name)]

    def interval(self, name: str, share: float = 0.683) -> tuple[float, float, float]:
        """Median, low and high of the central interval; angles about their circular mean."""
        values = self.of(name)
        edges = [0.5, 0.5 - 0.5 * share, 0.5 + 0.5 * share]
        period = {"theta": 2.0 * np.pi, "angle": np.pi}.get(name)
        if period is not None:
            middle = circular_mean(values, period)
            values = middle + (values - middle + 0.5 * period) % period - 0.5 * period
        found = np.quantile(values, edges)
        return float(found[0]), float(found[1]), float(found[2])

    @property
    def measures(self) -> Array:
        """(chains, n, m) of what the chains are judged by: the shape and orientation as one tensor, and all the rest.

        The tensor (`starloom.halo.orientation.shape_tensor`) does not jump where two axes change names, as p, q and the
        angles do.
        """
        if "theta" not in self.names:
            return self.draws
        return np.concatenate([shape_tensor(self.draws[..., :5]), self.draws[..., 5:]], axis=-1)

    @property
    def effective_size(self) -> Array:
        """(m,) effective number of draws of each of the `measures`."""
        found = self.measures
        return np.array([effective_sample_size(found[..., k]) for k in range(found.shape[-1])])

    @property
    def r_hat(self) -> Array:
        """(m,) split R-hat of each of the `measures`."""
        found = self.measures
        return np.array([split_r_hat(found[..., k]) for k in range(found.shape[-1])])

    def axis(self, name: str) -> AxisDirection:
        """Direction of the ``long``, ``intermediate`` or ``short`` axis.

        Raises
        ------
        ConfigError
            When the name is another, or the axes of this density cannot turn.
        """
        if name not in AXES or "theta" not in self.names:
            raise ConfigError(f"no axis {name!r}: there are {', '.join(AXES)}, where the axes of a density may turn")
        rows = rows_of(*(self.of(part) for part in ("theta", "eta", "angle")))
        return AxisDirection.of(rows[:, AXES.index(name)])

    @property
    def problems(self) -> list[str]:
        """What is wrong with the draws, in words; empty where nothing is."""
        found = []
        worst, fewest = float(np.max(self.r_hat)), float(np.min(self.effective_size))
        if not worst < LARGEST_RHAT:
            found.append(f"the chains do not agree (R-hat {worst:.3f}): there may be several modes; draw more")
        if not fewest > FEWEST:
            found.append(f"only {fewest:.0f} effective draws of one coordinate")
        if self.divergences > 0.01 * self.flat.shape[0]:
            found.append(f"{self.divergences} of {self.flat.shape[0]} steps diverged")
        return found


def circular_mean(values: Array, period: float) -> float:
    """Mean of angles of a period."""
    return float(np.angle(np.mean(np.exp(2j * np.pi * values / period))) * period / (2.0 * np.pi))


def sample_posterior(
    likelihood: HaloLikelihood,
    *,
    start: BestFit | None = None,
    chains: int = CHAINS,
    draws: int = DRAWS,
    tune: int = TUNE,
    seed: int = 0,
    workers: int = 1,
    starts: int = STARTS,
    **options: Any,
) -> Posterior:
    """Draws of the posterior by NUTS.

    Parameters
    ----------
    likelihood : value and gradient.
    start : the best fit; made from blind starts if not given. The steps are taken in coordinates in which the
        posterior's curvature at its mode is even; each chain begins at a draw from one and a half times its width.
    chains, draws, tune : numbers of chains, and of draws after and during the warm-up of each.
    seed : of the draws; the result does not depend on the workers.
    workers : chains at a time.
    options : handed to nutpie.

    Raises
    ------
    FitError
        When nutpie cannot draw.
    """
    nutpie, pyfunc = _nutpie()
    top = start if start is not None else best_fit(likelihood, starts=starts, seed=seed)
    size = likelihood.size
    counter = [0]
    if likelihood.model.turning:
        parameters = dict(zip(likelihood.model.names, likelihood.model.physical(top.mode), strict=True))
        likelihood = dataclasses.replace(likelihood, model=likelihood.model.centered(axes(parameters)))
        middle = likelihood.model.coordinates(parameters)
    else:
        middle = top.mode
    step = widths(likelihood, middle)

    def make_logp() -> Callable[..., tuple[float, Array]]:
        def logp(even: Array, **_: Any) -> tuple[float, Array]:
            counter[0] += 1
            value, slope = likelihood.log_posterior(middle + step @ even)
            return value, slope @ step

        return logp

    def make_expand(*_: Any) -> Callable[..., dict[str, Array]]:
        return lambda even, **_: {"y": middle + step @ even}

    def initial(seed: int) -> Array:
        # from the chain's own seed, so that it does not matter which chain asks first
        return WIDER * np.random.default_rng(int(seed) % 2**63).normal(size=size)

    model = pyfunc.from_pyfunc(
        size, make_logp, make_expand, [np.dtype(np.float64)], [(size,)], ["y"], make_initial_point_fn=initial
    )
    try:
        trace = nutpie.sample(
            model, draws=draws, tune=tune, chains=chains, cores=min(workers, chains), seed=seed, progress_bar=False,
            save_warmup=False, **({"target_accept": ACCEPTED} | options),
        )  # fmt: skip
    except RuntimeError as error:
        raise FitError(f"NUTS could not draw from this posterior: {error}") from error
    y = np.asarray(trace.posterior["y"].values, dtype=np.float64)
    diverged = int(np.asarray(trace.sample_stats["diverging"].values).sum())
    log_likelihood = np.array([[likelihood.of_parameters(p) for p in chain] for chain in likelihood.model.physical(y)])
    return Posterior(
        likelihood.model.names, likelihood.model.physical(y), y, log_likelihood, diverged, counter[0], "NUTS"
    )


def widths(likelihood: HaloLikelihood, mode: Array) -> Array:
    """(size, size) steps, as columns, that are one standard deviation of the posterior by its curvature at a mode."""
    steps = STEP * np.eye(len(mode))
    slopes = [likelihood.log_posterior(mode + s)[1] - likelihood.log_posterior(mode - s)[1] for s in steps]
    curvature = -np.array(slopes) / (2.0 * STEP)
    values, vectors = np.linalg.eigh(0.5 * (curvature + curvature.T))
    return np.asarray(vectors / np.sqrt(np.maximum(values, WIDEST**-2.0)))


def _nutpie() -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # arviz announces a coming release on import
        import nutpie
        import nutpie.compiled_pyfunc as pyfunc
    return nutpie, pyfunc


@dataclass(frozen=True)
class Evidence:
    """Nested sampling's answer.

    Parameters
    ----------
    log_evidence, error : natural logarithm of the evidence, and its error.
    names, draws : (n, k) equally weighted draws.
    """

    log_evidence: float
    error: float
    names: tuple[str, ...]
    draws: Array


def evidence(likelihood: HaloLikelihood, *, live: int = 250, seed: int = 0, dlogz: float = 0.1) -> Evidence:
    """Evidence and modes by dynesty, over the same priors.

    Parameters
    ----------
    live : live points.
    dlogz : where to stop, in the logarithm of the evidence.
    """
    import dynesty

    model = likelihood.model
    sampler = dynesty.NestedSampler(
        lambda point: max(likelihood.of_parameters(point), -1e300), model.of_prior, model.size, nlive=live,
        sample="rwalk", rstate=np.random.default_rng(seed), periodic=model.periodic or None,
    )  # fmt: skip
    sampler.run_nested(dlogz=dlogz, print_progress=False)
    found = sampler.results
    draws = np.asarray(found.samples_equal(rstate=np.random.default_rng(seed)))
    return Evidence(float(found.logz[-1]), float(found.logzerr[-1]), model.names, draws)


def sample_emcee(
    log_posterior: Callable[[Array], float],
    likelihood: HaloLikelihood,
    start: BestFit,
    *,
    walkers: int = 100,
    steps: int = 500,
    discard: int = 200,
    seed: int = 0,
) -> Posterior:
    """Draws by emcee from a small ball about the best fit, as arXiv:2306.03084 draws them.

    Parameters
    ----------
    log_posterior : of sampling coordinates (size,); any implementation of it.
    walkers, steps, discard : their numbers; the paper takes 100 walkers, and discards 1000 steps.
    """
    import emcee

    size = likelihood.size
    rng = np.random.default_rng(seed)
    sampler = emcee.EnsembleSampler(walkers, size, log_posterior)
    sampler.random_state = np.random.RandomState(seed).get_state()
    sampler.run_mcmc(start.y + 1e-3 * rng.normal(size=(walkers, size)), steps, progress=False)
    y = np.moveaxis(sampler.get_chain(discard=discard), 0, 1)
    values = np.moveaxis(sampler.get_log_prob(discard=discard), 0, 1)
    return Posterior(likelihood.model.names, likelihood.model.physical(y), y, values, 0, walkers * (steps + 1), "emcee")
