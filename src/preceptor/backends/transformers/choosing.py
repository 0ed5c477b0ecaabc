"""Log-probabilities of choices: shared prefixes computed once, logits only where a choice is read."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

TOKENS_AT_ONCE = 8192
"""Bound on the tokens of one batch, padding included: bounds the memory of a forward pass."""
LOGITS_AT_ONCE = 2048
"""Bound on the positions of one batch whose logits are computed: from the end of its shortest context to the end of its
longest row, for every row. With a large vocabulary logits take more memory than all else."""
PREFIX_STEP = 16
"""A shared prefix is cut to a multiple of this, so that chance agreement of two texts does not change the cut."""


@dataclass(frozen=True)
class EncodedChoice:
    """One request as token ids: the context and the choices that may follow it."""

    context: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> list[tuple[int, ...]]:
        """The sequences to compute: the context followed by all but the last token of each choice, without those
        that another one contains (choices of a single token all read the context's last position).
        """
        stems = {choice[:-1] for choice in self.choices}
        kept = [s for s in stems if not any(s != other and other[: len(s)] == s for other in stems)]
        return [self.context + stem for stem in sorted(kept)]


class PrefixCache:
    """The key-value cache of the last shared prefix, kept from batch to batch and from call to call."""

    def __init__(self) -> None:
        self._prefix: tuple[int, ...] = ()
        self._layers: list[tuple[Tensor, Tensor]] = []

    def expanded(self, model: Any, prefix: tuple[int, ...], rows: int) -> DynamicCache:
        """A fresh cache that holds `prefix` for a batch of `rows`."""
        if prefix != self._prefix:
            cache = DynamicCache(config=model.config)
            model(torch.tensor([prefix], device=model.device), past_key_values=cache, logits_to_keep=1)
            layers: list[Any] = cache.layers
            self._layers = [(layer.keys, layer.values) for layer in layers]
            self._prefix = prefix
        fresh = DynamicCache(config=model.config)
        for index, (keys, values) in enumerate(self._layers):
            fresh.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), index)
        return fresh


def batches(requests: Sequence[EncodedChoice]) -> Iterator[list[int]]:
    """Indices of requests to compute together: longest first, each batch within `TOKENS_AT_ONCE` and `LOGITS_AT_ONCE`.

    The first batches depend only on the requests in them and those not yet answered, so that a run that was cut
    between two batches forms the remaining ones exactly as it would have.
    """
    order = sorted(range(len(requests)), key=lambda i: (-len(requests[i].context), requests[i].context))
    batch: list[int] = []
    rows = width = 0
    for index in order:
        sequences = requests[index].rows
        grown = max(width, *(len(s) for s in sequences))
        read = grown - len(requests[index].context) + 1  # the contexts come longest first: this one is the shortest
        if batch and (rows + len(sequences)) * max(grown / TOKENS_AT_ONCE, read / LOGITS_AT_ONCE) > 1:
            yield batch
            batch, rows, grown = [], 0, max(len(s) for s in sequences)
        batch.append(index)
        rows, width = rows + len(sequences), grown
    if batch:
        yield batch


@torch.inference_mode()
def choice_log_probs(model: Any, requests: Sequence[EncodedChoice], prefix_cache: PrefixCache) -> list[list[float]]:
    """Log-probability of each choice of each request, all computed in one padded batch behind their shared prefix."""
    rows = [row for request in requests for row in request.rows]
    prefix = shared_prefix([request.context for request in requests])
    tails = [row[len(prefix) :] for row in rows]
    width = max(len(tail) for tail in tails)
    ids_BT = torch.tensor([[*t, *[0] * (width - len(t))] for t in tails], device=model.device)
    mask_BT = torch.tensor([[1] * (len(prefix) + len(t)) + [0] * (width - len(t)) for t in tails], device=model.device)
    cache = prefix_cache.expanded(model, prefix, len(rows)) if prefix else DynamicCache(config=model.config)
    positions_1T = torch.arange(len(prefix), len(prefix) + width, device=model.device)[None]
    first_read = min(len(request.context) for request in requests) - 1 - len(prefix)
    logits_BKV = model(
        ids_BT,
        attention_mask=mask_BT,
        position_ids=positions_1T,
        past_key_values=cache,
        logits_to_keep=torch.arange(first_read, width, device=model.device),
    ).logits

    results: list[list[float]] = []
    row = 0
    for request in requests:
        request_rows = request.rows
        start = len(request.context) - 1 - len(prefix) - first_read
        log_probs = [
            _log_prob(logits_BKV[row + _row_of(request, choice, request_rows), start:], choice)
            for choice in request.choices
        ]
        results.append(without_longer_choices(request.choices, log_probs))
        row += len(request_rows)
    return results


def without_longer_choices(choices: Sequence[tuple[int, ...]], log_probs: Sequence[float]) -> list[float]:
    """Takes from each choice the probability of the choices that it begins: of "1" where it goes on to "10"."""
    reduced: list[float] = []
    for choice, log_prob in zip(choices, log_probs, strict=True):
        longer = {c: lp for c, lp in zip(choices, log_probs, strict=True) if _begins(choice, c)}
        nearest = [lp for c, lp in longer.items() if not any(_begins(other, c) for other in longer)]
        share = sum(math.exp(lp - log_prob) for lp in nearest) if log_prob > -math.inf else 0.0
        reduced.append(log_prob + math.log1p(-share) if share < 1.0 else -math.inf)
    return reduced


def _begins(start: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    return len(start) < len(whole) and whole[: len(start)] == start


def _row_of(request: EncodedChoice, choice: tuple[int, ...], rows: list[tuple[int, ...]]) -> int:
    sequence = request.context + choice[:-1]
    return next(i for i, row in enumerate(rows) if row[: len(sequence)] == sequence)


def _log_prob(logits_KV: Tensor, choice: tuple[int, ...]) -> float:
    log_probs_CV = torch.log_softmax(logits_KV[: len(choice)].float(), dim=-1)
    return float(sum(log_probs_CV[i, token] for i, token in enumerate(choice)))


def shared_prefix(contexts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The longest common prefix, at least one token short of the shortest context, cut to a multiple of PREFIX_STEP."""
    low, high = min(contexts), max(contexts)
    limit = min(len(context) for context in contexts) - 1
    length = 0
    while length < limit and low[length] == high[length]:
        length += 1
    return low[: length - length % PREFIX_STEP]
