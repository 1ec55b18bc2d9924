"""The star foundation model: any label from any observation (arXiv:2308.10944).

>>> from starloom.stars.foundation import StarFoundation
>>> model = StarFoundation.shipped()
>>> answers = model.predict({"teff": [4800.0], "logg": [2.5], "fe_h": [-0.2], "j_k": [0.72]}, request=["alpha_m"])
>>> answers["predicted_alpha_m"].shape
(1,)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from astropy.table import QTable
from numpy.typing import NDArray

from starloom.catalog.given_columns import keep_given
from starloom.catalog.provenance import record
from starloom.catalog.tables import read_table
from starloom.errors import CatalogError, ConfigError
from starloom.neural.processes import has_bfloat16
from starloom.seeds import generator
from starloom.spectra.xp import SAMPLED_NM, XpBases, g_flux
from starloom.stars.domain import LIMIT, Domain
from starloom.stars.evaluation import widening
from starloom.stars.foundation_files import read_foundation, write_foundation
from starloom.stars.network import StarNetwork
from starloom.stars.observations import SpectrumReader, read_tokens
from starloom.stars.perception import attention_of, batch_of, batches, nearest, vectors_of
from starloom.stars.tokens import Tokens, Vocabulary
from starloom.stars.training import Settings, train
from starloom.stars.training_tables import learnable

SHIPPED = Path(__file__).parent / "shipped" / "completed"
NEEDS = {
    "distance": "it needs parallaxes in the training table (kind g_fakemag)",
    "log_ebv": "it needs reddenings from a dust map in the training table",
    "g_fakemag": "it needs parallaxes in the training table",
    "age": "it needs ages in the training table",
    "mass": "it needs masses in the training table",
    "m_h": "it was trained with fe_h; ask for that",
}


@dataclass
class Answers:
    """Means and standard deviations (stars, requests) in standardized values, and what they are of."""

    names: tuple[str, ...]
    mean: NDArray[np.float64]
    sigma: NDArray[np.float64]


@dataclass
class StarFoundation:
    """A trained model. It has no hidden state: every answer follows from its arguments.

    Parameters
    ----------
    network, vocabulary : what was learned, and the kinds it knows.
    reader : for spectra; None when no spectra were in the training table.
    domain : says whether a star is like the training stars; None when that could not be described.
    usual : orders of coefficients that are read as context.
    history : how it was trained: seed, data, settings, log, scores.
    widen : (kinds,) factor of each kind's standard deviation, found on stars that were not trained with; None for 1.
    """

    network: StarNetwork
    vocabulary: Vocabulary
    reader: SpectrumReader | None
    domain: Domain | None
    usual: int = 32
    history: dict[str, Any] = field(default_factory=dict)
    widen: NDArray[np.float64] | None = None

    # ---------------------------------------------------------------------------------------------------- training

    @classmethod
    def fit(
        cls,
        table: Any,
        *,
        seed: int,
        settings: Settings | None = None,
        labels: Sequence[str] | None = None,
        checkpoint: Path | None = None,
        until: int | None = None,
        held_out: NDArray[np.bool_] | None = None,
        bases: XpBases | None = None,
    ) -> StarFoundation:
        """Train a model on a table with spectra, colors and labels, with whatever gaps.

        Parameters
        ----------
        table : anything :func:`starloom.catalog.tables.read_table` takes. Spectra need ``flux`` and ``flux_error``.
        seed : every random choice follows from it.
        settings : how; the preset ``small`` by default.
        labels : names of the labels to learn; by default those of the table that are known to Starloom.
        checkpoint : file to keep the state in and to go on from.
        until : stop before this step; the model is then what it is so far.
        bases : of the spectra; GaiaXPy's by default.
        held_out : (rows,) stars that calibrate the domain and are not trained with; by default one star in twenty.

        Raises
        ------
        CatalogError
            When there is too little to learn from.
        """
        stars, chosen = read_table(table), settings or Settings()
        if held_out is None:
            held_out = generator(seed).random(len(stars)) < 0.05
        reader, vocabulary = learnable(stars, held_out, labels, bases)
        tokens = read_tokens(stars, vocabulary, reader)
        used = ~held_out & (tokens.reason == "")
        if used.sum() < 50:
            raise CatalogError(f"{int(used.sum())} stars of the training table can be used; at least 50 are needed")
        vocabulary = vocabulary.scaled(tokens.values[used])
        values = vocabulary.standardize(tokens.values).astype(np.float32)
        errors = vocabulary.standardize_errors(tokens.values, tokens.errors).astype(np.float32)
        network, stand = train(
            vocabulary, values[used], errors[used], chosen, seed=seed, checkpoint=checkpoint, until=until
        )
        domain = Domain.fit(vocabulary, values[used].astype(float), values[held_out].astype(float), seed=seed)
        history = {
            "seed": seed,
            "stars": int(used.sum()),
            "settings": chosen.as_json(),
            "steps": stand.steps,
            "cpu_seconds": round(stand.seconds, 1),
            "losses": [round(loss, 4) for loss in stand.losses],
        }
        model = cls(network, vocabulary, reader, domain, chosen.usual, history)
        return replace(model, widen=widening(model, tokens.rows(held_out)))

    def fine_tune(
        self, table: Any, *, seed: int, steps: int = 500, learning_rate: float = 3e-4, settings: Settings | None = None
    ) -> StarFoundation:
        """Go on training with another table of the same kinds; this model stays as it is.

        The scales of the kinds stay those of the first training.
        """
        base = settings or Settings(architecture=self.network.shape, usual=self.usual)
        chosen = replace(base, architecture=self.network.shape, steps=steps, learning_rate=learning_rate)
        tokens = read_tokens(read_table(table), self.vocabulary, self.reader)
        used = tokens.reason == ""
        values = self.vocabulary.standardize(tokens.values[used]).astype(np.float32)
        errors = self.vocabulary.standardize_errors(tokens.values[used], tokens.errors[used]).astype(np.float32)
        network, stand = train(
            self.vocabulary, values, errors, chosen, seed=seed, start=self.network.state_dict(), label="fine-tuning"
        )
        tuned = {"seed": seed, "stars": int(used.sum()), "steps": stand.steps, "cpu_seconds": round(stand.seconds, 1)}
        return replace(self, network=network, history={**self.history, "fine_tuned": tuned})

    # --------------------------------------------------------------------------------------------------- answering

    @property
    def answerable(self) -> tuple[str, ...]:
        """Names of the kinds that it was trained to answer."""
        return tuple(kind.name for kind in self.vocabulary.kinds if kind.requested)

    def _requests(self, request: Sequence[str] | None) -> tuple[str, ...]:
        if request is None:
            return tuple(kind.name for kind in self.vocabulary.kinds if kind.group == "label")
        names = (request,) if isinstance(request, str) else tuple(request)
        if not names:
            raise ConfigError("nothing was requested")
        for name in names:
            if name in NEEDS and name not in self.vocabulary:
                raise ConfigError(f"this model was not trained to answer {name!r}: {NEEDS[name]}")
            self.vocabulary.number(name)
        return tuple(dict.fromkeys(names))

    def tokens(self, table: Any, *, label: str = "the table") -> Tokens:
        """What a table says, in this model's words (see :func:`starloom.stars.observations.read_tokens`)."""
        return read_tokens(read_table(table), self.vocabulary, self.reader, label=label)

    def shown(self, request: Sequence[str], given: Sequence[str] | None = None) -> NDArray[np.int64]:
        """Columns of the tokens that are looked at: those given, or the usual ones without those requested."""
        if given is not None:
            return self.vocabulary.places(list(given))
        asked = set(request)
        kinds = self.vocabulary.kinds
        return np.array(
            [p for p, k in enumerate(kinds) if k.name not in asked and k.order < self.usual], dtype=np.int64
        )

    def ask(
        self, tokens: Tokens, request: Sequence[str], given: Sequence[str] | None = None, *,
        batch: int | None = None, bfloat16: bool = False,
    ) -> Answers:  # fmt: skip
        """Answers in standardized values.

        Parameters
        ----------
        tokens : of the stars.
        request : kinds asked.
        given : kinds shown; by default all usual ones that are not requested.
        batch : stars at a time; None for as many as the network answers fastest.
        bfloat16 : multiply in bfloat16, faster where the CPU can, to about 1 % of an error.
        """
        names = self._requests(request)
        numbers = torch.from_numpy(self.vocabulary.places(names) + 1)
        mean = np.empty((len(tokens), len(names)))
        sigma = np.empty_like(mean)
        enabled = bfloat16 and has_bfloat16()
        size = batch_of(self.network.shape) if batch is None else batch
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            for rows, kinds, values in batches(self.vocabulary, tokens, self.shown(names, given), size):
                found, log_variance = self.network(kinds, values, numbers.expand(len(kinds), -1))
                mean[rows], sigma[rows] = found.numpy(), np.exp(0.5 * log_variance.numpy())
        if self.widen is not None:
            sigma *= self.widen[self.vocabulary.places(names)]
        return Answers(names, mean, sigma)

    def predict(
        self, table: Any, request: Sequence[str] | None = None, *, given: Sequence[str] | None = None,
        label: str = "the table", bfloat16: bool = False,
    ) -> QTable:  # fmt: skip
        """The same rows with what was asked.

        Parameters
        ----------
        table : anything :func:`starloom.catalog.tables.read_table` takes.
        request : kinds asked; all labels by default. A kind that is asked is not looked at, unless it is ``given``.
        given : kinds to look at; by default all that the table has but those asked.
        label : what to call the table in messages.
        bfloat16 : faster where the CPU can multiply so.

        Returns
        -------
        QTable
            The table's columns but spectra; ``predicted_X`` and ``predicted_X_error`` (half of the central 68 %) for
            each X; ``tokens_used``; ``domain_share`` (share of training stars at least as unusual in spectrum and
            colors; NaN without any) and ``in_domain`` (that it is at least 0.005); ``reason``, not empty where nothing
            could be said.
        """
        stars = read_table(table, label=label)
        names = self._requests(request)
        tokens = read_tokens(stars, self.vocabulary, self.reader, label=label)
        answers = self.ask(tokens, names, given, bfloat16=bfloat16)
        places = self.vocabulary.places(names)
        mean = self.vocabulary.restore(answers.mean, places)
        error = self.vocabulary.restore_errors(answers.mean, answers.sigma, places)
        used = np.isfinite(tokens.values[:, self.shown(names, given)]).sum(axis=1)
        reason = np.where((used == 0) & (tokens.reason == ""), "only what was requested is known", tokens.reason)
        mean[used == 0], error[used == 0] = np.nan, np.nan
        result = QTable(meta=dict(stars.meta))
        for name in stars.colnames:
            if stars[name].ndim == 1:
                result[name] = stars[name]
        keep_given(result, ["tokens_used", "domain_share", "in_domain", "reason"])
        for place, name in enumerate(names):
            unit = self.vocabulary[name].unit
            for ending, values in (("", mean[:, place]), ("_error", error[:, place])):
                column = f"predicted_{name}{ending}"
                if column in stars.colnames:
                    raise CatalogError(f"{label} has a column {column!r} already; rename or drop it")
                result[column] = values * _unit(unit) if unit else values
        result["tokens_used"] = used.astype(np.int64)
        share = self.domain_share(tokens)
        result["domain_share"] = share
        result["in_domain"] = ~(share < LIMIT)
        result["reason"] = reason
        record(
            result, "answers of the star foundation model", request=list(names), given=list(given) if given else None,
            trained_on=self.history.get("data", ""), training_seed=self.history.get("seed"),
        )  # fmt: skip
        return result

    def domain_share(self, tokens: Tokens) -> NDArray[np.float64]:
        """Share of reference stars at least as unusual (see :class:`starloom.stars.domain.Domain`)."""
        if self.domain is None:
            return np.full(len(tokens), np.nan)
        return self.domain.share(self.vocabulary.standardize(tokens.values))

    def log_prob(self, table: Any, names: Sequence[str], *, given: Sequence[str] | None = None) -> NDArray[np.float64]:
        """ln density (stars, names) of the values that a table has of these kinds, each given all the others.

        The table's errors widen the density. Densities are per unit of the kind; NaN where a value is missing.
        """
        tokens = self.tokens(table)
        result = np.empty((len(tokens), len(names)))
        places = self.vocabulary.places(list(names))
        z = self.vocabulary.standardize(tokens.values[:, places], places)
        e = self.vocabulary.standardize_errors(tokens.values[:, places], tokens.errors[:, places], places)
        for column, name in enumerate(self._requests(names)):
            answers = self.ask(tokens, [name], given)
            variance = answers.sigma[:, 0] ** 2 + e[:, column] ** 2
            u = (tokens.values[:, places[column]] - self.vocabulary.center[places[column]]) / self.vocabulary.scale[
                places[column]
            ]
            slope = 1.0 / (self.vocabulary.scale[places[column]] * np.sqrt(1.0 + (u / self.vocabulary.bend) ** 2))
            away = (z[:, column] - answers.mean[:, 0]) ** 2 / variance
            result[:, column] = np.log(slope) - 0.5 * (away + np.log(2 * np.pi * variance))
        return result

    def sample(
        self, table: Any, request: Sequence[str], count: int, *, seed: int, given: Sequence[str] | None = None
    ) -> NDArray[np.float64]:
        """Draws (stars, requests, count) in the kinds' units; requests are independent of one another."""
        answers = self.ask(self.tokens(table), request, given)
        noise = generator(seed).standard_normal((*answers.mean.shape, count))
        drawn = answers.mean[..., None] + answers.sigma[..., None] * noise
        places = self.vocabulary.places(answers.names)
        return np.moveaxis(self.vocabulary.restore(np.moveaxis(drawn, 1, -1), places), -1, 1)

    # --------------------------------------------------------------------------------------------------- spectra

    def generate_spectrum(
        self, table: Any, *, given: Sequence[str] | None = None, wavelength: Any = SAMPLED_NM,
        bases: XpBases | None = None, g_magnitude: Any = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
        """Spectra of stars, from whatever is given of them.

        Parameters
        ----------
        table : the stars.
        given : kinds to look at; by default all that the table has, with the coefficients among them: inpainting. Ask
            for a spectrum from labels alone with ``given=["teff", "logg", "fe_h"]``.
        wavelength : nm.
        bases : GaiaXPy's by default, which are downloaded when they are first used (0.8 MB).
        g_magnitude : (stars,) G; fluxes are then in W m^-2 nm^-1, else over the flux in G.

        Returns
        -------
        flux, error : (stars, wavelengths); the error takes the coefficients as independent of one another.
        """
        tokens = self.tokens(table)
        return self.spectrum_of(tokens, given, wavelength=wavelength, bases=bases, g_magnitude=g_magnitude)

    def spectrum_of(
        self, tokens: Tokens, given: Sequence[str] | None = None, *, wavelength: Any = SAMPLED_NM,
        bases: XpBases | None = None, g_magnitude: Any = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
        """As ``generate_spectrum``, of tokens."""
        names = [kind.name for kind in self.vocabulary.kinds if kind.group == "xp"]
        if not names:
            raise ConfigError("this model was trained without spectra and cannot make one")
        shown = [self.vocabulary.names[p] for p in self.shown((), given)]
        places = self.vocabulary.places(names)
        answers = self.ask(tokens, names, shown)
        values = self.vocabulary.restore(answers.mean, places)
        errors = self.vocabulary.restore_errors(answers.mean, answers.sigma, places)
        known = bases or XpBases.from_gaiaxpy(wavelength)
        flux, error = known.sample(values), known.sample_errors(errors)
        if g_magnitude is not None:
            scale = g_flux(g_magnitude)[:, None]
            flux, error = flux * scale, error * scale
        return flux, error

    # ---------------------------------------------------------------------------------------------- looking inside

    def attention(
        self, table: Any, request: Sequence[str], *, given: Sequence[str] | None = None
    ) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """How much each request looks at each token: (stars, blocks, requests, kinds), heads averaged, and the kinds.

        What goes to the registers and the learned key is left out, so that rows sum to less than one.
        """
        names = self._requests(request)
        places, asked = self.shown(names, given), self.vocabulary.places(names)
        found = attention_of(self.network, self.vocabulary, self.tokens(table), places, asked)
        return found, self.vocabulary.names

    def embed(self, table: Any, *, given: Sequence[str] | None = None) -> NDArray[np.float32]:
        """A vector a star, from whatever is known of it, shape (stars, width)."""
        return vectors_of(self.network, self.vocabulary, self.tokens(table), self.shown((), given))

    def similar(
        self, table: Any, among: Any, *, count: int = 10, given: Sequence[str] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The most similar stars of another table: rows (stars, count), best first, and the cosine of the vectors.

        Vectors are standardized over the stars of ``among``.
        """
        return nearest(self.embed(table, given=given), self.embed(among, given=given), count)

    # ------------------------------------------------------------------------------------------------------ files

    def save(self, folder: str | Path) -> None:
        """Write ``model.json`` and ``model.safetensors``."""
        write_foundation(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> StarFoundation:
        """Read what ``save`` wrote.

        Raises
        ------
        ModelFileError
            When a file is missing or corrupt, or the numbers do not belong to the vocabulary.
        """
        return cls(**read_foundation(folder))

    @classmethod
    def shipped(cls) -> StarFoundation:
        """The small model that comes with Starloom, trained on real Gaia XP spectra of APOGEE stars."""
        return cls.load(SHIPPED)


def _unit(text: str) -> Any:
    from astropy import units

    return units.Unit(text)
