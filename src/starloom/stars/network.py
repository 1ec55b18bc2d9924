"""The network of the star foundation model: tokens in, requests in, a normal for each request out.

The architecture is that of arXiv:2308.10944: an unordered set of (kind, value) tokens goes through self-attention, and
each requested kind, as a token without a value, asks the result by cross-attention. Requests do not see one another.

``small`` has, in place of the self-attention, a summary of the tokens: one wide layer that is linear in the values and
in what is present, a few plain layers, and registers that the requests can ask as they ask the tokens. It too does not
know an order of the tokens, and for the same CPU time it answers better (measured: docs/star_foundation.md).
``completed`` is ``small`` with a mixture beneath that says what is missing (:mod:`starloom.stars.completion`).
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from starloom.errors import ConfigError
from starloom.stars.completion import Completion

LEAST_VARIANCE = 1e-4
"""Added to the completion's variance before its logarithm, so that what is shown has one too."""


@dataclass(frozen=True)
class Architecture:
    """The shape of the network.

    Parameters
    ----------
    dimension : length of a token's vector.
    encoder, decoder : (heads, width of the plain layers) of each block.
    head : widths of the plain layers after the decoder.
    pre_norm : normalize before a block's parts (True) or after (False, as in the paper).
    summary : width of the summary's layers; 0 for none, as in the paper.
    summary_layers, registers : its plain layers and the tokens it gives.
    dropout : in training.
    components, factors : of the mixture that completes the tokens before the summary (see
        :mod:`starloom.stars.completion`) and answers kinds that are never requested; 0 for none, as in the paper.
    """

    dimension: int = 64
    encoder: tuple[tuple[int, int], ...] = ()
    decoder: tuple[tuple[int, int], ...] = ((2, 128), (2, 128))
    head: tuple[int, ...] = (128,)
    pre_norm: bool = True
    summary: int = 512
    summary_layers: int = 2
    registers: int = 4
    dropout: float = 0.0
    components: int = 0
    factors: int = 0

    def __post_init__(self) -> None:
        if bool(self.components) != bool(self.factors) or (self.components and not self.summary):
            raise ConfigError("a completion needs components, factors, and a summary that reads it")
        if any(self.dimension % heads for heads, _ in (*self.encoder, *self.decoder)):
            raise ConfigError(f"the dimension {self.dimension} does not divide into each block's heads")
        if not self.decoder:
            raise ConfigError("the decoder needs a block")

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> Architecture:
        """What ``as_json`` gave."""
        tuples = {name: tuple(map(tuple, settings[name])) for name in ("encoder", "decoder")}
        return cls(**{**settings, **tuples, "head": tuple(settings["head"])})


SMALL = Architecture()
COMPLETED = Architecture(components=8, factors=36)
PAPER = Architecture(
    dimension=128,
    encoder=((16, 1024), (8, 512)),
    decoder=((16, 3096), (8, 1548), (4, 774)),
    head=(3096, 1548, 774, 387),
    pre_norm=False,
    summary=0,
    summary_layers=0,
    registers=0,
    dropout=0.1,
)
"""The network of arXiv:2308.10944: with its 118 kinds it has 8,845,529 parameters."""

ARCHITECTURES = {"small": SMALL, "completed": COMPLETED, "paper": PAPER}


class Embedding(nn.Module):
    """gelu(w_k x + b_k) of a value x of kind k; w_k alone is the request for kind k. Kind 0 is an empty place."""

    def __init__(self, kinds: int, dimension: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(kinds + 1, dimension)))
        self.bias = nn.Parameter(nn.init.xavier_uniform_(torch.empty(kinds + 1, dimension)))

    def forward(self, kinds: Tensor, values: Tensor) -> Tensor:
        """Tokens (..., dimension) of kinds and values (...)."""
        found = functional.gelu(
            torch.addcmul(
                functional.embedding(kinds, self.bias), functional.embedding(kinds, self.weight), values[..., None]
            )
        )
        return found * (kinds > 0)[..., None]

    def request(self, kinds: Tensor) -> Tensor:
        """Requests (..., dimension) for kinds (...)."""
        return functional.embedding(kinds, self.weight)


def attention_products(dimension: int, heads: int, queries: int, places: int) -> tuple[int, int]:
    """Multiplications of one star's attention: with keys and values of all tokens, and folded into the queries."""
    whole = 2 * (queries + places) * dimension**2 + 2 * queries * places * dimension
    folded = 2 * queries * heads * dimension**2 + 2 * queries * heads * places * dimension
    return whole, folded


class Attention(nn.Module):
    """Multi-head attention with one learned key and value more, so that nobody asks an empty set."""

    def __init__(self, dimension: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * dimension, dimension)))
        self.bias = nn.Parameter(torch.zeros(3 * dimension))
        self.key = nn.Parameter(nn.init.xavier_normal_(torch.empty(1, dimension))[0])
        self.value = nn.Parameter(nn.init.xavier_normal_(torch.empty(1, dimension))[0])
        self.out = nn.Linear(dimension, dimension)

    def forward(self, query: Tensor, memory: Tensor, absent: Tensor) -> Tensor:
        """Answers (stars, queries, dimension).

        Parameters
        ----------
        query : (stars, queries, dimension).
        memory : (stars, tokens, dimension).
        absent : (stars, tokens), -inf at empty places and 0 elsewhere.
        """
        whole, folded = attention_products(query.shape[2], self.heads, query.shape[1], memory.shape[1])
        if folded < whole:
            return self._folded(query, memory, absent)
        asked, keys, values, mask = self._heads(query, memory, absent)
        dropout = self.dropout if self.training else 0.0
        mask = mask.expand(-1, -1, query.shape[1], -1)
        found = functional.scaled_dot_product_attention(asked, keys, values, attn_mask=mask, dropout_p=dropout)
        answer: Tensor = self.out(found.transpose(1, 2).reshape(query.shape))
        return answer

    def _folded(self, query: Tensor, memory: Tensor, absent: Tensor) -> Tensor:
        """The same answers for few queries and many tokens: the matrices of keys and values go to the queries' side.

        q (K m) = (q K) m and sum w (V m) = V (sum w m), so that the memory itself is never multiplied by a matrix.
        """
        stars, size, dimension = query.shape
        heads, deep = self.heads, dimension // self.heads
        with torch.autocast("cpu", enabled=False):
            ask, key, value = self.weight.view(3, heads, deep, dimension).unbind(0)
            ask_bias, key_bias, value_bias = self.bias.view(3, heads, deep).unbind(0)
            ask, ask_bias = ask * deep**-0.5, ask_bias * deep**-0.5
            # the keys' bias is the same for all tokens: it matters against the learned key alone
            learned = self.key.view(heads, deep) - key_bias
            into = torch.matmul(key.transpose(1, 2), ask).reshape(heads * dimension, dimension)
            into_bias = torch.einsum("hed,he->hd", key, ask_bias).reshape(-1)
            aside = torch.einsum("hed,he->hd", ask, learned)
            aside_bias = (ask_bias * learned).sum(1)
            out = self.out.weight.view(dimension, heads, deep)
            back = torch.einsum("ohe,hed->ohd", out, value).reshape(dimension, heads * dimension)
            held = torch.einsum("ohe,he->oh", out, value_bias)
            learned_value = torch.einsum("ohe,he->oh", out, self.value.view(heads, deep))
        folded = functional.linear(query, into, into_bias).view(stars, size * heads, dimension)
        own = functional.linear(query, aside, aside_bias).view(stars, size * heads, 1)
        tokens = memory.to(folded.dtype)
        scores = torch.bmm(folded, tokens.transpose(1, 2)) + absent[:, None, :]
        weights = torch.softmax(torch.cat([scores, own.to(scores.dtype)], dim=2).float(), dim=2)
        weights = functional.dropout(weights, self.dropout, self.training)
        seen, learned_share = weights[..., :-1], weights[..., -1].view(stars, size, heads)
        found = torch.bmm(seen.to(tokens.dtype), tokens).view(stars, size, heads * dimension)
        token_share = seen.sum(2).view(stars, size, heads)
        answer: Tensor = functional.linear(found, back, self.out.bias)
        return answer + functional.linear(token_share, held) + functional.linear(learned_share, learned_value)

    def weights(self, query: Tensor, memory: Tensor, absent: Tensor) -> Tensor:
        """Where each query looks: (stars, heads, queries, tokens + 1), the learned place last."""
        asked, keys, _, mask = self._heads(query, memory, absent)
        scores = torch.matmul(asked, keys.transpose(2, 3)) * keys.shape[-1] ** -0.5 + mask
        return torch.softmax(scores.float(), dim=-1)

    def _heads(self, query: Tensor, memory: Tensor, absent: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        stars, size, dimension = query.shape
        places, deep = memory.shape[1] + 1, dimension // self.heads
        asked = functional.linear(query, self.weight[:dimension], self.bias[:dimension])
        pairs = functional.linear(memory, self.weight[dimension:], self.bias[dimension:])
        learned = torch.cat([self.key, self.value]).to(pairs.dtype).expand(stars, 1, -1)
        pairs = torch.cat([pairs, learned], dim=1).view(stars, places, 2, self.heads, deep)
        keys, values = pairs[:, :, 0].transpose(1, 2), pairs[:, :, 1].transpose(1, 2)
        asked = asked.view(stars, size, self.heads, deep).transpose(1, 2)
        return asked, keys, values, functional.pad(absent, (0, 1))[:, None, None, :].to(asked.dtype)


class Block(nn.Module):
    """Attention and two plain layers, each added to what was there."""

    def __init__(self, dimension: int, heads: int, width: int, pre_norm: bool, dropout: float) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = Attention(dimension, heads, dropout)
        self.norm_1, self.norm_2 = nn.LayerNorm(dimension), nn.LayerNorm(dimension)
        self.dense_1, self.dense_2 = nn.Linear(dimension, width), nn.Linear(width, dimension)
        self.drop = nn.Dropout(dropout)

    def plain(self, x: Tensor) -> Tensor:
        """The two plain layers."""
        found: Tensor = self.drop(self.dense_2(functional.gelu(self.dense_1(x))))
        return found

    def forward(self, query: Tensor, memory: Tensor | None, absent: Tensor) -> Tensor:
        """The queries after this block; without a memory the queries ask themselves."""
        if self.pre_norm:
            asked = self.norm_1(query)
            query = query + self.drop(self.attention(asked, asked if memory is None else memory, absent))
            return query + self.plain(self.norm_2(query))
        found = self.attention(query, query if memory is None else memory, absent)
        query = self.norm_1(query + self.drop(found))
        after: Tensor = self.norm_2(query + self.plain(query))
        return after

    def weights(self, query: Tensor, memory: Tensor, absent: Tensor) -> Tensor:
        """Where the queries look in this block."""
        return self.attention.weights(self.norm_1(query) if self.pre_norm else query, memory, absent)


class Summary(nn.Module):
    """A set of tokens as one vector: sums over them, then plain layers."""

    def __init__(self, kinds: int, shape: Architecture) -> None:
        super().__init__()
        width = shape.summary
        self.values = nn.Parameter(torch.randn(kinds + 1, width) * kinds**-0.5)
        self.present = nn.Parameter(torch.randn(kinds + 1, width) * 0.5 * kinds**-0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        self.filled = nn.Parameter(torch.zeros(kinds + 1, width)) if shape.components else None
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(shape.summary_layers)])
        self.registers = nn.Linear(width, (shape.registers + 1) * shape.dimension)
        self.dimension = shape.dimension

    def forward(self, values: Tensor, held: Tensor, fill: Tensor | None) -> tuple[Tensor, Tensor]:
        """The last layer (stars, width), and the registers (stars, registers + 1, dimension).

        Parameters
        ----------
        values, held : (stars, kinds + 1), 0 where nothing is known; 1 where something is, 0 elsewhere.
        fill : (stars, kinds + 1), what stands in for values that are not known; 0 where they are. Or none at all.
        """
        # in full precision: the brightest coefficients are known to a part in a thousand
        with torch.autocast("cpu", enabled=False):
            x = values @ self.values + held @ self.present + self.bias
            if fill is not None and self.filled is not None:
                x = x + fill @ (self.values + self.filled)
            x = functional.gelu(x)
        for layer in self.layers:
            x = x + functional.gelu(layer(x))
        return x, self.registers(x).view(len(x), -1, self.dimension)


class Perception:
    """What the encoder made of a batch of stars; requests ask it."""

    def __init__(
        self, memory: Tensor, absent: Tensor, start: Tensor | None, vector: Tensor,
        rough: tuple[Tensor, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.memory, self.absent, self.start, self.vector = memory, absent, start, vector
        self.rough = rough
        """Means and variances (stars, kinds) of all kinds, from the completion."""


class StarNetwork(nn.Module):
    """Tokens and requests -> mean and ln variance of each request, in standardized values."""

    def __init__(self, kinds: int, shape: Architecture) -> None:
        super().__init__()
        self.shape, self.kinds = shape, kinds
        d = shape.dimension
        self.embedding = Embedding(kinds, d)
        self.encoder = nn.ModuleList([Block(d, h, w, shape.pre_norm, shape.dropout) for h, w in shape.encoder])
        self.decoder = nn.ModuleList([Block(d, h, w, shape.pre_norm, shape.dropout) for h, w in shape.decoder])
        self.summary = Summary(kinds, shape) if shape.summary else None
        self.completion = Completion(kinds, shape.components, shape.factors) if shape.components else None
        self.asked: Tensor
        if shape.components:
            self.register_buffer("asked", torch.ones(kinds + 1, dtype=torch.bool))
        self.memory_norm = nn.LayerNorm(d) if shape.pre_norm else nn.Identity()
        self.last_norm = nn.LayerNorm(d) if shape.pre_norm else nn.Identity()
        widths = (d, *shape.head)
        self.head = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(widths)])
        self.mean, self.log_variance = nn.Linear(widths[-1], 1), nn.Linear(widths[-1], 1)
        self.drop = nn.Dropout(shape.dropout)

    def perceive(self, kinds: Tensor, values: Tensor) -> Perception:
        """Encode tokens: kinds (stars, places) with 0 at empty places, values (stars, places)."""
        tokens = self.embedding(kinds, values)
        absent = torch.zeros(kinds.shape, device=kinds.device).masked_fill(kinds == 0, float("-inf"))
        start = rough = None
        if self.summary is not None:
            nothing = torch.zeros(len(kinds), self.kinds + 1, device=kinds.device)
            spread = nothing.scatter_add(1, kinds, values.float())
            held = nothing.scatter_add(1, kinds, (kinds > 0).float())
            fill = None
            if self.completion is not None:
                rough = self.completion(spread[:, 1:], held[:, 1:] > 0)
                fill = functional.pad(rough[0], (1, 0)) * (1.0 - held)
            vector, registers = self.summary(spread, held, fill)
            start = registers[:, :1]
            tokens = torch.cat([tokens, registers[:, 1:].to(tokens.dtype)], dim=1)
            absent = functional.pad(absent, (0, registers.shape[1] - 1))
        for block in self.encoder:
            tokens = block(tokens, None, absent)
        memory = self.memory_norm(tokens)
        if self.summary is None:
            here = (absent == 0)[..., None]
            vector = (memory * here).sum(1) / here.sum(1).clamp_min(1)
        return Perception(memory, absent, start, vector, rough)

    def answer(self, seen: Perception, requests: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and ln variance (stars, requests) of kinds (stars, requests)."""
        query = self._query(seen, requests)
        for block in self.decoder:
            query = block(query, seen.memory, seen.absent)
        x = self.last_norm(query)
        for layer in self.head:
            x = self.drop(functional.gelu(layer(x)))
        with torch.autocast("cpu", enabled=False):
            x = x.float()
            mean, log_variance = self.mean(x)[..., 0], self.log_variance(x)[..., 0]
            if seen.rough is not None:
                places = (requests - 1).clamp_min(0)
                # kinds that no training asked for have the completion's answer
                rough, variance = (part.gather(1, places) for part in seen.rough)
                asked = self.asked[requests]
                mean = torch.where(asked, mean, rough)
                log_variance = torch.where(asked, log_variance, torch.log(variance + LEAST_VARIANCE))
            return mean, log_variance.clamp(-16.0, 8.0)

    def attention(self, seen: Perception, requests: Tensor) -> list[Tensor]:
        """Where requests look: for each decoder block (stars, heads, requests, places of the memory + 1)."""
        query, maps = self._query(seen, requests), []
        for block in self.decoder:
            maps.append(block.weights(query, seen.memory, seen.absent))  # type: ignore[operator]
            query = block(query, seen.memory, seen.absent)
        return maps

    def _query(self, seen: Perception, requests: Tensor) -> Tensor:
        query: Tensor = self.embedding.request(requests)
        return query if seen.start is None else query + seen.start

    def forward(self, kinds: Tensor, values: Tensor, requests: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and ln variance (stars, requests)."""
        return self.answer(self.perceive(kinds, values), requests)


def count_parameters(network: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in network.parameters())
