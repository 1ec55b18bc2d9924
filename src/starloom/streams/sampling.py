"""Stars drawn from a fitted stream: mocks that look like the data, and a check of the model against the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starloom.errors import ConfigError, FitError
from starloom.neural.curves import Curves
from starloom.neural.flows import BoxFlow
from starloom.seeds import generator
from starloom.stats.truncated import sample_truncated_exponential
from starloom.streams.configuration import PM, Photometry
from starloom.streams.photometry import stretch_shares
from starloom.streams.stars import Stars, tensor

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.streams.fitted import FittedStream

Array = NDArray[np.float64]
_ROUNDS, _TRIALS = 60, 4000


def sample(fitted: FittedStream, n: int, seed: int | np.random.Generator, like: Any = None) -> QTable:
    """Draw stars from the best fit.

    The density is conditional on phi1, so phi1 is drawn from the stars that the model was fitted to, or from ``like``.

    Parameters
    ----------
    fitted : the model.
    n : number of stars.
    seed : the same seed gives the same stars.
    like : a table whose used rows give each star a phi1, the errors and what is missing; None: no errors (what is
        drawn is the stream's own spread and the background as observed) and nothing missing. What is missing follows
        the table whatever the component, also where the model takes photometry as not missing at random.

    Returns
    -------
    QTable
        ``phi1``, ``phi2``, what the model uses of ``pm_phi1_cosphi2``, ``pm_phi2`` (as the model sees them), parallax,
        velocity and magnitudes; with a frame also ``ra``, ``dec``, ``pmra``, ``pmdec`` as observed; the errors where
        ``like`` has them; and ``component``, which each was drawn from. ``predict`` takes it.

    Raises
    ------
    ConfigError
        When n is negative or ``like`` has no row that the model can use.
    FitError
        When a component has next to nothing inside the selection.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise ConfigError(f"the number of stars to draw must be a non-negative integer, got {n!r}")
    rng = generator(seed)
    draw = _Draw(fitted, int(n), rng, None if like is None else fitted.prepare(like))
    with torch.no_grad():
        return draw.table()


class _Draw:
    def __init__(self, fitted: FittedStream, n: int, rng: np.random.Generator, like: Stars | None) -> None:
        self.fitted, self.model, self.rng, self.n = fitted, fitted.model, rng, n
        if like is not None and len(like) == 0:
            raise ConfigError("no row of the table given as `like` is inside the model's windows")
        seen = fitted.phi1_seen if like is None else like.phi1
        self.rows = rng.integers(0, len(seen), n)
        self.phi1: Array = np.asarray(seen, dtype=np.float64)[self.rows]
        self.like = like
        self.component = self._components()
        self.phi2 = np.empty(n)
        self.values: dict[str, Array] = {}

    def table(self) -> QTable:
        """All of it."""
        import astropy.units as u
        from astropy.table import QTable

        names = self.fitted.names
        self._start_columns()
        for place, name in enumerate(names):
            rows = np.flatnonzero(self.component == place)
            if len(rows):
                self._background(rows) if name == "background" else self._stream(rows, name)
        self._hide()
        table = QTable({"phi1": self.phi1 * u.deg, "phi2": self.phi2 * u.deg})
        units = {"parallax": u.mas, "radial_velocity": u.km / u.s, **dict.fromkeys(PM, u.mas / u.yr)}
        bands = self.model.photometry.bands if self.model.photometry is not None else ()
        for name, values in self.values.items():
            unit = u.mag if name in bands else units.get(name)
            table[name] = values if unit is None else values * unit
        self._to_the_sky(table)
        self._errors(table, units)
        table["component"] = np.asarray(names)[self.component]
        return table

    # -------------------------------------------------------------------------------------------- what is conditional

    def _components(self) -> NDArray[np.int64]:
        """Which component each star is drawn from, by the shares at its phi1 (n,)."""
        model = self.model
        shares = np.exp(self.fitted.curves_at("weights", self.phi1)[0])
        for place, component in enumerate(model.components):
            if component.phi1 is not None:
                low, high = component.phi1
                shares[(self.phi1 < low) | (self.phi1 > high), place] = 0.0
        # shares are bounded one by one; where together they are more than all, the model scales them down together
        shares /= np.maximum(shares.sum(axis=1) / 0.98, 1.0)[:, None]
        below = np.cumsum(shares, axis=1)
        return np.asarray((self.rng.random(self.n)[:, None] > below).sum(axis=1))

    def _start_columns(self) -> None:
        model = self.model
        names: list[str] = [*PM] if model.proper_motion is not None else []
        names += [*model.scalar_windows]
        names += model.photometry.bands if model.photometry is not None else ()
        self.values = {name: np.full(self.n, np.nan) for name in names}

    def _of(self, values: Tensor | None, rows: NDArray[np.int64], width: int) -> Array:
        """Errors of the stars drawn, from those of ``like``; 0 without it, (rows, width)."""
        if self.like is None or values is None:
            return np.zeros((len(rows), width))
        return np.asarray(values.double().numpy()[self.rows[rows]]).reshape(len(rows), width)

    def _turn(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Turn of the proper motions and the solar reflex at the places drawn."""
        from starloom.streams.stars import turn_and_reflex

        return turn_and_reflex(self.model, self.phi1[rows], self.phi2[rows])

    # ---------------------------------------------------------------------------------------------------- components

    def _stream(self, rows: NDArray[np.int64], name: str) -> None:
        model = self.model
        curves = self.fitted.mixture.tracks[name]
        assert isinstance(curves, Curves)
        values = self.fitted.curves_at(name, self.phi1[rows])[0]
        at = {curve.name: values[:, place] for place, curve in enumerate(curves.curves)}
        self.phi2[rows] = self._truncated(at["phi2"], np.exp(at["ln_width_phi2"]), model.phi2.window)
        if model.proper_motion is not None:
            self._stream_motion(rows, at)
        for scalar, window in model.scalar_windows.items():
            if scalar != "parallax":
                error = self._of(None if self.like is None else self.like.scalar_errors[scalar], rows, 1)[:, 0]
                width = np.hypot(np.exp(at[f"ln_width_{scalar}"]), error)
                self.values[scalar][rows] = self._truncated(at[scalar], width, window)
        if model.distance is not None:
            self._depth(rows)

    def _truncated(self, mean: Array, width: Array, window: tuple[float, float]) -> Array:
        from scipy.stats import truncnorm

        low, high = (window[0] - mean) / width, (window[1] - mean) / width
        return np.asarray(truncnorm.rvs(low, high, loc=mean, scale=width, random_state=self.rng))

    def _stream_motion(self, rows: NDArray[np.int64], at: dict[str, Array]) -> None:
        motion = self.model.proper_motion
        assert motion is not None
        width = np.stack([np.exp(at[f"ln_width_{name}"]) for name in PM], axis=1)
        mean = np.stack([at[name] for name in PM], axis=1)
        errors = self._of(None if self.like is None else self.like.pm_covariance, rows, 3)
        turn, reflex = self._turn(rows)
        scale = np.exp(at["ln_wing_scale"]) if motion.wings else np.ones(len(rows))
        in_wing = self.rng.random(len(rows)) < at["wing_share"] if motion.wings else np.zeros(len(rows), bool)
        if motion.wings:
            # each of the two normals is truncated by itself in the model, so a star stays in the one it was drawn for
            width = np.where(in_wing[:, None], width * scale[:, None], width)
        a = np.sqrt(width[:, 0] ** 2 + errors[:, 0])
        b = errors[:, 1] / a
        c = np.sqrt(np.maximum(width[:, 1] ** 2 + errors[:, 2] - b**2, 0.0))
        found = np.empty((len(rows), 2))
        left = np.arange(len(rows))
        for _ in range(_ROUNDS):
            noise = self.rng.standard_normal((len(left), 2))
            trial = mean[left] + np.stack(
                [a[left] * noise[:, 0], b[left] * noise[:, 0] + c[left] * noise[:, 1]], axis=1
            )
            windowed = trial
            if motion.system == "icrs":
                windowed = np.einsum("nji,nj->ni", turn[left], trial + reflex[left])
            kept = self.model.polygon.contains(windowed[:, 0], windowed[:, 1])
            found[left[kept]] = trial[kept]
            left = left[~kept]
            if len(left) == 0:
                break
        for one in left:
            root = np.array([[a[one], 0.0], [b[one], c[one]]])
            found[one] = self._from_tail(mean[one], root, turn[one], reflex[one])
        for place, name in enumerate(PM):
            self.values[name][rows] = found[:, place]

    def _from_tail(self, mean: Array, root: Array, turn: Array, reflex: Array) -> Array:
        """A proper motion where the selection keeps next to nothing of the normal: one of many places in the window."""
        motion, polygon = self.model.proper_motion, self.model.polygon
        assert motion is not None
        square = tensor(2.0 * self.rng.random((_TRIALS, 2)) - 1.0)
        x, y = polygon.from_square(square)
        places = np.stack([x.double().numpy(), y.double().numpy()], axis=1)
        _, log_jacobian = polygon.to_square(x, y)
        if motion.system == "icrs":
            places = places @ turn.T - reflex
        whitened = np.linalg.solve(root, (places - mean).T)
        weight = -0.5 * (whitened**2).sum(axis=0) - log_jacobian.double().numpy()
        return np.asarray(places[np.argmax(weight + self.rng.gumbel(size=_TRIALS))])

    def _depth(self, rows: NDArray[np.int64]) -> None:
        """Parallax and magnitudes: both see the distance that the star is drawn at."""
        model = self.model
        curves = self.fitted.mixture.tracks[model.components[0].name]  # the others share its distance
        assert isinstance(curves, Curves)
        track = self.fitted.curves_at(model.components[0].name, self.phi1[rows])[0]
        names = [curve.name for curve in curves.curves]
        modulus, spread = (
            track[:, names.index("distance_modulus")],
            np.exp(track[:, names.index("ln_distance_scatter")]),
        )
        variance = spread**2
        if model.parallax is not None:
            error = self._of(None if self.like is None else self.like.scalar_errors["parallax"], rows, 1)[:, 0]
            seen = np.ones(len(rows), bool)
            if self.like is not None:
                seen = self.like.scalar_seen["parallax"].numpy()[self.rows[rows]]
            mean = 10.0 ** (2.0 - 0.2 * modulus)
            slope = 0.2 * np.log(10.0) * mean
            total = slope**2 * variance + error**2
            parallax = self._truncated(mean, np.sqrt(total), model.parallax)
            self.values["parallax"][rows] = parallax
            modulus = np.where(seen, modulus - slope * variance * (parallax - mean) / total, modulus)
            variance = np.where(seen, variance * error**2 / total, variance)
        if model.photometry is not None:
            self._magnitudes(rows, modulus, np.sqrt(variance))

    def _magnitudes(self, rows: NDArray[np.int64], modulus: Array, spread: Array) -> None:
        photometry = self.model.photometry
        assert photometry is not None
        shares, piece = stretch_shares(photometry)
        of_piece = self.fitted.mixture.log_shares()[0].exp().double().numpy()
        weights = shares * of_piece[piece]
        points = np.asarray(photometry.isochrone)
        errors = self._of(None if self.like is None else self.like.magnitude_errors, rows, len(photometry.bands))
        errors = np.where(np.isfinite(errors), errors, 0.0)  # not measured: hidden afterwards
        found = np.full((len(rows), len(photometry.bands)), np.nan)
        left = np.arange(len(rows))
        for _ in range(_ROUNDS):
            stretch = self.rng.choice(len(weights), len(left), p=weights / weights.sum())
            part = self.rng.random(len(left))[:, None]
            true = (1.0 - part) * points[stretch] + part * points[stretch + 1]
            true = true + (modulus[left] + spread[left] * self.rng.standard_normal(len(left)))[:, None]
            width = np.hypot(self._scatter(), errors[left])
            trial = true + width * self.rng.standard_normal(true.shape)
            kept = in_window(photometry, trial)
            found[left[kept]] = trial[kept]
            left = left[~kept]
            if len(left) == 0:
                break
        if len(left):
            raise FitError("next to nothing of the isochrone is inside the photometric window: it cannot be drawn from")
        for place, band in enumerate(photometry.bands):
            self.values[band][rows] = found[:, place]

    def _scatter(self) -> float:
        """Width around the isochrone (mag), of the best fit where it is learned."""
        assert self.model.photometry is not None
        learned = self.fitted.mixture.log_scatter()
        return self.model.photometry.scatters[0] if learned is None else float(learned[0].exp())

    def _background(self, rows: NDArray[np.int64]) -> None:
        model, background = self.model, self.fitted.background
        slopes = self.fitted.mixture.slope
        places = slopes.places(torch.as_tensor(self.phi1[rows]))
        from starloom.neural.curves import read_off

        slope = read_off(slopes(), places)[0, :, 0]
        uniform = tensor(self.rng.random(len(rows)))
        self.phi2[rows] = sample_truncated_exponential(uniform, slope, *model.phi2.window).double().numpy()
        low, high = model.phi1
        context = tensor(2.0 * (self.phi1[rows] - low) / (high - low) - 1.0)[:, None]
        for name, flow in background.flows.items():
            assert isinstance(flow, BoxFlow)
            square = flow.from_uniform(tensor(self.rng.random((len(rows), flow.sizes["features"]))), context)
            if name == "pm":
                self._background_motion(rows, square)
            elif name == "photometry":
                assert model.photometry is not None
                values = _unscaled(square, [model.photometry.magnitude, *model.photometry.colors])
                magnitudes = values[:, :1] - np.concatenate(
                    [np.zeros((len(rows), 1)), np.cumsum(values[:, 1:], axis=1)], axis=1
                )
                for place, band in enumerate(model.photometry.bands):
                    self.values[band][rows] = magnitudes[:, place]
            else:
                self.values[name][rows] = _unscaled(square, [model.scalar_windows[name]])[:, 0]

    def _background_motion(self, rows: NDArray[np.int64], square: Tensor) -> None:
        motion = self.model.proper_motion
        assert motion is not None
        pm = np.stack([values.double().numpy() for values in self.model.polygon.from_square(square)], axis=1)
        if motion.system == "icrs":
            turn, reflex = self._turn(rows)
            pm = np.einsum("nij,nj->ni", turn, pm) - reflex
        for place, name in enumerate(PM):
            self.values[name][rows] = pm[:, place]

    # ------------------------------------------------------------------------------------------------- as it was seen

    def _hide(self) -> None:
        if self.like is None:
            return
        hidden = {name: ~self.like.pm_seen.numpy() for name in PM}
        hidden |= {name: ~seen.numpy() for name, seen in self.like.scalar_seen.items()}
        if self.model.photometry is not None:
            assert self.like.magnitude_errors is not None
            measured = np.isfinite(self.like.magnitude_errors.numpy()) & self.like.photometry_seen.numpy()[:, None]
            hidden |= {band: ~measured[:, place] for place, band in enumerate(self.model.photometry.bands)}
        for name, values in self.values.items():
            values[hidden[name][self.rows]] = np.nan

    def _to_the_sky(self, table: QTable) -> None:
        import astropy.units as u

        frame = self.model.stream_frame
        if frame is None:
            return
        ra, dec = frame.to_icrs(self.phi1, self.phi2)
        table["ra"], table["dec"] = ra * u.deg, dec * u.deg
        if self.model.proper_motion is not None:
            turn, reflex = self._turn(np.arange(self.n))
            pm = np.stack([self.values[name] for name in PM], axis=1) + reflex
            observed = np.einsum("nji,nj->ni", turn, pm)
            table["pmra"], table["pmdec"] = (observed[:, place] * u.mas / u.yr for place in (0, 1))

    def _errors(self, table: QTable, units: dict[str, Any]) -> None:
        import astropy.units as u

        if self.like is None:
            return
        if self.model.proper_motion is not None and self.like.has_errors:
            xx, xy, yy = self.like.pm_covariance.double().numpy()[self.rows].T
            names = PM
            if self.model.stream_frame is not None:
                # the covariance was turned where the row of `like` is; it is given back where the star drawn is
                turn, _ = self._turn(np.arange(self.n))
                covariance = np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2)
                turned = np.swapaxes(turn, 1, 2) @ covariance @ turn
                xx, xy, yy = turned[:, 0, 0], turned[:, 0, 1], turned[:, 1, 1]
                names = ("pmra", "pmdec")
            a, b = np.sqrt(xx), np.sqrt(yy)
            table[f"{names[0]}_error"], table[f"{names[1]}_error"] = a * u.mas / u.yr, b * u.mas / u.yr
            with np.errstate(invalid="ignore", divide="ignore"):
                table[f"{names[0]}_{names[1]}_corr"] = np.where(a * b > 0, xy / (a * b), 0.0)
        for name, error in self.like.scalar_errors.items():
            values = error.double().numpy()[self.rows]
            unit = units.get(name)
            table[f"{name}_error"] = values if unit is None else values * unit
        if self.model.photometry is not None and self.like.magnitude_errors is not None:
            errors = self.like.magnitude_errors.double().numpy()[self.rows]
            errors[~np.isfinite(errors) | ~self.like.photometry_seen.numpy()[self.rows, None]] = np.nan
            for place, band in enumerate(self.model.photometry.bands):
                table[f"{band}_error"] = errors[:, place] * u.mag


def in_window(photometry: Photometry, magnitudes: Array) -> NDArray[np.bool_]:
    """Whether magnitudes (n, bands) are inside the photometric window."""
    inside = (magnitudes[:, 0] >= photometry.magnitude[0]) & (magnitudes[:, 0] <= photometry.magnitude[1])
    for place, (low, high) in enumerate(photometry.colors):
        color = magnitudes[:, place] - magnitudes[:, place + 1]
        inside &= (color >= low) & (color <= high)
    return np.asarray(inside)


def _unscaled(square: Tensor, windows: list[tuple[float, float]]) -> Array:
    low, high = (np.asarray([pair[end] for pair in windows]) for end in (0, 1))
    return np.asarray(low + 0.5 * (square.double().numpy() + 1.0) * (high - low))
