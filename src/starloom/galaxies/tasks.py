"""What is asked of images: one class of several, numbers, or the votes of a question schema."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from starloom.errors import CatalogError, ConfigError
from starloom.galaxies.vote_loss import concentrations_of, dirichlet_multinomial, start_head
from starloom.galaxies.votes import VoteSchema

Floats = NDArray[np.float64]


class Task(ABC):
    """A question that a layer on top of an encoder answers."""

    outputs: int

    @abstractmethod
    def targets(self, labels: Any) -> tuple[Tensor, NDArray[np.str_]]:
        """Training targets of labels (a table, or an array), and why a row cannot be used."""

    @abstractmethod
    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each image."""

    @abstractmethod
    def answers(self, outputs: Tensor) -> dict[str, Any]:
        """Columns of answers of the outputs (samples, images, outputs) of one or more passes."""

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""

    def start(self, layer: nn.Linear, generator: torch.Generator) -> None:
        """Fresh weights of the last layer."""
        with torch.no_grad():
            layer.weight.uniform_(-1.0, 1.0, generator=generator).mul_(layer.in_features**-0.5)
            layer.bias.zero_()

    def classes_for_split(self, targets: Tensor) -> NDArray[np.int64]:
        """What a split into folds keeps in proportion."""
        return np.zeros(len(targets), dtype=np.int64)


class Classification(Task):
    """One class of several.

    Parameters
    ----------
    classes : the classes, text or integers; at least two.
    column : column of the label in a table.
    label_smoothing : share of the probability spread over all classes in training.
    class_weights : weight of each class in the loss; by default all are alike.
    """

    def __init__(
        self, classes: Sequence[Any], column: str = "label", *, label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        self.classes = tuple(int(one) if isinstance(one, (int, np.integer)) else str(one) for one in classes)
        if len(self.classes) < 2 or len(set(map(str, self.classes))) < len(self.classes):
            raise ConfigError(f"a classification needs two or more distinct classes, not {self.classes}")
        if not 0.0 <= label_smoothing < 1.0:
            raise ConfigError(f"label_smoothing lies in [0, 1), not {label_smoothing}")
        if class_weights is not None and (len(class_weights) != len(self.classes) or min(class_weights) <= 0):
            raise ConfigError(f"one positive weight for each of {len(self.classes)} classes, please: {class_weights}")
        self.column, self.label_smoothing = column, label_smoothing
        self.class_weights = None if class_weights is None else tuple(float(w) for w in class_weights)
        self.outputs = len(self.classes)

    def targets(self, labels: Any) -> tuple[Tensor, NDArray[np.str_]]:
        """Numbers of the classes."""
        values, missing = _column(labels, self.column)
        names = {str(one): place for place, one in enumerate(self.classes)}
        text = [_plain(value) for value in values]
        found = np.array([names.get(value, -1) for value in text], dtype=np.int64)
        reasons = np.zeros(len(found), dtype="U80")
        for row in np.flatnonzero(found < 0):
            reasons[row] = "no label" if missing[row] or text[row] in ("", "nan") else f"unknown class {text[row]}"
        reasons[missing] = "no label"
        return torch.from_numpy(np.where(reasons == "", found, 0)), reasons

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy."""
        weights = None if self.class_weights is None else torch.tensor(self.class_weights, device=outputs.device)
        return functional.cross_entropy(
            outputs.float() if outputs.dtype != torch.float64 else outputs, targets,
            None if weights is None else weights.to(outputs.dtype if outputs.dtype == torch.float64 else torch.float32),
            label_smoothing=self.label_smoothing, reduction="none",
        )  # fmt: skip

    def answers(self, outputs: Tensor) -> dict[str, Any]:
        """The likeliest class, the probability of each, and their scatter over the passes."""
        each = torch.softmax(outputs.double(), dim=-1)
        mean = each.mean(dim=0)
        columns: dict[str, Any] = {"class": np.array(self.classes)[mean.argmax(dim=1).numpy()]}
        for place, one in enumerate(self.classes):
            columns[f"probability_{one}"] = mean[:, place].numpy()
        if len(each) > 1:
            for place, one in enumerate(self.classes):
                columns[f"probability_{one}_error"] = each[:, :, place].std(dim=0).numpy()
        return columns

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        weights = None if self.class_weights is None else list(self.class_weights)
        return {
            "kind": "classification", "classes": list(self.classes), "column": self.column,
            "label_smoothing": self.label_smoothing, "class_weights": weights,
        }  # fmt: skip

    def classes_for_split(self, targets: Tensor) -> NDArray[np.int64]:
        """The classes."""
        return np.asarray(targets.numpy(), dtype=np.int64)


class Regression(Task):
    """One or more numbers.

    Parameters
    ----------
    columns : columns of the numbers.
    loss : ``mse`` or ``mae``.
    unit_interval : whether they lie between 0 and 1, as vote fractions do; answers then do too.
    """

    def __init__(
        self,
        columns: str | Sequence[str] = "label",
        *,
        loss: Literal["mse", "mae"] = "mse",
        unit_interval: bool = False,
    ) -> None:
        self.columns = (columns,) if isinstance(columns, str) else tuple(columns)
        if not self.columns or loss not in ("mse", "mae"):
            raise ConfigError(f"a regression needs columns ({self.columns}) and the loss mse or mae ({loss!r})")
        self.loss, self.unit_interval, self.outputs = loss, unit_interval, len(self.columns)

    def targets(self, labels: Any) -> tuple[Tensor, NDArray[np.str_]]:
        """The numbers."""
        if isinstance(labels, np.ndarray) and labels.ndim == 2:
            values = labels.astype(np.float64)
        else:
            values = np.stack([_numbers(*_column(labels, name), name) for name in self.columns], axis=1)
        if values.shape[1] != self.outputs:
            raise CatalogError(f"labels have {values.shape[1]} columns where {self.outputs} were expected")
        reasons = np.where(np.isfinite(values).all(axis=1), "", "no label").astype("U80")
        if self.unit_interval:
            outside = (reasons == "") & ((values < 0) | (values > 1)).any(axis=1)
            reasons[outside] = "label outside 0 to 1"
        return torch.from_numpy(np.where((reasons == "")[:, None], values, 0.0)).float(), reasons

    def _values(self, outputs: Tensor) -> Tensor:
        return torch.sigmoid(outputs) if self.unit_interval else outputs

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared or absolute differences, mean over the numbers."""
        away = self._values(outputs) - targets.to(outputs.dtype)
        return (away**2 if self.loss == "mse" else away.abs()).mean(dim=1)

    def answers(self, outputs: Tensor) -> dict[str, Any]:
        """The numbers, and their scatter over the passes."""
        each = self._values(outputs.double())
        columns: dict[str, Any] = {}
        for place, name in enumerate(self.columns):
            columns[f"predicted_{name}"] = each[:, :, place].mean(dim=0).numpy()
            if len(each) > 1:
                columns[f"predicted_{name}_error"] = each[:, :, place].std(dim=0).numpy()
        return columns

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "kind": "regression", "columns": list(self.columns), "loss": self.loss, "unit_interval": self.unit_interval
        }  # fmt: skip


class Votes(Task):
    """The votes of volunteers on the questions of a schema."""

    def __init__(self, schema: VoteSchema) -> None:
        self.schema, self.outputs = schema, len(schema.columns)

    def targets(self, labels: Any) -> tuple[Tensor, NDArray[np.str_]]:
        """Votes; from a table by the names of the columns, from an array in the schema's order."""
        if isinstance(labels, np.ndarray):
            if labels.ndim != 2 or labels.shape[1] != self.outputs:
                raise CatalogError(f"votes have the shape {labels.shape}, not (n, {self.outputs})")
            from starloom.catalog.tables import read_table

            labels = read_table({name: labels[:, place] for place, name in enumerate(self.schema.columns)})
        votes, reasons = self.schema.read_votes(labels, label="the labels")
        return torch.from_numpy(votes), reasons

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood of the votes, summed over questions."""
        return dirichlet_multinomial(concentrations_of(outputs), targets, self.schema.membership).sum(dim=1)

    def answers(self, outputs: Tensor) -> dict[str, Any]:
        """Expected fraction of each answer, its error, the concentration, and how likely it is to be given at all.

        Over several passes the fractions are means; the error has the scatter of the passes too. The concentrations
        are those of one pass, or the Dirichlet distribution of the same mean and mean variance.
        """
        a = concentrations_of(outputs.double())
        fractions, within = self.schema.expected_fractions(a), self.schema.variances(a)
        mean, variance = fractions.mean(dim=0), within.mean(dim=0) + fractions.var(dim=0, unbiased=False)
        if len(a) == 1:
            together = a[0]
        else:
            together = self._matched(mean, variance)
        given = self.schema.answer_probabilities(mean.numpy())
        columns: dict[str, Any] = {}
        for place, name in enumerate(self.schema.columns):
            columns[f"{name}_fraction"] = mean[:, place].numpy()
            columns[f"{name}_fraction_error"] = variance[:, place].sqrt().numpy()
            columns[f"{name}_concentration"] = together[:, place].numpy()
            columns[f"{name}_probability"] = given[:, place]
        return columns

    def _matched(self, mean: Tensor, variance: Tensor) -> Tensor:
        result = torch.empty_like(mean)
        for question in self.schema.questions:
            part = self.schema.slice_of(question.name)
            spread = (mean[:, part] * (1 - mean[:, part])).sum(1, keepdim=True) / variance[:, part].sum(1, keepdim=True)
            result[:, part] = mean[:, part] * (spread - 1.0).clamp_min(1e-3)
        return result

    def concentrations(self, columns: Mapping[str, Any]) -> Floats:
        """Concentrations (n, answers) out of a table of answers."""
        return np.stack([np.asarray(columns[f"{name}_concentration"]) for name in self.schema.columns], axis=1)

    def start(self, layer: nn.Linear, generator: torch.Generator) -> None:
        """All answers possible."""
        start_head(layer, generator)

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"kind": "votes", "schema": self.schema.as_json()}


def task_of(content: Mapping[str, Any]) -> Task:
    """A task out of its ``as_json``; ConfigError when it is none."""
    kind = content.get("kind")
    if kind == "classification":
        return Classification(
            content["classes"], content["column"], label_smoothing=content["label_smoothing"],
            class_weights=content["class_weights"],
        )  # fmt: skip
    if kind == "regression":
        return Regression(content["columns"], loss=content["loss"], unit_interval=content["unit_interval"])
    if kind == "votes":
        return Votes(VoteSchema.from_json(content["schema"]))
    raise ConfigError(f"no task is called {kind!r}; known: classification, regression, votes")


def _column(labels: Any, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    if isinstance(labels, (np.ndarray, list, tuple)):
        values = np.asarray(labels)
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise CatalogError(f"labels have the shape {values.shape}, where one an image was expected")
        return values, np.zeros(len(values), dtype=bool)
    if name not in labels.colnames:
        raise CatalogError(f"the labels lack the column {name!r}; there are {', '.join(labels.colnames[:20])}")
    column = labels[name]
    mask = np.ma.getmaskarray(np.ma.asarray(getattr(column, "value", column)))
    return np.ma.getdata(np.ma.asarray(getattr(column, "value", column))), np.asarray(mask, dtype=bool)


def _numbers(values: NDArray[Any], missing: NDArray[np.bool_], name: str) -> Floats:
    if values.dtype.kind not in "fiub":
        raise CatalogError(f"labels {name!r} are {values.dtype}, not numbers")
    return np.where(missing, np.nan, values.astype(np.float64))


def _plain(value: Any) -> str:
    """1, 1.0 and True of the same class are one."""
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()
