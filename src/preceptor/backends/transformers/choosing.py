"""Log-probabilities of choices. Shared prefixes are computed once, and logits only where a choice needs them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from preceptor.backends.transformers.cores import side_by_side, workers
from preceptor.backends.transformers.forest import common_length, in_parts
from preceptor.backends.transformers.layout import lay_out, read
from preceptor.backends.transformers.traits import traits

PREFIX_BLOCK = 64
"""A shared prefix is computed and cached in blocks of this many tokens, so that the cache does not depend on earlier
requests.
"""
WORTH_A_WORKER = 128
"""Fewest tokens that are worth a separate worker."""


@dataclass(frozen=True)
class EncodedChoice:
    """One request as token ids: the context and the choices that may follow it."""

    context: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> list[tuple[int, ...]]:
        """The sequences to compute: the context followed by all but the last token of each choice. A sequence is left
        out if another begins with it (choices of a single token all read the context's last position).
        """
        stems = {choice[:-1] for choice in self.choices}
        kept = [s for s in stems if not any(s != other and other[: len(s)] == s for other in stems)]
        return [self.context + stem for stem in sorted(kept)]


class PrefixCache:
    """The key-value cache of the last shared prefix, kept between batches and calls; for models that compute a forest.
    Layers with a window keep all of it too; their masks hide keys outside the window.
    """

    def __init__(self) -> None:
        self._prefix: tuple[int, ...] = ()
        self._layers: list[tuple[Tensor, Tensor]] = []

    def expanded(self, model: Any, prefix: tuple[int, ...], rows: int) -> DynamicCache:
        """A fresh cache that holds the whole blocks of `prefix` for a batch of `rows`."""
        self.keep(model, prefix)
        return self._first(model, len(prefix), rows)

    def keep(self, model: Any, prefix: tuple[int, ...]) -> None:
        """Computes the part of a prefix that is not cached. Afterwards several threads may call `expanded` at once."""
        known = common_length(prefix, self._prefix) // PREFIX_BLOCK * PREFIX_BLOCK
        if known < len(prefix):
            cache = self._first(model, known, 1)
            for start in range(known, len(prefix), PREFIX_BLOCK):
                block = torch.tensor([prefix[start : start + PREFIX_BLOCK]], device=model.device)
                model(block, past_key_values=cache, logits_to_keep=1)
            layers: list[Any] = cache.layers
            self._layers = [(layer.keys, layer.values) for layer in layers]
            self._prefix = prefix

    def _first(self, model: Any, length: int, rows: int) -> DynamicCache:
        """A cache of the first tokens of the prefix."""
        cache = DynamicCache()
        if length:
            for index, (keys, values) in enumerate(self._layers):
                shape = (rows, -1, -1, -1)
                cache.update(keys[:, :, :length].expand(shape), values[:, :, :length].expand(shape), index)
        return cache


def batches(requests: Sequence[EncodedChoice], at_once: int, *, forest: bool = True) -> Iterator[list[int]]:
    """Indices of requests to compute together, at most `at_once` tokens; requests that begin alike are adjacent.

    Args:
        forest: whether a beginning shared by requests is computed once.

    Each batch depends only on the requests that are not yet answered, so a run that was stopped between two batches
    forms the remaining ones exactly as an uninterrupted run.
    """
    order = sorted(range(len(requests)), key=lambda i: requests[i].context)
    batch: list[int] = []
    alone = shared = 0
    for index in order:
        context = requests[index].context
        rows = requests[index].rows
        own = len(context) + sum(len(row) - len(context) for row in rows) if forest else sum(map(len, rows))
        if batch:
            common = common_length(requests[batch[-1]].context, context) if forest else 0
            if alone + own - common - min(shared, common) > at_once:
                yield batch
                batch = []
            else:
                alone, shared = alone + own - common, min(shared, common)
        if not batch:
            alone, shared = own, len(context)
        batch.append(index)
    if batch:
        yield batch


@torch.inference_mode()
def choice_log_probs(model: Any, requests: Sequence[EncodedChoice], prefix_cache: PrefixCache) -> list[list[float]]:
    """Log-probability of each choice of each request. The prefix shared by all is computed once, and so are further
    beginnings shared by some; a model that computes no forest computes every text separately.
    """
    rows = [(row, len(request.context) - 1) for request in requests for row in request.rows]
    logits = _logits(model, rows, prefix_cache)

    results: list[list[float]] = []
    row = 0
    for request in requests:
        request_rows = request.rows
        log_probs = [
            _log_prob(logits[row + _row_of(request, choice, request_rows)], choice) for choice in request.choices
        ]
        results.append(without_longer_choices(request.choices, log_probs))
        row += len(request_rows)
    return results


Read = tuple[tuple[int, ...], int]
"""A text, and the first of its tokens whose logits are wanted."""


def _logits(model: Any, rows: Sequence[Read], prefix_cache: PrefixCache) -> Sequence[Tensor]:
    """The wanted logits of each text, computed in one forest for each worker."""
    forest = traits(model).forest
    prefix = shared_prefix([text[: first + 1] for text, first in rows]) if forest else ()
    prefix_cache.keep(model, prefix)

    def compute(part: range) -> Sequence[Tensor]:
        layout = lay_out(model, [rows[i][0] for i in part], len(prefix))
        reads = [places[rows[i][1] - len(prefix) :] for places, i in zip(layout.places, part, strict=True)]
        known = {"past_key_values": prefix_cache.expanded(model, prefix, 1)} if prefix else {}
        logits_RV, _ = read(model, layout.arguments | known, [place for places in reads for place in places])
        return logits_RV.split([len(places) for places in reads])

    before: list[tuple[int, ...]] = [prefix, *(text if forest else () for text, _ in rows[:-1])]
    sizes = [len(text) - common_length(text, other) for (text, _), other in zip(rows, before, strict=True)]
    count = min(workers(model.device), max(1, sum(sizes) // WORTH_A_WORKER))
    parts = in_parts(sizes, sum(sizes), count)
    return [logits for part in side_by_side(model.device, compute, parts) for logits in part]


def without_longer_choices(choices: Sequence[tuple[int, ...]], log_probs: Sequence[float]) -> list[float]:
    """Subtracts from each choice the probability of longer choices that begin with it, such as "10" from "1"."""
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
    """Whole blocks of the longest common prefix, at least one token short of the shortest context."""
    limit = min(len(context) for context in contexts) - 1
    length = min(limit, common_length(min(contexts), max(contexts)))
    return contexts[0][: length - length % PREFIX_BLOCK]
