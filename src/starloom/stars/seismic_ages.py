"""Ages of giants from spectra through seismology: the model of arXiv:2302.05479, in three steps.

1. A variational encoder-decoder learns, from pairs of a spectrum and a power spectrum, a few latents of a spectrum from
   which the power spectrum can be told. No age and no abundance goes in, so that what they know is seismology.
2. A probabilistic forest reads nu_max and delta_nu off the latents.
3. A probabilistic forest reads the age off the latents, Teff, [Fe/H] and how hot the star is for its latents and
   [Fe/H] (``seismic_track``), trained on the few stars with seismic ages.

[alpha/M] goes into none of them; ``seismic_diagnostics`` measures how much of it comes through all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.provenance import record
from starloom.errors import CatalogError, FitError, ModelFileError
from starloom.seeds import generator, torch_generator
from starloom.stars import seismic_catalog as catalog
from starloom.stars.seismic_basis import SpectralBasis
from starloom.stars.seismic_diagnostics import active
from starloom.stars.seismic_power import spacings
from starloom.stars.seismic_track import Track

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stars.forest import ProbabilisticForest
    from starloom.stars.seismic_network import EncoderDecoder, NetworkSettings
    from starloom.stars.seismic_spectra import Normalized

Floats = NDArray[np.float64]
KIND = "seismic ages 2"
SEISMIC = ("nu_max", "delta_nu")
TYPICAL_ERRORS = {"teff": 25.0, "fe_h": 0.03}
"""Errors taken where a table has none: K and dex."""


@dataclass
class Latents:
    """What the encoder says of spectra.

    Parameters
    ----------
    mean, error : (n, k) of each latent; a latent that is not active is 0 and 1.
    misfit : (n,) how unlike the learned spectra (mean squared residual over error).
    coefficients : (n, size) of the spectra on the basis.
    """

    mean: Floats
    error: Floats
    misfit: Floats
    coefficients: Floats

    def rows(self, rows: Any) -> Latents:
        """Those of some stars."""
        return Latents(self.mean[rows], self.error[rows], self.misfit[rows], self.coefficients[rows])

    @classmethod
    def joined(cls, parts: Sequence[Latents]) -> Latents:
        """Those of several sets of stars, one after the other."""
        names = ("mean", "error", "misfit", "coefficients")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass
class SeismicAges:
    """A fitted model.

    Parameters
    ----------
    basis, network : spectrum -> coefficients -> latents -> power spectrum.
    used : (k,) which latents say anything.
    seismic, age : the forests; None before they were fitted.
    limits : misfit above which a spectrum is a stranger; range of ln nu_max, Teff and [Fe/H] in training.
    history : how it was trained.
    track : mean Teff of giants of given latents and [Fe/H]; None before the ages were fitted.
    """

    basis: SpectralBasis
    network: EncoderDecoder
    used: NDArray[np.bool_]
    seismic: ProbabilisticForest | None = None
    age: ProbabilisticForest | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    history: dict[str, Any] = field(default_factory=dict)
    track: Track | None = None

    # ---------------------------------------------------------------------------------------------------- fitting

    @classmethod
    def fit_latents(
        cls,
        flux: ArrayLike,
        error: ArrayLike,
        target: ArrayLike,
        *,
        seed: int | np.random.Generator,
        size: int = 48,
        settings: NetworkSettings | None = None,
        checkpoint: Path | None = None,
        spacing: bool = False,
    ) -> SeismicAges:
        """Learn the latents from pairs.

        Parameters
        ----------
        flux, error : (n, pixels) normalized spectra, infinite error where a pixel is bad.
        target : (n, bins) ln(power over background), or anything else that is to be told from a spectrum; NaN where a
            star has none.
        seed : of the basis and the training.
        size : coefficients of the basis.
        settings : of the network.
        checkpoint : file from which an interrupted training goes on.
        spacing : the target is log power, and the decoder also has to tell how it repeats (``seismic_power.spacings``),
            which is what tells masses.

        Raises
        ------
        FitError
            When there are too few pairs, or no latent says anything in the end (collapse).
        """
        from starloom.stars import seismic_network as net

        rng = generator(seed)
        wanted = np.asarray(target, dtype=np.float32)
        bins = wanted.shape[1]
        if spacing:
            wanted = np.hstack([wanted, spacings(wanted)])
        basis = SpectralBasis.fit(flux, error, size=size, seed=int(rng.integers(2**31)))
        coefficients, errors, misfit = basis.project(flux, error)
        chosen = settings or net.NetworkSettings()
        network, record = net.train(
            coefficients, errors, np.asarray(wanted), chosen, torch_generator(rng), checkpoint=checkpoint
        )
        mean, _ = net.encode(network, coefficients)
        used = active(mean)
        if not used.any():
            raise FitError("no latent says anything of the spectra (collapse): more pressure or more pairs are needed")
        history = {
            "pairs": len(wanted),
            "steps": chosen.steps,
            "seconds": record.seconds,
            "loss": float(np.mean(record.losses[-100:])),
            "last_change": record.last_change,
            "active": int(used.sum()),
        }
        limits = {"misfit": float(np.nanpercentile(misfit, 99.5) * 1.2), "bins": bins}
        return cls(basis, network, used, limits=limits, history=history)

    def encode(self, flux: ArrayLike, error: ArrayLike) -> Latents:
        """Latents of spectra (n, pixels)."""
        from starloom.stars import seismic_network as net

        coefficients, _, misfit = self.basis.project(flux, error)
        mean, spread = net.encode(self.network, coefficients)
        return Latents(np.where(self.used, mean, 0.0), np.where(self.used, spread, 1.0), misfit, coefficients)

    def decode(self, latents: Latents | Floats) -> Floats:
        """Ln(power over background) that goes with latents, (n, bins)."""
        from starloom.stars import seismic_network as net

        found = net.decode(self.network, latents.mean if isinstance(latents, Latents) else np.asarray(latents))
        bins = int(self.limits.get("bins") or found.shape[1])  # beyond: how power repeats
        return np.asarray(found[:, :bins])

    def fit_seismic(
        self, latents: Latents, nu_max: ArrayLike, delta_nu: ArrayLike, *, seed: int = 1, trees: int = 100
    ) -> None:
        """Learn nu_max and delta_nu (muHz) from the latents of stars that have both.

        Raises
        ------
        FitError
            When fewer than 50 stars have both.
        """
        from starloom.stars.forest import ProbabilisticForest

        values = np.stack([np.asarray(nu_max, dtype=float), np.asarray(delta_nu, dtype=float)], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            log_values = np.log(values)
        known = np.isfinite(log_values).all(axis=1)
        if known.sum() < 50:
            raise FitError(f"{int(known.sum())} stars have nu_max and delta_nu: 50 are needed")
        self.seismic = ProbabilisticForest(n_trees=trees, min_samples_leaf=5, seed=seed)
        self.seismic.fit(latents.mean[known][:, self.used], log_values[known])
        self.limits["log_nu_max"] = [float(v) for v in np.quantile(log_values[known, 0], [0.002, 0.998])]

    def features(self, latents: Latents, table: QTable) -> tuple[Floats, Floats]:
        """What the age forest reads, and its errors: active latents, Teff, [Fe/H], Teff above the track, each (n, F).

        Latents have none: their means are what is expected of them, already drawn in as far as the spectrum is unsure,
        and the forest learned from stars whose latents were so too. The last column is there once a track is.
        """
        means = latents.mean[:, self.used]
        columns, errors = [means], [np.zeros_like(means)]
        for name in ("teff", "fe_h"):
            values, spread = catalog.column(table, name), catalog.column(table, f"{name}_error")
            columns.append(values[:, None])
            errors.append(np.where(np.isfinite(spread) & (spread >= 0), spread, TYPICAL_ERRORS[name])[:, None])
        if self.track is not None:
            columns.append(self.track.excess(np.hstack([means, columns[2]]), columns[1][:, 0])[:, None])
            errors.append(errors[1])
        return np.hstack(columns), np.hstack(errors)

    def fit_ages(
        self,
        latents: Latents,
        table: QTable,
        *,
        seed: int = 1,
        trees: int = 150,
        least_leaf: int = 5,
    ) -> None:
        """Learn the age from latents, Teff and [Fe/H] of stars with seismic ages.

        Parameters
        ----------
        table : row by row the stars of the latents: ``age`` (Gyr), ``age_error``, ``teff``, ``fe_h`` and errors. Ages
            that are missing, not positive, or above 20 Gyr are left out and counted in ``history``.

        Raises
        ------
        FitError
            When fewer than 50 stars have all.
        """
        from starloom.stars.forest import ProbabilisticForest

        age, spread = catalog.column(table, "age"), catalog.column(table, "age_error")
        self.track = None
        inputs, _ = self.features(latents, table)
        known = np.isfinite(age) & (age > 0) & (age < 20.0) & np.isfinite(inputs).all(axis=1)
        if known.sum() < 50:
            raise FitError(f"{int(known.sum())} stars have an age, Teff, [Fe/H] and a spectrum: 50 are needed")
        count = int(self.used.sum())
        places = np.delete(inputs[known], count, axis=1)  # all but Teff
        self.track = Track.fit(places, inputs[known][:, count])
        inputs, errors = self.features(latents, table)
        relative = np.where(np.isfinite(spread) & (spread > 0), spread / np.where(known, age, 1.0), 0.3)
        self.age = ProbabilisticForest(n_trees=trees, min_samples_leaf=least_leaf, seed=seed)
        self.age.fit(
            inputs[known],
            np.log10(age[known]),
            X_error=errors[known],
            y_error=np.clip(relative[known], 0.01, 2.0) / np.log(10.0),
        )
        self.limits["labels"] = np.quantile(inputs[known][:, count : count + 2], [0.002, 0.998], axis=0).tolist()
        self.history |= {"age_stars": int(known.sum()), "age_stars_left_out": int((~known).sum())}

    # -------------------------------------------------------------------------------------------------- answering

    def seismology(self, latents: Latents) -> dict[str, Floats]:
        """Medians and 68 % bounds of nu_max and delta_nu, muHz: ``nu_max``, ``nu_max_low``, ``nu_max_high``, ..."""
        if self.seismic is None:
            raise FitError("this model has not learned nu_max: call fit_seismic first")
        bounds = np.exp(self.seismic.predict_quantiles(latents.mean[:, self.used], [0.16, 0.5, 0.84]))
        found: dict[str, Floats] = {}
        for place, name in enumerate(SEISMIC):
            values = bounds[:, place] if bounds.ndim == 3 else bounds
            found |= {f"{name}_low": values[:, 0], name: values[:, 1], f"{name}_high": values[:, 2]}
        return found

    def ages(self, latents: Latents, table: QTable) -> dict[str, Floats]:
        """Ages, Gyr: ``age`` (median), ``age_low`` and ``age_high`` (68 %); NaN where Teff or [Fe/H] is missing."""
        if self.age is None:
            raise FitError("this model has not learned ages: call fit_ages first")
        inputs, errors = self.features(latents, table)
        known = np.isfinite(inputs).all(axis=1)
        found = np.full((len(inputs), 3), np.nan)
        if known.any():
            found[known] = 10.0 ** self.age.predict_quantiles(inputs[known], [0.16, 0.5, 0.84], X_error=errors[known])
        return {"age_low": found[:, 0], "age": found[:, 1], "age_high": found[:, 2]}

    def predict(self, spectra: Normalized, table: QTable, *, label: str = "the table") -> QTable:
        """The catalog: the rows of the table, and latents, seismic quantities, ages, quality and reasons beside.

        Parameters
        ----------
        spectra : a normalized spectrum a row.
        table : ``teff`` and ``fe_h`` with errors; ``logg`` and survey flags where there are any.

        Raises
        ------
        CatalogError
            When the table is empty, lacks a column, or has not as many rows as there are spectra.
        """
        from astropy import units as u

        stars = catalog.SCHEMA.apply(table, label=label, unique=None)
        if len(stars) == 0:
            raise CatalogError(f"{label} has no rows: there is nothing to predict")
        if len(stars) != len(spectra):
            raise CatalogError(f"{label} has {len(stars)} rows and there are {len(spectra)} spectra")
        latents = self.encode(spectra.flux, spectra.error)
        answers = self.ages(latents, stars)
        oscillations = self.seismology(latents) if self.seismic is not None else {}
        quality = catalog.quality_of(spectra, stars, latents.misfit, answers, oscillations, self.limits)
        lost = (quality & (catalog.flag("no_spectrum") | catalog.flag("no_labels"))) != 0
        blind = (quality & catalog.flag("no_spectrum")) != 0
        found = stars.copy()
        for name, values in answers.items():
            found[name] = np.where(lost, np.nan, values) * u.Gyr
        found["age_error"] = 0.5 * (found["age_high"] - found["age_low"])
        for name, values in oscillations.items():
            found[name] = np.where(blind, np.nan, values) * u.uHz
        for place in np.flatnonzero(self.used):
            found[f"latent_{place}"] = np.where(blind, np.nan, latents.mean[:, place])
            found[f"latent_{place}_error"] = np.where(blind, np.nan, latents.error[:, place])
        found["misfit"], found["signal_to_noise"] = latents.misfit, spectra.signal_to_noise
        found["quality"] = quality
        found["reason"] = catalog.reasons(quality, spectra.reasons)
        found.meta["quality_bits"] = {name: f"{bit}: {meaning}" for name, (bit, meaning) in catalog.FLAGS.items()}
        record(found, "seismic quantities and ages from spectra", pairs=self.history.get("pairs"))
        return found

    # ------------------------------------------------------------------------------------------------------ files

    def save(self, folder: str | Path) -> None:
        """Save the model: safetensors and JSON, forests in folders of their own."""
        import torch

        from starloom.neural.checkpoints import save_folder
        from starloom.stars import seismic_network as net

        tensors = net.tensors_of(self.network)
        tensors |= {f"basis.{name}": torch.from_numpy(np.asarray(v)) for name, v in self.basis.arrays().items()}
        tensors["used"] = torch.from_numpy(self.used)
        if self.track is not None:
            tensors |= {f"track.{name}": torch.from_numpy(np.asarray(v)) for name, v in self.track.arrays().items()}
        settings = {
            "network": net.shape_of(self.network),
            "limits": self.limits,
            "history": self.history,
            "forests": [name for name in ("seismic", "age") if getattr(self, name) is not None],
        }
        for name in settings["forests"]:
            getattr(self, name).save(Path(folder) / name)
        save_folder(folder, KIND, settings, tensors)

    @classmethod
    def load(cls, folder: str | Path) -> SeismicAges:
        """Load what ``save`` wrote; ModelFileError when it is not such a model."""
        from starloom.neural.checkpoints import load_folder
        from starloom.stars import seismic_network as net
        from starloom.stars.forest import ProbabilisticForest

        settings, tensors = load_folder(folder, KIND)
        try:
            basis = SpectralBasis.from_arrays(
                {name.removeprefix("basis."): v.numpy() for name, v in tensors.items() if name.startswith("basis.")}
            )
            network = net.from_saved(settings["network"], tensors)
            forests = {name: ProbabilisticForest.load(Path(folder) / name) for name in settings["forests"]}
            used = tensors["used"].numpy().astype(bool)
            limits, history = settings["limits"], settings["history"]
            parts = {name.removeprefix("track."): v.numpy() for name, v in tensors.items() if name.startswith("track.")}
            track = Track(**parts) if "age" in forests else None
        except (KeyError, TypeError, RuntimeError) as error:
            raise ModelFileError(f"{folder} is not whole: {error}; make the model anew") from error
        return cls(basis, network, used, forests.get("seismic"), forests.get("age"), limits, history, track)
