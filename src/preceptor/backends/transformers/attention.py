"""Attention for a CPU and for texts laid out as a forest; models take it through transformers' attention interface.

PyTorch's fused attention for the CPU spends its time on arrays that are small here: matrix products of all query heads
of a key's head together take a half of it for prompts and a tenth for decoding. The same softmax over the same scores;
results differ by rounding.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask
from transformers.modeling_utils import AttentionInterface

from preceptor.backends.transformers.forest import Forest, Segment

NAME = "preceptor"
"""Of the attention, as transformers' configurations call it."""
CPU_TOKENS, CUDA_TOKENS = 1024, 4096
"""Tokens of one row: more fill an accelerator better, and take more memory."""
ROW_ROUND, QUERIES_ROUND, KEYS_ROUND = 64, 32, 64
"""Rows, and a segment's queries and keys, are filled up to multiples of so many tokens: oneDNN makes a program for
every shape that it has not met, which takes some 10 ms, and keeps a thousand of them."""
PART_SCORES = 1 << 17
"""Scores of one head, of segments computed together, that a processor's cache holds."""
SCORES_AT_ONCE = 1 << 22
"""Scores of a padded batch beyond which PyTorch's fused attention is used: it does not keep them all."""


def use(model: Any) -> None:
    """Gives a model on a CPU this attention, where its architecture lets one choose and adds nothing of its own."""
    config = model.config.get_text_config()
    peculiar = not looks_back_all_the_way(model) or getattr(config, "attn_logit_softcapping", None) is not None
    if model.device.type == "cpu" and config._attn_implementation == "sdpa" and not peculiar:
        model.set_attn_implementation(NAME)


def in_use(model: Any) -> bool:
    """Whether a model has this attention."""
    return model.config.get_text_config()._attn_implementation == NAME


def tokens_at_once(model: Any) -> int:
    """How many tokens a forest should have."""
    return CUDA_TOKENS if model.device.type == "cuda" else CPU_TOKENS


def looks_back_all_the_way(model: Any) -> bool:
    """Whether every layer attends to all that came before: no sliding windows, no recurrent state."""
    layers: list[Any] = DynamicCache(config=model.config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    forest: "Sequence[_Part] | None" = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it.

    Args:
        query: B × H × T × D, key and value: B × K × S × D, of H query heads and K heads of keys.
        attention_mask: what is added to the scores, B × 1 × T × S; of no account with a forest.
        forest: the segments of the one row, T tokens of it in `query`, behind S - T of a cached prefix.

    Returns: B × T × H × D, and no attention weights.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if forest is not None:
        if torch.is_autocast_enabled(query.device.type):
            dtype = torch.get_autocast_dtype(query.device.type)
            query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        return _ForestAttention.apply(query, key, value, forest, scale), None  # pyright: ignore
    scores = query.shape[0] * query.shape[1] * query.shape[2] * key.shape[2]
    if attention_mask is None or query.requires_grad or scores > SCORES_AT_ONCE:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)[0], None
    return _padded(query, key, value, attention_mask, scale), None


def _padded(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Attention of a padded batch, the query heads of a key's head side by side in one product."""
    B, H, T, D = query.shape
    K, S = key.shape[1:3]
    scores = _scores(query.reshape(B * K, -1, D), key.reshape(B * K, S, D), scale)
    # Under autocast the lowest number may be fp32's, which bf16 has not: infinite, it would make rows of padding NaN.
    scores.view(B, H, T, S).add_(mask.clamp(min=torch.finfo(scores.dtype).min))
    summed = torch.bmm(torch.softmax(scores, dim=-1), value.reshape(B * K, S, -1))
    return summed.view(B, H, T, -1).transpose(1, 2)


@dataclass(frozen=True)
class _Heads:
    """H query heads and the K heads of keys that they share."""

    queries: int
    keys: int


class _Part:
    """G segments whose filled lengths are equal: L queries of each, and the S keys that they see.

    Args:
        lengths: L and S.
        prefix: keys before those of the row.
        nowhere: a row that nothing reads; queries that only fill up are taken from it, and their results go to it.
    """

    def __init__(self, segments: Sequence[Segment], lengths: tuple[int, int], prefix: int, nowhere: int) -> None:
        self._shape = (len(segments), *lengths)
        queries_GL = torch.full(self._shape[:2], nowhere)
        keys_GS = torch.full(self._shape[::2], prefix + nowhere)
        bias_GLS = torch.full(self._shape, -torch.inf)
        for g, segment in enumerate(segments):
            own = range(segment.start, segment.end)
            seen = [*range(-prefix, 0), *(row for start, end in segment.before for row in range(start, end)), *own]
            queries_GL[g, : len(own)] = torch.tensor(own)
            keys_GS[g, : len(seen)] = prefix + torch.tensor(seen)
            bias_GLS[g, :, : len(seen)] = torch.zeros(lengths[0], len(seen))
            bias_GLS[g, : len(own), len(seen) - len(own) : len(seen)] = _ahead(len(own))
        self._queries_N, self._keys_N, self._bias_GLS = queries_GL.flatten(), keys_GS.flatten(), bias_GLS

    def queries(self, rows: Tensor, heads: _Heads) -> Tensor:
        """(G · K) × (H / K · L) × D of T × (H · D): the query heads of each head of keys one after another."""
        G, L, _ = self._shape
        of_queries = rows.index_select(0, self._queries_N).view(G, L, heads.keys, heads.queries // heads.keys, -1)
        return of_queries.permute(0, 2, 3, 1, 4).reshape(G * heads.keys, heads.queries // heads.keys * L, -1)

    def keys(self, rows: Tensor, heads: _Heads) -> Tensor:
        """(G · K) × S × D of the rows' keys or values, (prefix + T) × (K · D)."""
        G, _, S = self._shape
        of_keys = rows.index_select(0, self._keys_N).view(G, S, heads.keys, -1)
        return of_keys.transpose(1, 2).reshape(G * heads.keys, S, -1)

    def put(self, rows: Tensor, of_queries: Tensor, heads: _Heads) -> None:
        """Writes what has the form that `queries` gives to its rows."""
        G, L, _ = self._shape
        by_row = of_queries.view(G, heads.keys, heads.queries // heads.keys, L, -1).permute(0, 3, 1, 2, 4)
        rows.index_copy_(0, self._queries_N, by_row.reshape(G * L, -1))

    def add(self, rows: Tensor, of_keys: Tensor, heads: _Heads) -> None:
        """Adds what has the form that `keys` gives to its rows."""
        G, _, S = self._shape
        by_row = of_keys.view(G, heads.keys, S, -1).transpose(1, 2).reshape(G * S, -1)
        rows.index_add_(0, self._keys_N, by_row.to(rows.dtype))

    def probabilities(self, query: Tensor, key: Tensor, heads: _Heads, scale: float) -> Tensor:
        """(G · K) × (H / K · L) × S attention weights; those of queries that only fill up are of no account."""
        G, L, S = self._shape
        scores = _scores(self.queries(query, heads), self.keys(key, heads), scale)
        self._bias_GLS = self._bias_GLS.to(scores.dtype)
        scores.view(G, heads.queries, L, S).add_(self._bias_GLS[:, None])
        return torch.softmax(scores, dim=-1)


class _ForestAttention(torch.autograd.Function):
    """Attention part by part; the backward pass computes the probabilities anew instead of keeping them."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, forest: Sequence[_Part], scale: float) -> Tensor:
        heads = _Heads(query.shape[1], key.shape[1])
        query, key, value = _rows(query), _rows(key), _rows(value)
        output = query.new_zeros(len(query), heads.queries * value.shape[1] // heads.keys)
        with torch.autocast(query.device.type, enabled=False):
            for part in forest:
                probabilities = part.probabilities(query, key, heads, scale)
                part.put(output, torch.bmm(probabilities, part.keys(value, heads)), heads)
        ctx.save_for_backward(query, key, value, output)
        ctx.rest = (forest, heads, scale)
        return output.view(1, len(query), heads.queries, -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output = ctx.saved_tensors
        forest, heads, scale = ctx.rest
        grad = grads[0].reshape(output.shape)
        of_softmax = (grad.float() * output.float()).view(len(query), heads.queries, -1).sum(dim=-1).to(grad.dtype)
        grad_query = torch.zeros_like(query)
        grad_key = torch.zeros_like(key, dtype=torch.float32)  # a shared beginning gathers from all that follows it
        grad_value = torch.zeros_like(value, dtype=torch.float32)
        for part in forest:
            probabilities, of_output = part.probabilities(query, key, heads, scale), part.queries(grad, heads)
            part.add(grad_value, torch.bmm(probabilities.transpose(1, 2), of_output), heads)
            of_scores = torch.bmm(of_output, part.keys(value, heads).transpose(1, 2))
            of_scores.sub_(part.queries(of_softmax, heads)).mul_(probabilities)
            part.put(grad_query, torch.bmm(of_scores, part.keys(key, heads)).mul_(scale), heads)
            part.add(grad_key, torch.bmm(of_scores.transpose(1, 2), part.queries(query, heads)).mul_(scale), heads)
        of_heads = (
            rows.view(1, len(rows), count, -1).transpose(1, 2)
            for rows, count in (
                (grad_query, heads.queries),
                (grad_key.to(key.dtype), heads.keys),
                (grad_value.to(value.dtype), heads.keys),
            )
        )
        return *of_heads, None, None


def _rows(of_heads: Tensor) -> Tensor:
    """T × (H · D) of 1 × H × T × D."""
    return of_heads[0].transpose(0, 1).reshape(of_heads.shape[2], -1)


def _parts(forest: Forest, nowhere: int) -> list[_Part]:
    """A forest's segments, those of equal filled lengths together."""
    alike: defaultdict[tuple[int, int], list[Segment]] = defaultdict(list)
    for segment in forest.segments:
        own = segment.end - segment.start
        seen = forest.prefix + sum(end - start for start, end in segment.before) + own
        alike[own + -own % QUERIES_ROUND, seen + -seen % KEYS_ROUND].append(segment)
    parts: list[_Part] = []
    for (queries, keys), segments in alike.items():
        together = max(1, PART_SCORES // (queries * keys))
        for start in range(0, len(segments), together):
            parts.append(_Part(segments[start : start + together], (queries, keys), forest.prefix, nowhere))
    return parts


@lru_cache(maxsize=128)
def _ahead(length: int) -> Tensor:
    """L × L: -inf where a key comes after its query, 0 elsewhere."""
    return torch.full((length, length), -torch.inf).triu(1)


def _scores(queries: Tensor, keys: Tensor, scale: float) -> Tensor:
    """Scaled products of queries and keys, the scale within the product."""
    unused = queries.new_empty(1)
    return torch.baddbmm(unused, queries, keys.transpose(1, 2), beta=0, alpha=scale)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, eager_mask)


def forest_arguments(model: Any, forest: Forest) -> dict[str, Any]:
    """What a model is called with to compute a forest's row; results are in the row's order, 1 × T."""
    device = model.device
    if not in_use(model):
        return {
            "input_ids": torch.tensor([forest.tokens], device=device),
            "position_ids": torch.tensor([forest.positions], device=device),
            "attention_mask": forest.mask(model.dtype, device),  # of four dimensions, it is taken as it is
            "use_cache": False,
        }
    filling = [0] * (ROW_ROUND - len(forest.tokens) % ROW_ROUND)  # read by nothing, and one token at least
    return {
        "input_ids": torch.tensor([forest.tokens + filling]),
        "position_ids": torch.tensor([forest.positions + filling]),
        "attention_mask": torch.zeros(1, 1, 1, 1),
        "use_cache": False,
        "forest": _parts(forest, nowhere=len(forest.tokens)),  # once for all layers
    }
