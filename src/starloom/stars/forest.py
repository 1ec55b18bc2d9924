"""A probabilistic random forest: laws instead of numbers, from inputs and labels that carry errors.

Every tree is fitted to its own resampling of the stars and to its own draw of their inputs, as in the probabilistic
forest behind arXiv:2305.15634 and arXiv:2302.05479; every tree sees a new star at its own draw too. Here the draw is
from what the true input may be: with a normal distribution N(m, v) of true inputs, whose m and v follow from the stars
and their errors e, it has mean ``m + (x - m) v / (v + e^2)`` and variance ``v e^2 / (v + e^2)``. A draw about the
measured value itself would add the error a second time.

The law of a new star is that of the training stars in its leaves, all trees pooled (quantile regression forests,
Meinshausen 2006), and is calibrated on stars that the trees did not see: a validation set, or each star by the trees
that left it out. Trees are grown by scikit-learn; then the forest is plain arrays, which can be saved without pickle.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from starloom.errors import CatalogError, ConfigError, ModelFileError
from starloom.seeds import generator
from starloom.stars import forest_errors
from starloom.stars import forest_kernels as kernels
from starloom.stars.forest_calibration import LEVELS, Calibration, interpolate
from starloom.stars.forest_trees import Trees, grow

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

KIND = "probabilistic forest 1"
BLOCK = 2048  # stars at a time
CENTRAL = (0.16, 0.84)


class ProbabilisticForest(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A random forest whose answers are calibrated laws.

    Parameters
    ----------
    n_trees : trees.
    min_samples_leaf : training stars in a leaf, at least.
    max_features : inputs tried at each split, as scikit-learn's trees take it; None for all.
    seed : of resampling, of draws within errors and of the trees.
    error_share : width of the draws in units of the width of what a true input may be. 0 only pulls uncertain inputs
        in, 1 makes full draws, which wash out what the labels would still tell; a half did well in trials on
        made relations, whose results are not kept.
    calibrate : learn bias, spread and levels on the validation set or on the stars each tree left out.
    workers : threads that grow trees; the result does not depend on it.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x = rng.uniform(size=(400, 2))
    >>> y = x[:, 0] + rng.normal(0.0, 0.1, 400)
    >>> forest = ProbabilisticForest(n_trees=50, seed=1).fit(x, y)
    >>> low, middle, high = forest.predict_quantiles([[0.5, 0.5]], [0.16, 0.5, 0.84])[0]
    >>> bool(0.3 < low < middle < high < 0.7)
    True
    """

    def __init__(
        self,
        n_trees: int = 100,
        min_samples_leaf: int = 5,
        max_features: int | float | str | None = None,
        seed: int = 1,
        error_share: float = 0.5,
        calibrate: bool = True,
        workers: int = 1,
    ) -> None:
        self.n_trees = n_trees
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.seed = seed
        self.error_share = error_share
        self.calibrate = calibrate
        self.workers = workers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.multi_output = True
        return tags

    # -------------------------------------------------------------------------------------------------------- fitting

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_error: ArrayLike | None = None,
        y_error: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        validation: tuple[ArrayLike, ...] | None = None,
    ) -> Self:
        """Grow the trees and calibrate them.

        Parameters
        ----------
        X : inputs (n, F); NaN where missing.
        y : labels (n,) or (n, O).
        X_error : standard errors of the inputs (n, F) or (F,); NaN counts as none.
        y_error : standard errors s of the labels, shape of y; NaN counts as none. A star weighs 1 / (s^2 + t^2), the
            squares averaged over the outputs in units of their scatter, where t is how labels scatter at given inputs
            beyond their errors, found by a few trees on stars that they left out.
        sample_weight : further weights (n,).
        validation : ``(X, y)`` or ``(X, y, X_error)`` of stars to calibrate on, which are not in X.

        Returns
        -------
        ProbabilisticForest
            Itself.

        Raises
        ------
        CatalogError
            When labels are not finite, errors are negative, or all weights are zero.
        ConfigError
            When a setting is out of its range.
        """
        self._check_settings()
        inputs, labels = validate_data(
            self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", multi_output=True, y_numeric=True
        )
        self._single_ = labels.ndim == 1
        labels = np.asarray(labels, dtype=np.float64).reshape(len(inputs), -1)
        errors = forest_errors.checked_errors(X_error, inputs, "X_error")
        self.true_inputs_ = forest_errors.true_inputs(inputs, errors)
        inputs, errors = self._seen(inputs, errors)
        weights = _check_sample_weight(sample_weight, inputs, dtype=np.float64, ensure_non_negative=True)
        scale = np.std(labels, axis=0)
        scale[~(scale > 0)] = 1.0
        if y_error is not None:
            weights = weights * self._label_weights(y_error, inputs, labels, weights, scale)
        self.labels_ = labels
        self.deviates_ = forest_errors.even_deviates(self.n_trees, inputs.shape[1], self.seed)
        grown, left_out = grow(
            inputs, labels / scale, errors, weights, trees=self.n_trees, seed=self.seed, workers=self.workers,
            min_samples_leaf=self.min_samples_leaf, max_features=self.max_features,
        )  # fmt: skip
        self.trees_ = replace(grown, value=grown.value * scale)
        self._order()
        self.calibrations_ = [Calibration.none(inputs.shape[1])] * labels.shape[1]
        if self.calibrate:
            self._calibrate(inputs, labels, errors, left_out, validation)
        return self

    def _check_settings(self) -> None:
        for name in ("n_trees", "min_samples_leaf", "workers"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ConfigError(f"{name} must be a positive whole number, got {value!r}")
        if not 0.0 <= self.error_share <= 1.0:
            raise ConfigError(f"error_share must lie between 0 and 1, got {self.error_share!r}")

    def _seen(self, inputs: Floats, errors: Floats | None) -> tuple[Floats, Floats | None]:
        """What the trees see of measured inputs: the expected true ones, and the widths of the draws."""
        expected, width = forest_errors.seen(inputs, errors, self.true_inputs_)
        return expected, None if width is None else self.error_share * width

    def _blur(self, widths: Floats | None, stars: Floats) -> Floats:
        """Which share of the scatter of each input is error, of each star (n, F)."""
        if widths is None or self.error_share == 0.0:
            return np.zeros_like(stars)
        return np.asarray((widths / self.error_share) ** 2 / self.true_inputs_[1])

    def _label_weights(
        self, y_error: ArrayLike, inputs: Floats, labels: Floats, weights: Floats, scale: Floats
    ) -> Floats:
        """What the labels weigh (n,) by their errors."""
        given = np.asarray(y_error, dtype=np.float64)
        label_errors = forest_errors.checked_errors(given.reshape(len(labels), -1), labels, "y_error")
        assert label_errors is not None  # it was given
        few, left_out = grow(
            inputs, labels / scale, None, weights, trees=PILOT_TREES, seed=self.seed, workers=self.workers,
            min_samples_leaf=self.min_samples_leaf, max_features=self.max_features,
        )  # fmt: skip
        answers = few.value[few.leaves(inputs, None, np.zeros((PILOT_TREES, inputs.shape[1])))] * scale
        seen = left_out.any(axis=1)
        residuals = np.full_like(labels, np.nan)
        count = left_out[seen].sum(axis=1)[:, None]
        residuals[seen] = labels[seen] - (answers[seen] * left_out[seen, :, None]).sum(axis=1) / count
        return forest_errors.label_weights(label_errors, residuals, scale)

    def _order(self) -> None:
        """The training labels in order, one column an output."""
        order = np.argsort(self.labels_, axis=0, kind="stable")
        self._ordered = np.take_along_axis(self.labels_, order, axis=0)
        rank = np.empty(order.shape, dtype=np.int32)
        np.put_along_axis(rank, order, np.arange(len(order), dtype=np.int32)[:, None], axis=0)
        self._rank = [np.ascontiguousarray(column[self.trees_.member]) for column in rank.T]  # of the leaves' members

    def _calibrate(
        self, inputs: Floats, labels: Floats, errors: Floats | None, left_out: NDArray[np.bool_],
        validation: tuple[ArrayLike, ...] | None,
    ) -> None:  # fmt: skip
        if validation is None:
            seen = np.flatnonzero(left_out.any(axis=1))
            if len(seen) > MOST_TO_CALIBRATE:
                seen = np.sort(generator(self.seed).choice(seen, MOST_TO_CALIBRATE, replace=False))
            stars, truth, used = inputs[seen], labels[seen], left_out[seen]
            star_errors = None if errors is None else errors[seen]
        else:
            if not 2 <= len(validation) <= 3:
                raise ConfigError("validation is (X, y) or (X, y, X_error)")
            stars, star_errors = self._inputs(validation[0], validation[2] if len(validation) > 2 else None)
            truth = np.asarray(validation[1], dtype=np.float64).reshape(len(stars), -1)
            if truth.shape[1] != labels.shape[1] or not np.isfinite(truth).all():
                raise CatalogError(f"validation labels must be finite and have {labels.shape[1]} columns")
            used = np.empty((0, self.n_trees), dtype=bool)
        found = self.trees_.leaves(stars, star_errors, self.deviates_)
        means = self._means(found, used)
        self.calibrations_ = [
            Calibration.learn(
                stars,
                self._blur(star_errors, stars),
                self._raw(found, used, output),
                means[:, output],
                truth[:, output],
            )
            for output in range(labels.shape[1])
        ]

    # ------------------------------------------------------------------------------------------------------ answering

    def predict(self, X: ArrayLike, X_error: ArrayLike | None = None) -> Floats:
        """Mean labels with the bias taken out, (n,) or (n, O)."""
        parts = [means for _, means, _ in self._blocks(X, X_error, laws=False)]
        return self._shaped(np.concatenate(parts))

    def predict_quantiles(self, X: ArrayLike, quantiles: ArrayLike, X_error: ArrayLike | None = None) -> Floats:
        """Quantiles of the calibrated law, (n, q) or (n, O, q).

        Raises
        ------
        ConfigError
            When a quantile is not between 0 and 1.
        """
        wanted = np.atleast_1d(np.asarray(quantiles, dtype=np.float64))
        if wanted.ndim != 1 or not ((wanted >= 0) & (wanted <= 1)).all():
            raise ConfigError(f"quantiles are a list of numbers between 0 and 1, not {quantiles!r}")
        parts = [
            np.stack([interpolate(law, wanted) for law in laws], axis=1) for _, _, laws in self._blocks(X, X_error)
        ]
        return self._shaped(np.concatenate(parts))

    def predict_spread(self, X: ArrayLike, X_error: ArrayLike | None = None) -> Floats:
        """Half of the width of the central 68 % of the calibrated law, (n,) or (n, O)."""
        found = self.predict_quantiles(X, CENTRAL, X_error)
        return np.asarray(0.5 * (found[..., 1] - found[..., 0]))

    def sample(
        self, X: ArrayLike, size: int, seed: int | np.random.Generator, X_error: ArrayLike | None = None
    ) -> Floats:
        """Draws from the calibrated law, (n, size) or (n, size, O); outputs stay tied as in the training stars.

        Raises
        ------
        ConfigError
            When the size is not positive.
        """
        if size < 1:
            raise ConfigError(f"size must be at least 1, got {size}")
        rng, parts = generator(seed), []
        for found, _, laws in self._blocks(X, X_error):
            drawn = np.empty((len(found), size), dtype=np.int64)
            uniform = rng.random((len(found), size, 2))
            kernels.drawn_members(found, self.trees_.first, self.trees_.member, self.trees_.weight, uniform, drawn)
            columns = []
            for output, law in enumerate(laws):
                raw = self._raw(found, np.empty((0, self.n_trees), dtype=bool), output)
                value = self.labels_[drawn, output]
                place = np.empty(value.shape)
                kernels.turned(value, raw, law, rng.random(value.shape), place)
                columns.append(place)
            parts.append(np.stack(columns, axis=-1))
        joined = np.concatenate(parts)
        return np.asarray(joined[..., 0] if self._single_ else joined)

    def _blocks(self, X: ArrayLike, X_error: ArrayLike | None, laws: bool = True) -> Any:
        """Leaves, means with the bias taken out and calibrated laws, a block of stars at a time."""
        stars, errors = self._inputs(X, X_error)
        used, blur = np.empty((0, self.n_trees), dtype=bool), self._blur(errors, stars)
        for start in range(0, len(stars), BLOCK):
            part = slice(start, start + BLOCK)
            found = self.trees_.leaves(stars[part], None if errors is None else errors[part], self.deviates_)
            means = self._means(found, used)
            calibrated = []
            for output, calibration in enumerate(self.calibrations_):
                if laws:
                    raw = self._raw(found, used, output)
                    calibrated.append(calibration.apply(stars[part], blur[part], raw, means[:, output]))
            shifts = [calibration.shift(stars[part]) for calibration in self.calibrations_]
            yield found, means + np.stack(shifts, axis=1), calibrated

    def checked(self, X: ArrayLike) -> Floats:
        """Inputs (n, F) as the forest takes them; ValueError for infinite ones or another number of columns."""
        check_is_fitted(self, "trees_")
        return np.ascontiguousarray(
            validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        )

    def _inputs(self, X: ArrayLike, X_error: ArrayLike | None) -> tuple[Floats, Floats | None]:
        stars = self.checked(X)
        return self._seen(stars, forest_errors.checked_errors(X_error, stars, "X_error"))

    def _means(self, found: Integers, used: NDArray[np.bool_]) -> Floats:
        values = self.trees_.value[found]
        if len(used) == 0:
            return np.asarray(values.mean(axis=1))
        return np.asarray((values * used[..., None]).sum(axis=1) / used.sum(axis=1)[:, None])

    def _raw(self, found: Integers, used: NDArray[np.bool_], output: int) -> Floats:
        out = np.empty((len(found), len(LEVELS)))
        trees = self.trees_
        kernels.quantile_functions(
            found, used, trees.first, self._rank[output], trees.weight,
            np.ascontiguousarray(self._ordered[:, output]), LEVELS, out,
        )  # fmt: skip
        return out

    def _shaped(self, values: Floats) -> Floats:
        return np.asarray(values[:, 0] if self._single_ else values)

    # --------------------------------------------------------------------------------------------------------- keeping

    def save(self, folder: str | Path) -> None:
        """Save into a folder: ``model.safetensors`` and ``model.json``."""
        import torch

        from starloom.neural.checkpoints import save_folder

        check_is_fitted(self, "trees_")
        tensors = {f"trees.{entry.name}": getattr(self.trees_, entry.name) for entry in fields(Trees)}
        tensors |= {"labels": self.labels_, "deviates": self.deviates_, "true_inputs": self.true_inputs_}
        widths = []
        for place, calibration in enumerate(self.calibrations_):
            widths.append(calibration.width)
            for name in ("center", "scale", "bias", "stretch", "levels"):
                tensors[f"calibration.{place}.{name}"] = getattr(calibration, name)
        names = getattr(self, "feature_names_in_", None)
        settings = {
            "settings": self.get_params(),
            "single": self._single_,
            "features": self.n_features_in_,
            "names": None if names is None else [str(name) for name in names],
            "widths": widths,
        }
        save_folder(folder, KIND, settings, {k: torch.from_numpy(np.array(v)) for k, v in tensors.items()})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load what ``save`` wrote.

        Raises
        ------
        ModelFileError
            When the folder holds no such model, or pieces of it are missing.
        """
        from starloom.neural.checkpoints import load_folder

        settings, tensors = load_folder(folder, KIND)
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        try:
            forest = cls(**settings["settings"])
            forest.trees_ = Trees(**{entry.name: arrays[f"trees.{entry.name}"] for entry in fields(Trees)})
            forest.labels_, forest.deviates_ = arrays["labels"], arrays["deviates"]
            forest.true_inputs_ = arrays["true_inputs"]
            names = ("center", "scale", "bias", "stretch", "levels")
            forest.calibrations_ = [
                Calibration(width=float(width), **{name: arrays[f"calibration.{place}.{name}"] for name in names})
                for place, width in enumerate(settings["widths"])
            ]
            forest._single_, forest.n_features_in_ = bool(settings["single"]), int(settings["features"])
            if settings["names"] is not None:
                forest.feature_names_in_ = np.array(settings["names"], dtype=object)
        except (KeyError, TypeError) as error:
            raise ModelFileError(f"{folder} lacks pieces of the forest ({error}); fit and save it anew") from error
        forest._order()
        return forest


MOST_TO_CALIBRATE = 4000
"""Stars on which a forest is calibrated, at most."""
PILOT_TREES = 12
"""Trees that tell how labels scatter beyond their errors."""
