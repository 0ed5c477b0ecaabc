"""Attention for CPUs and for texts laid out as a forest, used through transformers' attention interface.

PyTorch's fused attention for CPUs is slow on arrays as small as these. One matrix product for all query heads that
share a key head takes half its time for prompts and a tenth for decoding. The softmax and the scores are the same;
results differ by rounding.
"""

from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask
from transformers.modeling_utils import AttentionInterface

from preceptor.backends.transformers import flex
from preceptor.backends.transformers.forest import Forest, Segment

NAME = "preceptor"
"""Name of the attention in transformers' configurations."""
CPU_TOKENS, CUDA_TOKENS = 1024, 4096
"""Tokens of one row. Longer rows use an accelerator better and need more memory."""
ROW_ROUND, QUERIES_ROUND, KEYS_ROUND = 64, 32, 64
"""Rows, and the queries and keys of a segment, are padded to multiples of this many tokens: oneDNN compiles a program
for every new shape, which takes about 10 ms, and keeps a thousand of them."""
PART_SCORES = 1 << 17
"""Scores of one head, for segments computed together, that fit a processor's cache."""
SCORES_AT_ONCE = 1 << 22
"""Scores of a padded batch above which PyTorch's fused attention is used, because it does not store them all."""


_AS_IN_TRAINING = ContextVar("padded batches as in training", default=False)


@contextmanager
def as_in_training() -> Generator[None]:
    """Within the context, a padded batch is computed without a gradient as it is with one, by PyTorch's attention, to
    the last bit. In bfloat16, log-probabilities would differ by about 0.02 nats.
    """
    token = _AS_IN_TRAINING.set(True)
    try:
        yield
    finally:
        _AS_IN_TRAINING.reset(token)


def in_use(model: Any) -> bool:
    """Whether a model uses this attention."""
    return model.config.get_text_config()._attn_implementation == NAME


def tokens_at_once(model: Any) -> int:
    """How many tokens to pass to a model at once."""
    return CUDA_TOKENS if model.device.type == "cuda" else CPU_TOKENS


@dataclass
class Trial:
    """Stands in for a forest in a trial of a model, and records the arguments of each layer's attention."""

    asked: list[tuple[Any, Tensor | None, dict[str, Any]]] = field(default_factory=list)
    """The calling module, its mask, and all arguments but the scale."""


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    forest: "_Row | Trial | None" = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it.

    Args:
        query: B × H × T × D, key and value: B × K × S × D, of H query heads and K heads of keys.
        attention_mask: is added to the scores, B × 1 × T × S; ignored with a forest.
        forest: the segments of the only row: T tokens in `query`, after S - T tokens of a cached prefix.
        sliding_window: how many tokens back a query sees, itself included. A mask contains it, a forest does not.

    Returns: B × T × H × D, and no attention weights.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if isinstance(forest, Trial):
        forest.asked.append((module, attention_mask, {"sliding_window": sliding_window, **others}))
    elif forest is not None:
        if torch.is_autocast_enabled(query.device.type):
            dtype = torch.get_autocast_dtype(query.device.type)
            query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        return _ForestAttention.apply(query, key, value, forest.parts(sliding_window), scale), None  # pyright: ignore
    scores = query.shape[0] * query.shape[1] * query.shape[2] * key.shape[2]
    fused = query.requires_grad or _AS_IN_TRAINING.get() or scores > SCORES_AT_ONCE
    if attention_mask is None or fused:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)[0], None
    return _padded(query, key, value, attention_mask, scale), None


def _padded(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Attention of a padded batch; one product computes all query heads that share a key head."""
    B, H, T, D = query.shape
    K, S = key.shape[1:3]
    scores = _scores(query.reshape(B * K, -1, D), key.reshape(B * K, S, D), scale)
    # Under autocast the mask may hold fp32's lowest number, which bf16 rounds to -inf: rows of padding would be NaN.
    scores.view(B, H, T, S).add_(mask.clamp(min=torch.finfo(scores.dtype).min))
    summed = torch.bmm(torch.softmax(scores, dim=-1), value.reshape(B * K, S, -1))
    return summed.view(B, H, T, -1).transpose(1, 2)


@dataclass(frozen=True)
class _Heads:
    """H query heads and the K heads of keys that they share."""

    queries: int
    keys: int


class _Part:
    """G segments with equal padded lengths: L queries of each, and the S keys that they see.

    Arrays are ordered by key head: products have K · G matrices of H / K · L queries each.

    Args:
        lengths: L and S.
        window: how many tokens back a query sees, itself included; None if it sees everything before it.
        prefix: number of keys before those of the row.
        row: T, the row's length. Its last token is never read: padding queries are taken from it and written to it.
    """

    def __init__(
        self, segments: Sequence[Segment], lengths: tuple[int, int], window: int | None, prefix: int, row: int
    ) -> None:
        self._shape = G, L, S = (len(segments), *lengths)
        self._keys_of_head = prefix + row
        self._seen_by_all = 0 if window else min(_seen_before(segment, prefix) for segment in segments)
        self._queries_GL = torch.full((G, L), row - 1)
        self._keys_GS = torch.full((G, S), prefix + row - 1)
        self._bias_GLR = torch.full((G, L, S - self._seen_by_all), -torch.inf)
        self._places: dict[_Heads, tuple[Tensor, Tensor]] = {}
        for g, segment in enumerate(segments):
            own = range(segment.start, segment.end)
            seen = [*range(-prefix, 0), *(place for start, end in segment.before for place in range(start, end)), *own]
            seen = seen[_out_of_sight(segment, prefix, window) :]
            self._queries_GL[g, : len(own)] = torch.tensor(own)
            self._keys_GS[g, : len(seen)] = prefix + torch.tensor(seen)
            end = len(seen) - self._seen_by_all
            self._bias_GLR[g, :, :end] = 0.0
            self._bias_GLR[g, : len(own), end - len(own) : end] = _ahead(len(own))
            if window:
                self._bias_GLR[g, : len(own), :end] += _behind(len(own), end, window)

    def queries(self, rows: Tensor, heads: _Heads) -> Tensor:
        """(K · G) × (H / K · L) × D of (T · H) × D."""
        return rows.index_select(0, self._of(heads)[0]).view(heads.keys * self._shape[0], -1, rows.shape[1])

    def keys(self, rows: Tensor, heads: _Heads) -> Tensor:
        """(K · G) × S × D of the rows of keys or values, (K · (prefix + T)) × D."""
        return rows.index_select(0, self._of(heads)[1]).view(heads.keys * self._shape[0], -1, rows.shape[1])

    def put(self, rows: Tensor, of_queries: Tensor, heads: _Heads) -> None:
        """Writes results in the form of `queries` back to their rows."""
        rows.index_copy_(0, self._of(heads)[0], of_queries.view(-1, rows.shape[1]))

    def add(self, rows: Tensor, of_keys: Tensor, heads: _Heads) -> None:
        """Adds gradients in the form of `keys` to their rows."""
        rows.index_add_(0, self._of(heads)[1], of_keys.view(-1, rows.shape[1]).to(rows.dtype))

    def probabilities(self, query: Tensor, key: Tensor, heads: _Heads, scale: float) -> Tensor:
        """(K · G) × (H / K · L) × S attention weights; those of padding queries are meaningless."""
        G, L, S = self._shape
        scores = _scores(self.queries(query, heads), self.keys(key, heads), scale)
        self._bias_GLR = self._bias_GLR.to(scores.dtype)
        scores.view(heads.keys, G, -1, L, S)[..., self._seen_by_all :].add_(self._bias_GLR[:, None])
        return torch.softmax(scores, dim=-1)

    def _of(self, heads: _Heads) -> tuple[Tensor, Tensor]:
        """Indices of the queries' rows, by token and head, and of the keys' rows, by head."""
        if heads not in self._places:
            heads_KH = torch.arange(heads.queries).view(heads.keys, 1, -1, 1)
            queries_KGHL = self._queries_GL[:, None] * heads.queries + heads_KH
            keys_KGS = torch.arange(heads.keys)[:, None, None] * self._keys_of_head + self._keys_GS
            self._places[heads] = queries_KGHL.flatten(), keys_KGS.flatten()
        return self._places[heads]


class _ForestAttention(torch.autograd.Function):
    """Attention part by part; the backward pass recomputes the probabilities instead of keeping them."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, forest: Sequence[_Part], scale: float) -> Tensor:
        heads, tokens = _Heads(query.shape[1], key.shape[1]), query.shape[2]
        query, key, value = _rows(query.transpose(1, 2)), _rows(key), _rows(value)
        output = query.new_zeros(len(query), value.shape[1])
        with torch.autocast(query.device.type, enabled=False):
            for part in forest:
                probabilities = part.probabilities(query, key, heads, scale)
                part.put(output, torch.bmm(probabilities, part.keys(value, heads)), heads)
        ctx.save_for_backward(query, key, value, output)
        ctx.rest = (forest, heads, scale)
        return output.view(1, tokens, heads.queries, -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output = ctx.saved_tensors
        forest, heads, scale = ctx.rest
        grad = _rows(grads[0])
        of_softmax = (grad.float() * output.float()).sum(dim=1, keepdim=True).to(grad.dtype)
        grad_query = torch.zeros_like(query)
        grad_key = torch.zeros_like(
            key, dtype=torch.float32
        )  # the gradients of a shared beginning are summed over all texts that continue it
        grad_value = torch.zeros_like(value, dtype=torch.float32)
        for part in forest:
            probabilities, of_output = part.probabilities(query, key, heads, scale), part.queries(grad, heads)
            part.add(grad_value, torch.bmm(probabilities.transpose(1, 2), of_output), heads)
            of_scores = torch.bmm(of_output, part.keys(value, heads).transpose(1, 2))
            of_scores.sub_(part.queries(of_softmax, heads)).mul_(probabilities)
            part.put(grad_query, torch.bmm(of_scores, part.keys(key, heads)).mul_(scale), heads)
            part.add(grad_key, torch.bmm(of_scores.transpose(1, 2), part.queries(query, heads)).mul_(scale), heads)
        of_query = grad_query.view(1, -1, heads.queries, query.shape[1]).transpose(1, 2)
        of_key, of_value = (
            rows.to(key.dtype).view(1, heads.keys, -1, rows.shape[1]) for rows in (grad_key, grad_value)
        )
        return of_query, of_key, of_value, None, None


def _rows(of_heads: Tensor) -> Tensor:
    """All but the last dimension flattened into one."""
    return of_heads.reshape(-1, of_heads.shape[-1])


class _Row:
    """A forest's row for all layers, with segments of equal padded lengths computed together.

    Args:
        length: length of the row.
    """

    def __init__(self, forest: Forest, length: int) -> None:
        self._forest, self._length = forest, length
        self._longest = max(forest.positions) + 1
        self._parts: dict[int | None, list[_Part]] = {}

    def parts(self, window: int | None) -> list[_Part]:
        """The parts for layers with one window. A window longer than every text counts as none."""
        window = None if window is None or window >= self._longest else window
        if window not in self._parts:
            self._parts[window] = self._divided(window)
        return self._parts[window]

    def _divided(self, window: int | None) -> list[_Part]:
        prefix = self._forest.prefix
        alike: defaultdict[tuple[int, int], list[Segment]] = defaultdict(list)
        for segment in self._forest.segments:
            own = segment.end - segment.start
            seen = _seen_before(segment, prefix) - _out_of_sight(segment, prefix, window) + own
            alike[round_up(own, QUERIES_ROUND), round_up(seen, KEYS_ROUND)].append(segment)
        parts: list[_Part] = []
        for (queries, keys), segments in alike.items():
            together = max(1, PART_SCORES // (queries * keys))
            for start in range(0, len(segments), together):
                chosen = segments[start : start + together]
                parts.append(_Part(chosen, (queries, keys), window, prefix, self._length))
        return parts


def _seen_before(segment: Segment, prefix: int) -> int:
    """How many keys come before a segment. Without a window, all tokens of the segment see them."""
    return prefix + sum(end - start for start, end in segment.before)


def _out_of_sight(segment: Segment, prefix: int, window: int | None) -> int:
    """Number of leading keys that no token of a segment attends to."""
    return max(0, _seen_before(segment, prefix) - window + 1) if window else 0


@lru_cache(maxsize=128)
def _ahead(length: int) -> Tensor:
    """L × L: -inf where a key comes after its query, 0 elsewhere."""
    return torch.full((length, length), -torch.inf).triu(1)


@lru_cache(maxsize=128)
def _behind(queries: int, keys: int, window: int) -> Tensor:
    """L × S: -inf where a key is `window` or more before its query, 0 elsewhere; the last query sees the last key."""
    return torch.full((queries, keys), -torch.inf).tril(keys - queries - window)


def round_up(length: int, multiple: int) -> int:
    """The length rounded up to a multiple."""
    return length + -length % multiple


def _scores(queries: Tensor, keys: Tensor, scale: float) -> Tensor:
    """Scaled products of queries and keys, the scale within the product."""
    unused = queries.new_empty(1)
    return torch.baddbmm(unused, queries, keys.transpose(1, 2), beta=0, alpha=scale)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, eager_mask)


def forest_arguments(model: Any, forest: Forest) -> dict[str, object]:
    """The arguments with which a model computes a forest's row; results are in the row's order, 1 × T."""
    device = model.device
    if flex.in_use(model) and flex.works(*_heads(model), device.type):
        return flex.forest_arguments(forest, device)
    if not in_use(model):
        return {
            "input_ids": torch.tensor([forest.tokens], device=device),
            "position_ids": torch.tensor([forest.positions], device=device),
            "attention_mask": forest.mask(model.dtype, device),  # transformers uses a mask of four dimensions unchanged
            "use_cache": False,
        }
    row = round_up(len(forest.tokens) + 1, ROW_ROUND)  # at least its last token is never read
    filling = [0] * (row - len(forest.tokens))
    return {
        "input_ids": torch.tensor([forest.tokens + filling]),
        "position_ids": torch.tensor([forest.positions + filling]),
        "attention_mask": torch.zeros(1, 1, 1, 1),
        "use_cache": False,
        "forest": _Row(forest, row),
    }


def _heads(model: Any) -> tuple[int, int, int, torch.dtype]:
    """The heads of queries and of keys, the size of one, and the precision in which they are computed."""
    config, device = model.config.get_text_config(), model.device.type
    heads = int(config.num_attention_heads)
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    computed = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else model.dtype
    return heads, int(getattr(config, "num_key_value_heads", None) or heads), int(size), computed
