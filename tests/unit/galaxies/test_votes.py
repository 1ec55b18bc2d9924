import itertools

import numpy as np
import pytest
import torch
from scipy.stats import dirichlet_multinomial as scipy_form

from starloom.catalog.tables import read_table
from starloom.errors import CatalogError, ConfigError
from starloom.galaxies import vote_campaigns
from starloom.galaxies.vote_loss import concentrations_of, dirichlet_multinomial
from starloom.galaxies.votes import Question, VoteSchema, joint, schema

ONE = np.zeros(1, dtype=np.int64)


def loss_of(votes, concentrations):
    k = torch.tensor(np.asarray([votes], dtype=float))
    a = torch.tensor(np.asarray([concentrations], dtype=float), requires_grad=True)
    value = dirichlet_multinomial(a, k, np.repeat(ONE, k.shape[1]))
    value.sum().backward()
    return float(value.detach()), a.grad.numpy()[0]


@pytest.mark.parametrize(
    ("votes", "concentrations", "expected"),
    [
        ((3, 1), (2, 2), 1.4759065),
        ((10, 20, 5), (3.5, 7, 1.2), 5.1603682),
        ((40, 0), (1, 1), np.log(41)),
        ((12, 28), (101, 101), 4.8412363),
        ((1, 0, 0, 0, 0, 0), (1,) * 6, np.log(6)),
    ],
)
def test_loss_has_its_reference_values(votes, concentrations, expected):
    assert loss_of(votes, concentrations)[0] == pytest.approx(expected, abs=1e-6)


def test_loss_without_votes_is_zero_with_no_gradient():
    value, gradient = loss_of((0, 0, 0), (1.5, 2.0, 40.0))
    assert value == 0.0
    assert (gradient == 0.0).all()


def test_loss_agrees_with_scipy_in_a_thousand_cases():
    rng = np.random.default_rng(1)
    for _ in range(1000):
        answers = rng.integers(2, 7)
        a = rng.uniform(1.0, 101.0, answers)
        k = rng.multinomial(rng.integers(1, 80), rng.dirichlet(np.ones(answers)))
        assert loss_of(k, a)[0] == pytest.approx(-scipy_form.logpmf(k, a, k.sum()), abs=1e-8)


def test_probabilities_of_all_outcomes_sum_to_one():
    a = (1.3, 7.0, 30.0)
    outcomes = [k for k in itertools.product(range(7), repeat=3) if sum(k) == 6]
    assert sum(np.exp(-loss_of(k, a)[0]) for k in outcomes) == pytest.approx(1.0, abs=1e-10)


def test_gradient_is_that_of_finite_differences_whatever_is_asked():
    chosen = schema("decals_dr5")
    rng = np.random.default_rng(2)
    votes = torch.tensor(rng.poisson(2.0, (3, 34)) * (rng.random((3, 34)) > 0.6) * 1.5)  # fractions of votes too
    start = torch.tensor(rng.uniform(1.0, 20.0, (3, 34)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: chosen.loss(a, votes, "question"), start, atol=1e-4)


def test_huge_votes_are_stable_and_half_precision_is_not_used_inside():
    a = (50.0, 101.0)
    value, gradient = loss_of((40_000, 60_000), a)
    assert value == pytest.approx(-scipy_form.logpmf((40_000, 60_000), a, 100_000), abs=1e-6)
    assert np.isfinite(gradient).all()
    half = concentrations_of(torch.tensor([[0.3, -2.0]], dtype=torch.bfloat16))
    assert half.dtype == torch.float32
    chosen = VoteSchema([Question("a", ("x", "y"))])
    single = chosen.loss(half, torch.tensor([[40_000.0, 60_000.0]]))
    assert float(single) == pytest.approx(-scipy_form.logpmf((40_000, 60_000), half[0].numpy(), 100_000), rel=1e-5)


def test_loss_of_a_schema_is_the_sum_over_its_questions():
    chosen = schema("gz2")
    rng = np.random.default_rng(3)
    votes = torch.tensor(rng.poisson(3.0, (4, 30)).astype(np.float32))
    a = torch.tensor(rng.uniform(1.0, 101.0, (4, 30)).astype(np.float32))
    by_question = chosen.loss(a, votes, "question")
    for place, question in enumerate(chosen.questions):
        part = chosen.slice_of(question.name)
        for row in range(4):
            k = votes[row, part].double().numpy()
            expected = -scipy_form.logpmf(k, a[row, part].double().numpy(), k.sum())
            assert float(by_question[row, place]) == pytest.approx(float(expected), abs=1e-6)
    assert torch.allclose(chosen.loss(a, votes, "galaxy"), by_question.sum(1))
    assert float(chosen.loss(a, votes)) == pytest.approx(float(by_question.sum(1).mean()))


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_votes_that_are_no_votes_are_refused(bad):
    chosen = VoteSchema([Question("a", ("x", "y"))])
    with pytest.raises(ConfigError, match="finite and not negative"):
        chosen.loss(torch.ones(1, 2), torch.tensor([[1.0, bad]]))
    with pytest.raises(ConfigError, match="shape"):
        chosen.loss(torch.ones(1, 2), torch.ones(2, 2))
    with pytest.raises(ConfigError, match="2 columns"):
        chosen.loss(torch.ones(1, 3), torch.ones(1, 3))


COUNTS = {
    "decals_dr12": (10, 30), "decals_dr5": (10, 34), "decals_dr8": (10, 34), "gz2": (10, 30), "hubble": (12, 34),
    "hubble_v2": (9, 28), "candels": (11, 32), "cosmic_dawn": (13, 45), "ukidss": (10, 30), "jwst": (12, 39),
    "euclid": (13, 46), "rings": (1, 2), "gz_evo_v1": (76, 239), "gz_evo_v1_public": (63, 194),
}  # fmt: skip


@pytest.mark.parametrize("name", vote_campaigns.names())
def test_campaigns_have_their_questions_and_answers(name):
    found = schema(name)
    if name in COUNTS:
        assert (len(found.questions), len(found.columns)) == COUNTS[name]
    assert VoteSchema.from_json(found.as_json()) == found
    # who is asked: at most everyone; the first question everyone
    fractions = found.expected_fractions(np.random.default_rng(1).gamma(1.0, size=(3, len(found.columns))))
    asked = found.asked(fractions)
    assert asked[:, 0] == pytest.approx(1.0)
    assert ((asked > 0) & (asked <= 1 + 1e-12)).all()
    given = found.answer_probabilities(fractions)
    for place, question in enumerate(found.questions):
        assert given[:, found.slice_of(question.name)].sum(axis=1) == pytest.approx(asked[:, place])


def test_columns_are_those_of_the_published_tables():
    assert schema("decals_dr5").columns[:4] == (
        "smooth-or-featured-dr5_smooth", "smooth-or-featured-dr5_featured-or-disk", "smooth-or-featured-dr5_artifact",
        "disk-edge-on-dr5_yes",
    )  # fmt: skip
    assert schema("hubble").question("spiral-winding-hubble").after == ("has-spiral-arms-hubble_yes",)
    assert schema("decals_dr5").parents("merging-dr5") == ("smooth-or-featured-dr5",)
    assert len(schema("decals_dr5").question("merging-dr5").after) == 2


def test_leaves_of_a_tree_sum_to_one():
    tree = VoteSchema(
        [
            Question("first", ("a", "b", "c")),
            Question("second", ("d", "e"), after=("first_a", "first_b")),
            Question("third", ("f", "g"), after=("second_e",)),
        ]
    )
    fractions = tree.expected_fractions(np.random.default_rng(5).gamma(1.0, size=(20, 7)))
    given = tree.answer_probabilities(fractions)
    leaves = [tree.columns.index(name) for name in ("first_c", "second_d", "third_f", "third_g")]
    assert given[:, leaves].sum(axis=1) == pytest.approx(1.0)


def test_parents_of_several_questions_count_once():
    """Against every path of a volunteer, walked one by one."""
    graph = VoteSchema(
        [
            Question("odd", ("yes", "no"), after=("arms_yes", "bar_yes", "type_smooth")),  # children may come first
            Question("type", ("smooth", "disk")),
            Question("bar", ("yes", "no"), after=("type_disk",)),
            Question("arms", ("yes", "no"), after=("bar_no", "type_disk")),
        ]
    )
    fractions = graph.expected_fractions(np.random.default_rng(6).gamma(1.0, size=(1, 8)))
    f = dict(zip(graph.columns, fractions[0], strict=True))
    expected = f["type_smooth"] + f["type_disk"] * (
        f["bar_yes"] + f["bar_no"] * f["arms_yes"]
    )  # with a bar the question is asked whatever the arms
    assert graph.asked(fractions)[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], "no question"),
        ([("a", ("x", "y"), ("b_z",))], "comes after 'b_z'"),
        ([("a", ("x", "y"), ("b_x",)), ("b", ("x", "y"), ("a_x",))], "circle"),
        ([("a", ("x", "y"), ("a_x",))], "circle"),
        ([("a", ("x", "y")), ("a", ("z", "w"))], "more than once"),
        ([("a_b", ("x", "y")), ("a", ("b_x", "c"))], "have the column"),
        ([("a", ("x",))], "at least two"),
        ([("a", ("x", "x"))], "not distinct"),
        ([("a", ("x", ""))], "not distinct or empty"),
    ],
)
def test_broken_schemas_are_refused(questions, message):
    with pytest.raises(ConfigError, match=message):
        VoteSchema([Question(*question) for question in questions])


def test_broken_json_and_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="a schema is"):
        VoteSchema.from_json({"questions": [{"name": "a"}]})
    with pytest.raises(ConfigError, match="did you mean 'gz2'"):
        schema("gz3")
    with pytest.raises(ConfigError, match="has no question"):
        schema("gz2").question("bar")
    with pytest.raises(ConfigError, match="more than once"):
        joint([schema("jwst"), schema("jwst_cosmos")])


def test_moments_are_those_of_draws():
    chosen = VoteSchema([Question("a", ("x", "y", "z")), Question("b", ("u", "v"))])
    a = np.array([[2.0, 5.0, 1.5, 3.0, 9.0]])
    rng = np.random.default_rng(7)
    fractions = np.concatenate([rng.dirichlet(a[0, :3], 200_000), rng.dirichlet(a[0, 3:], 200_000)], axis=1)
    assert chosen.expected_fractions(a)[0] == pytest.approx(fractions.mean(axis=0), abs=3e-3)
    assert chosen.variances(a)[0] == pytest.approx(fractions.var(axis=0), rel=0.02)
    votes = rng.binomial(30, fractions)
    totals = np.full((1, 5), 30.0)
    assert chosen.vote_variances(a, totals)[0] == pytest.approx(votes.var(axis=0), rel=0.02)
    low, high = chosen.vote_intervals(a, totals, 0.8)
    inside = ((votes >= low) & (votes <= high)).mean(axis=0)
    assert ((inside > 0.8) & (inside < 0.9)).all()
    tensors = torch.tensor(a)
    assert chosen.expected_fractions(tensors).numpy() == pytest.approx(chosen.expected_fractions(a))
    assert chosen.variances(tensors).numpy() == pytest.approx(chosen.variances(a))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        chosen.vote_intervals(a, totals, 1.0)


def test_votes_are_read_with_reasons():
    chosen = VoteSchema([Question("a", ("x", "y")), Question("b", ("u", "v"))])
    table = read_table({"a_x": [3.0, np.nan, -1.0, 0.0, np.inf], "a_y": [1.5, 2.0, 3.0, 0.0, 2.0]})
    votes, reasons = chosen.read_votes(table)
    assert votes[:2].tolist() == [[3.0, 1.5, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]
    assert reasons[:2].tolist() == ["", ""]
    assert ["negative" in reasons[2], reasons[3] == "no votes", "infinite" in reasons[4]] == [True, True, True]
    assert (votes[2:] == 0).all()
    with pytest.raises(CatalogError, match="lacks the column 'b_v'"):
        chosen.read_votes(read_table({"a_x": [1.0], "a_y": [1.0], "b_u": [1.0]}))
    with pytest.raises(CatalogError, match="has no votes"):
        chosen.read_votes(read_table({"c": [1.0]}))


def test_part_of_a_schema_keeps_what_leads_to_it():
    part = schema("gz2").subset(["disk-edge-on-gz2", "bar-gz2"])
    assert part.question("disk-edge-on-gz2").after == ()
    assert part.question("bar-gz2").after == ("disk-edge-on-gz2_no",)
