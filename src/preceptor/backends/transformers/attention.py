"""Attention for a CPU and for texts laid out as a forest; models take it through transformers' attention interface.

PyTorch's fused attention for the CPU spends its time on arrays that are small here: matrix products of all query heads
of a key's head together take a half of it for prompts and a tenth for decoding. The same softmax over the same scores;
results differ by rounding.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask
from transformers.modeling_utils import AttentionInterface

from preceptor.backends.transformers.forest import Forest

NAME = "preceptor"
"""Of the attention, as transformers' configurations call it."""
CPU_TOKENS, CUDA_TOKENS = 1024, 4096
"""Tokens of one row: more fill an accelerator better, and take more memory."""
ROW_ROUND, QUERIES_ROUND, KEYS_ROUND = 64, 32, 64
"""Rows, and a segment's queries and keys, are filled up to multiples of so many tokens: oneDNN makes a program for
every shape that it has not met, which takes some 10 ms, and keeps a thousand of them."""
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
    scores.view(B, H, T, S).add_(mask)
    summed = torch.bmm(torch.softmax(scores, dim=-1), value.reshape(B * K, S, -1))
    return summed.view(B, H, T, -1).transpose(1, 2)


class _Part:
    """One segment: its queries, and the keys and values that they see; both filled up with zeros to a round number."""

    def __init__(self, start: int, end: int, seen: Sequence[tuple[int, int]]) -> None:
        self.rows, self.length = slice(start, end), end - start
        self._seen = seen
        self._keys = sum(end - start for start, end in seen)

    def queries(self, query: Tensor, kv_heads: int) -> Tensor:
        """K × (H / K · L) × D: the query heads of each of K key heads one after another."""
        return _filled(query[0, :, self.rows], QUERIES_ROUND).view(kv_heads, -1, query.shape[-1])

    def keys(self, keys: Tensor) -> Tensor:
        """K × S × D: the keys, or values, that the segment sees, its own last."""
        return _filled([keys[0, :, start:end] for start, end in self._seen], KEYS_ROUND)

    def add(self, sums: Tensor, grads: Tensor) -> None:
        """Adds gradients of what `keys` gave to their places."""
        at = 0
        for start, end in self._seen:
            sums[0, :, start:end] += grads[:, at : at + end - start]
            at += end - start

    def probabilities(self, query: Tensor, key: Tensor, scale: float) -> Tensor:
        """K × (H / K · L) × S attention weights; those of queries that only fill up are of no account."""
        keys = self.keys(key)
        scores = _scores(self.queries(query, key.shape[1]), keys, scale)
        by_head = scores.view(query.shape[1], -1, keys.shape[1])
        own = self._keys - self.length
        by_head[:, : self.length, own : self._keys] += _ahead(self.length, scores.dtype, scores.device)
        by_head[:, :, self._keys :] = -torch.inf
        return torch.softmax(scores, dim=-1)


def _filled(pieces: Tensor | Sequence[Tensor], multiple: int) -> Tensor:
    """Pieces, heads × length × D each, one after another, with zeros up to a multiple of tokens."""
    pieces = [pieces] if isinstance(pieces, Tensor) else list(pieces)
    length = sum(piece.shape[1] for piece in pieces)
    filling = -length % multiple
    zeros = [pieces[0].new_zeros(pieces[0].shape[0], filling, pieces[0].shape[2])] if filling else []
    return torch.cat([*pieces, *zeros], dim=1)


class _ForestAttention(torch.autograd.Function):
    """Attention segment by segment; the backward pass computes the probabilities anew instead of keeping them."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, forest: Sequence[_Part], scale: float) -> Tensor:
        _, H, T, _ = query.shape
        output = query.new_zeros(1, T, H, value.shape[-1])
        with torch.autocast(query.device.type, enabled=False):
            for part in forest:
                summed = torch.bmm(part.probabilities(query, key, scale), part.keys(value))
                output[0, part.rows] = summed.view(H, -1, value.shape[-1])[:, : part.length].transpose(0, 1)
        ctx.save_for_backward(query, key, value, output)
        ctx.rest = (forest, scale)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output = ctx.saved_tensors
        forest, scale = ctx.rest
        H, K = query.shape[1], key.shape[1]
        grad_query = torch.zeros_like(query)
        grad_key = torch.zeros_like(key, dtype=torch.float32)  # a shared beginning gathers from all that follows it
        grad_value = torch.zeros_like(value, dtype=torch.float32)
        for part in forest:
            grad, given = (part.queries(each.transpose(1, 2), K) for each in (grads[0], output))
            probabilities = part.probabilities(query, key, scale)
            part.add(grad_value, torch.bmm(probabilities.transpose(1, 2), grad))
            of_scores = torch.bmm(grad, part.keys(value).transpose(1, 2))
            of_scores.sub_((grad.float() * given.float()).sum(dim=-1, keepdim=True).to(grad.dtype)).mul_(probabilities)
            of_query = torch.bmm(of_scores, part.keys(key)).mul_(scale)
            grad_query[0, :, part.rows] = of_query.view(H, -1, query.shape[-1])[:, : part.length]
            part.add(grad_key, torch.bmm(of_scores.transpose(1, 2), part.queries(query, K)).mul_(scale))
        return grad_query, grad_key.to(key.dtype), grad_value.to(value.dtype), None, None


def _parts(forest: Forest) -> list[_Part]:
    """Segments with the ranges of keys that they see: the cached prefix stands before the row."""
    prefix, parts = forest.prefix, list[_Part]()
    for segment in forest.segments:
        ranges = [(0, prefix)] if prefix else []
        for start, end in (*segment.before, (segment.start, segment.end)):
            if ranges and ranges[-1][1] == prefix + start:
                ranges[-1] = (ranges[-1][0], prefix + end)
            else:
                ranges.append((prefix + start, prefix + end))
        parts.append(_Part(segment.start, segment.end, ranges))
    return parts


@lru_cache(maxsize=1024)
def _ahead(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """L × L: -inf where a key comes after its query, 0 elsewhere."""
    return torch.full((length, length), -torch.inf, dtype=dtype, device=device).triu(1)


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
    filling = [0] * (-len(forest.tokens) % ROW_ROUND)  # attended to by nothing
    return {
        "input_ids": torch.tensor([forest.tokens + filling]),
        "position_ids": torch.tensor([forest.positions + filling]),
        "attention_mask": torch.zeros(1, 1, 1, 1),
        "use_cache": False,
        "forest": _parts(forest),  # once for all layers
    }
