"""A fitted stream: memberships, densities, expected numbers; saved and loaded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from starloom.catalog.given_columns import keep_given
from starloom.catalog.provenance import record
from starloom.catalog.tables import read_table
from starloom.errors import ConfigError, ModelFileError
from starloom.neural.checkpoints import load_folder, save_folder
from starloom.neural.curves import Curves, read_off
from starloom.streams.background import Background
from starloom.streams.configuration import PM
from starloom.streams.mixture import Mixture, PreparedStars
from starloom.streams.stars import Stars, prepare

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.streams.membership import StreamModel

BLOCK = 50_000  # rows scored at once
UNSETTLED = 0.1  # share of the loss's fall after six tenths of the steps
KIND = "starloom stream membership 1"
Z90 = 1.6448536269514722  # half of the central 90 % of a normal


def half_width(members: np.ndarray) -> np.ndarray:
    """Half of the central 90 % from the bootstrap members (all but the first), NaN with fewer than two of them.

    A spread known from a few draws only calls for Student's t in the place of the normal.
    """
    from scipy.stats import t

    if len(members) < 3:
        return np.full(members.shape[1:], np.nan)
    spread: np.ndarray = t.ppf(0.95, len(members) - 2) * members[1:].std(axis=0, ddof=1)
    return spread


class FittedStream:
    """A fitted StreamModel: memberships, densities, expected numbers; ``save`` and ``load``."""

    def __init__(self, model: StreamModel, background: Background, mixture: Mixture, phi1_seen: np.ndarray) -> None:
        self.model, self.background, self.mixture = model, background, mixture
        self.phi1_seen = phi1_seen
        self.report: dict[str, Any] = {}

    @property
    def names(self) -> list[str]:
        """Components, the background last."""
        return [component.name for component in self.model.components] + ["background"]

    def curves_at(self, name: str, phi1: Any) -> np.ndarray:
        """Learned curves of a component, or the log fractions ("weights") at phi1 (deg): (members, n, outputs)."""
        curves = self.mixture.weights if name == "weights" else self.mixture.tracks[name]
        assert isinstance(curves, Curves)
        with torch.no_grad():
            values = read_off(curves(), curves.places(torch.as_tensor(np.asarray(phi1, dtype=np.float64))))
        return np.asarray(values.double().numpy())

    def prepare(self, table: Any) -> Stars:
        """Make a table ready for ``probabilities`` and ``log_densities``."""
        return prepare(self.model, read_table(table))

    def log_densities(self, stars: Stars, prepared: PreparedStars | None = None) -> Tensor:
        """log(f_q p_q), (components + 1, members, n)."""
        with torch.no_grad():
            prepared = prepared or PreparedStars(
                self.model, stars, self.mixture, self.background.log_prob(stars), rows=self.mixture.near(stars)
            )
            return self.mixture.log_densities(prepared, self.mixture.curves())

    def probabilities(self, stars: Stars) -> Tensor:
        """Membership probability of each component, (components + 1, members, n)."""
        return torch.softmax(self.log_densities(stars), dim=0)

    def predict(self, table: Any) -> QTable:
        """The same rows plus membership.

        Returns
        -------
        QTable
            For each component ``p_NAME`` (best fit), ``p_NAME_low``, ``p_NAME_high`` (central 90 % of the bootstrap
            ensemble, symmetric in the log odds), ``p_member`` (all components but the background), ``features_used``,
            ``phi1``, ``phi2``, ``pm_phi1_cosphi2`` and ``pm_phi2`` where the model uses them, and ``reason``: why a row
            was not used (then NaN). Coordinates of the stream that the table had are replaced; other columns of these
            names stay, as ``given_`` and their name.
        """
        import astropy.units as u

        result = read_table(table).copy()
        blocks = [self._block(result[low : low + BLOCK]) for low in range(0, len(result), BLOCK)]
        blocks = blocks or [self._block(result)]
        units = {"phi1": u.deg, "phi2": u.deg, **dict.fromkeys(PM, u.mas / u.yr)}
        # coordinates of the stream that the table has are replaced, everything else of these names is kept
        keep_given(result, [name for name in blocks[0] if not (name in units and name in result.colnames)])
        for name in blocks[0]:
            values = np.concatenate([block[name] for block in blocks])
            result[name] = values * units[name] if name in units else values
        record(
            result,
            "stream membership",
            components=self.names,
            frame=getattr(self.model.frame, "name", self.model.frame),
        )
        return result

    def _block(self, table: QTable) -> dict[str, np.ndarray]:
        """The new columns of ``predict`` for some rows: what scoring needs beyond the table stays bounded."""
        stars = self.prepare(table)
        found: dict[str, np.ndarray] = {}
        for name, values in self._membership(stars).items():
            found[name] = np.full(len(table), np.nan)
            found[name][stars.rows] = values
        found["features_used"] = np.zeros(len(table), dtype=np.int64)
        found["features_used"][stars.rows] = stars.features_used()
        found["reason"] = stars.reasons
        return found

    def _membership(self, stars: Stars) -> dict[str, np.ndarray]:
        seen = stars.pm_seen.numpy()
        columns = {"phi1": stars.phi1, "phi2": stars.phi2.numpy()}
        for place, name in enumerate(PM if self.model.proper_motion is not None else ()):
            columns[name] = np.where(seen, stars.pm[:, place].numpy(), np.nan)
        if len(stars) == 0:
            empty = np.zeros(0)
            for name in ["member", *self.names]:
                columns |= {f"p_{name}": empty, f"p_{name}_low": empty, f"p_{name}_high": empty}
            return columns
        p = self.probabilities(stars).double().numpy()
        shares = {"member": p[:-1].sum(axis=0), **dict(zip(self.names, p, strict=True))}
        for name, values in shares.items():
            odds = np.log(np.clip(values, 1e-12, 1.0)) - np.log(np.clip(1.0 - values, 1e-12, 1.0))
            spread = half_width(odds)
            columns[f"p_{name}"] = values[0]
            columns[f"p_{name}_low"] = 1.0 / (1.0 + np.exp(-(odds[0] - spread)))
            columns[f"p_{name}_high"] = 1.0 / (1.0 + np.exp(-(odds[0] + spread)))
        return columns

    def log_prob(self, table: Any) -> np.ndarray:
        """Log density of each row given its phi1 (best fit), NaN where a row is not used; shape (rows,)."""
        stars = self.prepare(table)
        values = np.full(len(stars.reasons), np.nan)
        if len(stars):
            values[stars.rows] = torch.logsumexp(self.log_densities(stars)[:, 0], dim=0).numpy()
        return values

    def expected_members(self, table: Any) -> dict[str, tuple[float, float, float]]:
        """Expected number of stars of each component and of "member": value and central 90 % (bootstrap)."""
        stars = self.prepare(table)
        if len(stars) == 0:
            return dict.fromkeys(["member", *self.names], (0.0, 0.0, 0.0))
        p = self.probabilities(stars).double().sum(dim=2).numpy()
        counts = {"member": p[:-1].sum(axis=0), **dict(zip(self.names, p, strict=True))}
        spread = {name: float(half_width(c)) for name, c in counts.items()}
        return {
            name: (float(c[0]), float(c[0]) - spread[name], float(c[0]) + spread[name]) for name, c in counts.items()
        }

    def sample(self, n: int, seed: int | np.random.Generator, like: Any = None) -> QTable:
        """Draw stars from the best fit: see ``sampling.sample``."""
        from starloom.streams.sampling import sample

        return sample(self, n, seed, like)

    def save(self, folder: str | Path) -> None:
        """Save to a folder: safetensors and JSON."""
        tensors = {f"background.{name}": value for name, value in self.background.state_dict().items()}
        tensors |= {f"mixture.{name}": value for name, value in self.mixture.state_dict().items()}
        tensors["phi1_seen"] = torch.as_tensor(self.phi1_seen)
        frame = self.model.stream_frame
        settings = asdict(self.model) | {"frame": None if frame is None else asdict(frame)}
        save_folder(folder, KIND, {"model": settings, "report": self.report}, tensors)

    @classmethod
    def load(cls, folder: str | Path) -> FittedStream:
        """Load what ``save`` wrote."""
        from starloom.streams.membership import model_from_settings

        settings, tensors = load_folder(folder, KIND)
        blank = torch.Generator().manual_seed(0)
        try:
            model = model_from_settings(settings["model"])
            background, mixture = Background(model, blank), Mixture(model, blank)
            for name, module in (("background", background), ("mixture", mixture)):
                state = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
                module.load_state_dict(state)
            fitted = cls(model, background, mixture, tensors["phi1_seen"].numpy())
            fitted.report = settings["report"]
        except (RuntimeError, KeyError, ConfigError) as error:
            raise ModelFileError(f"the model in {folder} does not fit its settings: {error}") from error
        return fitted

    def warnings(self, stars: Stars, prepared: PreparedStars, last_change: float) -> list[str]:
        """What a reader must know of how the fit ended: collapse, no convergence, a worse optimum."""
        log_p = self.log_densities(stars, prepared)
        counts = torch.softmax(log_p, dim=0).sum(dim=2)
        found = []
        for place, component in enumerate(self.model.components):
            if float(counts[place, 0]) < 5:
                found.append(f"component {component.name} collapsed: {float(counts[place, 0]):.1f} stars expected")
            elif float((counts[place, 1:] < 5).float().mean()) > 0.25:
                found.append(f"component {component.name} collapsed in more than a quarter of the bootstrap fits")
        if last_change > UNSETTLED:
            found.append(
                f"the fit had not settled: {last_change:.0%} of the loss's fall came in the last four tenths of it"
            )
        with torch.no_grad():
            log_p_total, penalty = self.mixture.objective(prepared)
        objective = log_p_total.sum(dim=1) - penalty
        better = float(objective.max() - objective[0])
        if better > 20:
            found.append(
                f"a bootstrap fit describes the stars better than the best fit (ln L + {better:.0f}): fit longer"
            )
        return found
