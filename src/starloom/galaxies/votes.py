"""Questions that volunteers answer about a galaxy, as a checked graph, and what their votes say.

A question is asked of a volunteer who gave one of the answers that lead to it; it may have several such answers, of
one question or of many. The model of arXiv:2102.08414 (section 4.1) gives each question a Dirichlet distribution over
its answers, by one concentration an answer; the votes are then Dirichlet-multinomial.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """One question.

    Parameters
    ----------
    name : its name.
    answers : names of the answers, at least two.
    after : the answers of other questions (``question_answer``) that lead here, each by itself; empty: always asked.
    """

    name: str
    answers: tuple[str, ...]
    after: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or len(self.answers) < 2:
            raise ConfigError(f"question {self.name!r} needs a name and at least two answers")
        for kind, names in (("answers", self.answers), ("parents", self.after)):
            if len(set(names)) < len(names) or not all(names):
                raise ConfigError(f"question {self.name!r}: its {kind} are not distinct or empty: {', '.join(names)}")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that hold its votes."""
        return tuple(f"{self.name}_{answer}" for answer in self.answers)


class VoteSchema:
    """Questions, in an order in which each comes after those that lead to it.

    Parameters
    ----------
    questions : the questions, in any order; the columns come out in this order.
    name : name of the schema.

    Raises
    ------
    ConfigError
        When there is none, a name is there twice, an answer that should lead to a question does not exist, or the
        questions lead to one another in a circle.

    Examples
    --------
    >>> schema = VoteSchema([
    ...     Question("disk", ("yes", "no")), Question("bar", ("strong", "weak", "no"), after=("disk_yes",)),
    ... ])
    >>> schema.columns
    ('disk_yes', 'disk_no', 'bar_strong', 'bar_weak', 'bar_no')
    >>> schema.answer_probabilities([[0.8, 0.2, 0.5, 0.25, 0.25]])
    array([[0.8, 0.2, 0.4, 0.2, 0.2]])
    """

    def __init__(self, questions: Iterable[Question], name: str = "questions") -> None:
        self.name = name
        self.questions = tuple(questions)
        if not self.questions:
            raise ConfigError(f"schema {name}: there is no question")
        names = [question.name for question in self.questions]
        if twice := sorted({one for one in names if names.count(one) > 1}):
            raise ConfigError(f"schema {name}: the question {twice[0]!r} is there more than once")
        self.columns = tuple(column for question in self.questions for column in question.columns)
        if twice := sorted({one for one in self.columns if self.columns.count(one) > 1}):
            raise ConfigError(f"schema {name}: two questions have the column {twice[0]!r}")
        self._owner = {column: question for question in self.questions for column in question.columns}
        self._place = {column: place for place, column in enumerate(self.columns)}
        for question in self.questions:
            for parent in question.after:
                if parent not in self._owner:
                    near = difflib.get_close_matches(parent, self.columns, 1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise ConfigError(
                        f"schema {name}: question {question.name!r} comes after {parent!r}, which is no answer of any "
                        f"question{hint}"
                    )
        self._order = self._sorted()
        self.membership = np.repeat(np.arange(len(self.questions)), [len(q.answers) for q in self.questions])

    def __repr__(self) -> str:
        return f"VoteSchema({self.name!r}, {len(self.questions)} questions, {len(self.columns)} answers)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VoteSchema) and self.questions == other.questions

    def __hash__(self) -> int:
        return hash(self.questions)

    @property
    def answers(self) -> dict[str, tuple[str, ...]]:
        """Question -> its answers."""
        return {question.name: question.answers for question in self.questions}

    def question(self, name: str) -> Question:
        """A question by its name; ConfigError when there is no such one."""
        for question in self.questions:
            if question.name == name:
                return question
        raise ConfigError(f"schema {self.name} has no question {name!r}; it has {', '.join(self.answers)}")

    def slice_of(self, question: str) -> slice:
        """Where the columns of a question are among the columns."""
        found = self.question(question)
        start = self._place[found.columns[0]]
        return slice(start, start + len(found.answers))

    def parents(self, question: str) -> tuple[str, ...]:
        """The questions that lead to a question, each once."""
        return tuple(dict.fromkeys(self._owner[answer].name for answer in self.question(question).after))

    def _sorted(self) -> tuple[Question, ...]:
        """Parents before children; raise when that cannot be."""
        done: dict[str, Question] = {}
        left = list(self.questions)
        while left:
            ready = [q for q in left if all(self._owner[a].name in done for a in q.after)]
            if not ready:
                circle = ", ".join(question.name for question in left)
                raise ConfigError(f"schema {self.name}: questions lead to one another in a circle: {circle}")
            done |= {question.name: question for question in ready}
            left = [question for question in left if question.name not in done]
        return tuple(done.values())

    def subset(self, names: Sequence[str], name: str | None = None) -> VoteSchema:
        """The questions of the names given, with the answers that lead to them only as far as these are there too."""
        chosen = [self.question(one) for one in names]
        there = {column for question in chosen for column in question.columns}
        kept = [Question(q.name, q.answers, tuple(a for a in q.after if a in there)) for q in chosen]
        return VoteSchema(kept, name or f"{self.name} (part)")

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it; ``VoteSchema.from_json`` reads it."""
        return {
            "name": self.name,
            "questions": [
                {"name": q.name, "answers": list(q.answers), "after": list(q.after)} for q in self.questions
            ],
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> VoteSchema:
        """A schema out of ``as_json``, or written by hand in that form; ConfigError when it has another one."""
        try:
            questions = [
                Question(str(q["name"]), tuple(map(str, q["answers"])), tuple(map(str, q.get("after", ()))))
                for q in content["questions"]
            ]
            name = str(content.get("name", "questions"))
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                'a schema is {"name": ..., "questions": [{"name": ..., "answers": [...], "after": [...]}]}; '
                f"this one is not: {type(error).__name__} {error}"
            ) from error
        return cls(questions, name)

    # votes and concentrations

    def loss(
        self, concentrations: Tensor, votes: Tensor, reduction: Literal["mean", "galaxy", "question"] = "mean"
    ) -> Tensor:
        """Negative log-likelihood of the votes, Dirichlet-multinomial in each question; with gradients.

        Parameters
        ----------
        concentrations : (galaxies, columns), positive.
        votes : (galaxies, columns), not negative; fractions of votes are allowed.
        reduction : ``mean`` over galaxies of the sum over questions; or (galaxies,); or (galaxies, questions).

        Returns
        -------
        Tensor
            A question without votes gives 0 and no gradient.

        Raises
        ------
        ConfigError
            When the shapes differ, or votes are negative or not finite.
        """
        from starloom.galaxies.vote_loss import dirichlet_multinomial

        self._check(concentrations)
        each = dirichlet_multinomial(concentrations, votes, self.membership)
        if reduction == "question":
            return each
        total = each.sum(dim=1)
        return total if reduction == "galaxy" else total.mean()

    def expected_fractions(self, concentrations: Any) -> Any:
        """Expected fraction of each answer, a / A with A the sum over the question; array in, array out; tensors too.

        Parameters
        ----------
        concentrations : (..., columns).
        """
        self._check(concentrations)
        return concentrations / self._totals(concentrations)

    def variances(self, concentrations: Any) -> Any:
        """Variance of the fraction of each answer, f (1 - f) / (A + 1)."""
        self._check(concentrations)
        totals = self._totals(concentrations)
        fractions = concentrations / totals
        return fractions * (1.0 - fractions) / (totals + 1.0)

    def vote_variances(self, concentrations: Any, totals: Any) -> Any:
        """Variance of the number of votes of each answer when the question gets N: N f (1 - f) (N + A) / (1 + A).

        Parameters
        ----------
        concentrations : (..., columns).
        totals : (..., columns) votes N of the question of each column, as :meth:`question_totals` gives them.
        """
        sums = self._totals(concentrations)
        return totals * (totals + sums) * self.variances(concentrations)

    def question_totals(self, votes: Any) -> Any:
        """Votes of the whole question, for each column."""
        self._check(votes)
        return self._totals(votes)

    def _totals(self, values: Any) -> Any:
        parts = [values[..., self.slice_of(q.name)] for q in self.questions]
        if hasattr(values, "sum") and not isinstance(values, np.ndarray):
            import torch

            return torch.cat([part.sum(-1, keepdim=True).expand(part.shape) for part in parts], dim=-1)
        return np.concatenate(
            [np.broadcast_to(np.sum(part, axis=-1, keepdims=True), np.shape(part)) for part in parts], axis=-1
        )

    def answer_probabilities(self, fractions: Any) -> Floats:
        """Probability that a volunteer is asked a question and gives this answer (leaf probabilities).

        Questions are taken as independent given the answers that lead to them. A question with several parents is
        asked once, whichever of them was given: what leads to it is summed over all ways through the graph.

        Parameters
        ----------
        fractions : (galaxies, columns) fractions of the answers in each question.

        Returns
        -------
        ndarray
            (galaxies, columns); the columns of a question sum to the probability that it is asked.
        """
        values = np.asarray(fractions, dtype=np.float64)
        self._check(values)
        result = np.empty(values.shape)
        for question in self.questions:
            part = self.slice_of(question.name)
            result[..., part] = values[..., part] * self._asked(question, values)[..., None]
        return result

    def asked(self, fractions: Any) -> Floats:
        """Probability that each question is asked of a volunteer, (galaxies, questions)."""
        values = np.asarray(fractions, dtype=np.float64)
        self._check(values)
        return np.stack([self._asked(question, values) for question in self.questions], axis=-1)

    def _asked(self, target: Question, values: Floats) -> Floats:
        """Sum over the answers to all ancestors; only answers that something later depends on are told apart."""
        ancestors: set[str] = set()
        front = [target]
        while front:
            above = {self._owner[answer].name for answer in front.pop().after} - ancestors
            ancestors |= above
            front += [self.question(name) for name in above]
        chain = [question for question in self._order if question.name in ancestors]
        states: dict[frozenset[str], Any] = {frozenset(): np.ones(values.shape[:-1])}
        for place, question in enumerate(chain):
            later = {answer for q in [*chain[place + 1 :], target] for answer in q.after}
            new: dict[frozenset[str], Any] = {}
            for given, probability in states.items():
                if question.after and not given.intersection(question.after):
                    outcomes = [(given, probability)]
                else:
                    outcomes = [
                        (given | {answer}, probability * values[..., self._place[answer]])
                        for answer in question.columns
                    ]
                for state, share in outcomes:
                    kept = frozenset(state & later)
                    new[kept] = new[kept] + share if kept in new else share
            states = new
        if not target.after:
            return np.ones(values.shape[:-1])
        total = np.zeros(values.shape[:-1])
        for given, probability in states.items():
            if given.intersection(target.after):
                total = total + probability
        return total

    def vote_intervals(self, concentrations: Any, totals: Any, level: float = 0.8) -> tuple[Floats, Floats]:
        """Smallest and largest number of votes of the central interval of each answer (beta-binomial quantiles).

        Parameters
        ----------
        concentrations : (galaxies, columns).
        totals : (galaxies, columns) votes of the question of each column.
        level : probability; votes are whole numbers, so that at least this much is inside.
        """
        from scipy.stats import betabinom

        if not 0.0 < level < 1.0:
            raise ConfigError(f"level must lie between 0 and 1, got {level}")
        values = np.asarray(concentrations, dtype=np.float64)
        self._check(values)
        rest = self._totals(values) - values
        whole = np.rint(np.asarray(totals, dtype=np.float64))
        low, high = (betabinom.ppf(tail, whole, values, rest) for tail in (0.5 - level / 2, 0.5 + level / 2))
        return np.asarray(low), np.asarray(high)

    def read_votes(self, table: Any, *, label: str = "the table") -> tuple[NDArray[np.float32], NDArray[np.str_]]:
        """Votes out of a table, and why a row cannot be used.

        Parameters
        ----------
        table : a QTable with some or all of the columns; those of questions that it lacks as a whole count as not
            asked.

        Returns
        -------
        votes : (rows, columns) float32; a missing value is no vote. 0 where the row cannot be used.
        reasons : (rows,) empty, or what is wrong with the row: a negative or infinite number, or no votes at all.

        Raises
        ------
        CatalogError
            When no question is there, or one with only a part of its answers.
        """
        from starloom.catalog.schema import plain

        votes = np.zeros((len(table), len(self.columns)), dtype=np.float64)
        reasons = np.zeros(len(table), dtype="U80")
        present = 0
        for question in self.questions:
            missing = [column for column in question.columns if column not in table.colnames]
            if len(missing) == len(question.columns):
                continue
            if missing:
                raise CatalogError(f"{label} has votes of {question.name!r} but lacks the column {missing[0]!r}")
            present += 1
            for column in question.columns:
                values = plain(table, column)
                bad = (values < 0) | np.isinf(values)
                reasons[bad & (reasons == "")] = f"{column} is negative or infinite"
                votes[:, self._place[column]] = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        if not present:
            raise CatalogError(f"{label} has no votes: none of the columns {', '.join(self.columns[:3])}, ... is there")
        reasons[(votes.sum(axis=1) <= 0) & (reasons == "")] = "no votes"
        votes[reasons != ""] = 0.0
        return votes.astype(np.float32), reasons

    def _check(self, values: Any) -> None:
        if values.shape[-1] != len(self.columns):
            raise ConfigError(
                f"schema {self.name} has {len(self.columns)} columns, and the values have {values.shape[-1]}"
            )


def joint(schemas: Sequence[VoteSchema], name: str = "joint") -> VoteSchema:
    """One schema of several campaigns; each galaxy has votes in its own campaign's columns and none elsewhere."""
    return VoteSchema([question for schema in schemas for question in schema.questions], name)


def schema(name: str) -> VoteSchema:
    """A schema by its name: a Galaxy Zoo campaign or one of the joint schemas; ConfigError when unknown."""
    from starloom.galaxies.vote_campaigns import campaign

    return campaign(name)
