from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from starloom.errors import ConfigError
from starloom.stars.network import (
    PAPER,
    SMALL,
    Architecture,
    Attention,
    StarNetwork,
    attention_products,
    count_parameters,
)
from starloom.stars.training import forward_flops

SHAPES = {
    "small": Architecture(dimension=32, decoder=((2, 64),), head=(32,), summary=64, registers=2),
    "completed": Architecture(dimension=32, decoder=((2, 64),), head=(32,), summary=64, registers=2,
                              components=2, factors=3),
    "paper": Architecture(dimension=32, encoder=((4, 64), (2, 32)), decoder=((4, 64), (2, 32)), head=(48, 24),
                          pre_norm=False, summary=0, summary_layers=0, registers=0, dropout=0.1),
}  # fmt: skip


def network(name):
    torch.manual_seed(1)
    made = StarNetwork(20, SHAPES[name]).eval()
    if made.completion is not None:
        made.completion.loadings.normal_()
    return made


def batch(stars=7, places=9):
    torch.manual_seed(2)
    kinds = torch.stack([torch.randperm(20)[:places] + 1 for _ in range(stars)])
    kinds[0, 4:] = 0
    kinds[1] = 0
    values = torch.randn(stars, places) * (kinds > 0)
    return kinds, values, torch.tensor([1, 5, 20]).expand(stars, -1)


def test_the_paper_s_network_has_its_number_of_parameters():
    assert count_parameters(StarNetwork(118, PAPER)) == 8_845_529
    assert PAPER.dropout == 0.1
    assert count_parameters(StarNetwork(118, SMALL)) * 4 < 5e6


@pytest.mark.parametrize("name", SHAPES)
def test_order_padding_and_batches_change_nothing(name):
    model, (kinds, values, asked) = network(name), batch()
    with torch.inference_mode():
        plain = torch.stack(model(kinds, values, asked))
        order = torch.randperm(kinds.shape[1])
        turned = torch.stack(model(kinds[:, order], values[:, order], asked))
        padded = torch.stack(model(nn.functional.pad(kinds, (3, 5)), nn.functional.pad(values, (3, 5)), asked))
        single = torch.cat([torch.stack(model(kinds[[k]], values[[k]], asked[[k]])) for k in range(len(kinds))], dim=1)
        alone = torch.stack(model(kinds, values, asked[:, 1:2]))
    for other in (turned, padded, single):
        assert (plain - other).abs().max() < 1e-5
    assert (plain[:, :, 1:2] - alone).abs().max() < 1e-5  # requests do not see one another
    assert torch.isfinite(plain).all()  # of a star without any token too


@pytest.mark.parametrize("name", SHAPES)
def test_every_parameter_learns(name):
    model, (kinds, values, asked) = network(name).train(), batch(40)
    mean, log_variance = model(kinds, values, asked)
    (mean.square() + log_variance).sum().backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize(("heads", "places", "folds"), [(4, 6, False), (2, 40, True)])
def test_attention_is_pytorch_s(heads, places, folds):
    """Our attention against torch's own, with its added key and value: both ways to count it, and their gradients."""
    torch.manual_seed(3)
    whole, folded = attention_products(24, heads, 3, places)
    assert (folded < whole) == folds
    mine = Attention(24, heads, 0.0).eval()
    theirs = nn.MultiheadAttention(24, heads, add_bias_kv=True, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(mine.weight)
        theirs.in_proj_bias.copy_(torch.randn(72))
        mine.bias.copy_(theirs.in_proj_bias)
        theirs.bias_k.copy_(mine.key[None, None])
        theirs.bias_v.copy_(mine.value[None, None])
        theirs.out_proj.load_state_dict(mine.out.state_dict())
    query, memory = torch.randn(5, 3, 24), torch.randn(5, places, 24)
    hidden = torch.zeros(5, places, dtype=torch.bool)
    hidden[0, 2:] = True
    hidden[1] = True
    absent = torch.zeros(5, places).masked_fill(hidden, float("-inf"))
    found, weights = mine(query, memory, absent), mine.weights(query, memory, absent)
    expected, mean_weights = theirs(query, memory, memory, key_padding_mask=hidden)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights.mean(1), mean_weights, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(5, heads, 3))
    found.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(mine.weight.grad, theirs.in_proj_weight.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mine.bias.grad, theirs.in_proj_bias.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mine.key.grad, theirs.bias_k.grad[0, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mine.value.grad, theirs.bias_v.grad[0, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mine.out.weight.grad, theirs.out_proj.weight.grad, atol=1e-4, rtol=1e-4)


def test_a_shape_must_divide():
    with pytest.raises(ConfigError, match="does not divide"):
        Architecture(dimension=30, decoder=((4, 8),))
    with pytest.raises(ConfigError, match="needs a block"):
        Architecture(decoder=())
    assert Architecture.from_json(PAPER.as_json()) == PAPER


def test_flops_are_those_of_the_matrices():
    """Counted by torch on the network itself."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    for name, shape in SHAPES.items():
        model, (kinds, values, asked) = network(name), batch(200)  # so many that folding the weights counts little
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # it cannot count the fused one
            model(kinds, values, asked)
        expected = 200 * forward_flops(shape, 20, 9, 3)
        assert counter.get_total_flops() == pytest.approx(expected, rel=0.06)
    assert np.isfinite(forward_flops(PAPER, 118, 64, 4))


def test_a_kind_that_was_never_asked_has_the_completion_s_answer():
    model, (kinds, values, asked) = network("completed"), batch()
    before = torch.stack(model(kinds, values, asked))
    model.asked[5] = False
    after = torch.stack(model(kinds, values, asked))
    torch.testing.assert_close(after[:, :, [0, 2]], before[:, :, [0, 2]])
    seen = model.perceive(kinds, values)
    mean, variance = seen.rough
    torch.testing.assert_close(after[0, :, 1], mean[:, 4])
    torch.testing.assert_close(after[1, :, 1], torch.log(variance[:, 4] + 1e-4))
    assert not torch.allclose(after[:, :, 1], before[:, :, 1])


def test_a_completion_needs_a_summary():
    with pytest.raises(ConfigError, match="a summary that reads it"):
        Architecture(summary=0, components=2, factors=2)
    with pytest.raises(ConfigError, match="components, factors"):
        Architecture(components=2)
