"""Sampling: a group of responses for each prompt; the prompt is computed once per group."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from preceptor.backends.transformers.attention import KEYS_ROUND, in_use, round_up
from preceptor.backends.transformers.choosing import PrefixCache, shared_prefix
from preceptor.backends.transformers.layout import reading
from preceptor.backends.transformers.traits import decoding, traits
from preceptor.core.ticks import tick

PROMPTS_ROUND = 16
"""Prompts are padded to a multiple of this many tokens, for the reason given at `KEYS_ROUND`."""
ROWS_AT_ONCE = 64
"""Most responses decoded together. More use the hardware better and need more memory for the key-value cache."""
TOKENS_A_TICK = 16
"""Progress is reported whenever a batch has grown by this many tokens."""


@dataclass(frozen=True)
class SampledResponse:
    """Token ids of one response, including the end-of-sequence token if the model gave it."""

    token_ids: tuple[int, ...]
    finished: bool
    log_probs: tuple[float, ...] = ()
    """Log-probability with which each token was sampled, if it was asked for."""

    @property
    def content_ids(self) -> tuple[int, ...]:
        """The ids without the end-of-sequence token."""
        return self.token_ids[:-1] if self.finished else self.token_ids


IsLast: TypeAlias = Callable[[int, Sequence[int]], bool]
"""Whether a row of a batch (its number, its tokens so far) may not get another token."""


@torch.inference_mode()
def sample_groups(
    model: Any,
    prompt_ids_P: Sequence[Sequence[int]],
    *,
    seeds_P: Sequence[int],
    group_size: int,
    max_new_tokens: int,
    temperature: float,
    eos_ids: Sequence[int],
    limits_P: Sequence[int] | None = None,
    prefix_cache: PrefixCache | None = None,
    rows_at_once: int = ROWS_AT_ONCE,
    last_of: Callable[[], IsLast] | None = None,
    log_probs: bool = False,
) -> list[list[SampledResponse]]:
    """Samples `group_size` responses (G) to each of P prompts, each group from its own seed.

    A response ends at its first end-of-sequence token, whatever the padding token is. `temperature` divides the logits;
    0 is greedy. A group's random numbers do not depend on the other prompts.

    Args:
        limits_P: length limits of each prompt's responses, where they are below `max_new_tokens`. They change nothing
            but where a response is cut.
        prefix_cache: what a batch's prompts begin with alike is computed once and kept here, if the model allows it.
        last_of: called for each batch of rows; says which of them end before their limit.
        log_probs: also keep the log-probability of each token, at a temperature above 0.

    Returns: P lists of G responses.
    """
    prompts_at_once = max(1, rows_at_once // group_size) if traits(model).padded_prompts else 1
    groups: list[list[SampledResponse]] = []
    for start in range(0, len(prompt_ids_P), prompts_at_once):
        batch = slice(start, start + prompts_at_once)
        draw = _drawing(seeds_P[batch], group_size, max_new_tokens, temperature, None, model.device)
        limits = [min(max_new_tokens, limit) for limit in (limits_P or [max_new_tokens] * len(prompt_ids_P))[batch]]
        known = prefix_cache is not None and traits(model).kept_prefixes
        prefix = shared_prefix([tuple(ids) for ids in prompt_ids_P[batch]]) if known else ()
        cache = prefix_cache.expanded(model, prefix, len(limits)) if prefix_cache is not None and prefix else None
        is_last = _never if last_of is None else last_of()
        kept_BT = torch.zeros(len(limits) * group_size if log_probs else 0, max_new_tokens, device=model.device)
        draw = _keeping(draw, temperature, kept_BT) if log_probs else draw
        rows = _decode(
            model, prompt_ids_P[batch], group_size, limits, eos_ids, draw, cache, len(prefix), is_last=is_last
        )
        if log_probs:
            rows = [_with_log_probs(row, kept_T) for row, kept_T in zip(rows, kept_BT.tolist(), strict=True)]
        groups += [rows[i : i + group_size] for i in range(0, len(rows), group_size)]
        tick("sampling", len(groups), len(prompt_ids_P))
    return groups


@torch.inference_mode()
def sample_each(
    model: Any,
    prompt_ids_B: Sequence[Sequence[int]],
    *,
    seeds_B: Sequence[int],
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    eos_ids: Sequence[int],
    prefix: tuple[int, ...] = (),
    prefix_cache: PrefixCache | None = None,
) -> list[SampledResponse]:
    """Samples one continuation of each of B prompts together, each row from its own seed.

    A row's random numbers do not depend on the other rows. `prefix` begins every prompt and is computed once.
    """
    draw = _drawing(seeds_B, 1, max_new_tokens, temperature, top_k, model.device)
    cache = prefix_cache.expanded(model, prefix, len(prompt_ids_B)) if prefix_cache is not None and prefix else None
    limits = [max_new_tokens] * len(prompt_ids_B)
    return _decode(model, prompt_ids_B, 1, limits, eos_ids, draw, cache, len(prefix))


Draw = Callable[[Tensor, Tensor, int], Tensor]
"""Picks the next tokens (B) from the logits (B × V), the batch's rows (B) and the step."""


def _never(row: int, ids: Sequence[int]) -> bool:
    return False


def _drawing(
    seeds_P: Sequence[int], group_size: int, steps: int, temperature: float, top_k: int | None, device: torch.device
) -> Draw:
    """Draws with one random number for each row and step; a group's numbers come from the group's seed."""
    if not seeds_P:
        raise ValueError("no prompts to sample for")
    uniform_BT = torch.cat(
        [torch.rand(group_size, steps, generator=torch.Generator().manual_seed(seed)) for seed in seeds_P]
    ).to(device)

    def draw(logits_BV: Tensor, rows_B: Tensor, step: int) -> Tensor:
        return _draw(logits_BV, temperature, uniform_BT[rows_B, step], top_k)

    return draw


def _keeping(draw: Draw, temperature: float, kept_BT: Tensor) -> Draw:
    """Draws the same, and writes down the log-probability of each token that is drawn."""

    def draw_and_keep(logits_BV: Tensor, rows_B: Tensor, step: int) -> Tensor:
        tokens_B = draw(logits_BV, rows_B, step)
        scaled_BV = logits_BV.to(torch.float32, copy=True).div_(temperature)
        kept_BT[rows_B, step] = scaled_BV.gather(1, tokens_B[:, None]).squeeze(1) - scaled_BV.logsumexp(dim=-1)
        return tokens_B

    return draw_and_keep


def _with_log_probs(response: SampledResponse, kept_T: Sequence[float]) -> SampledResponse:
    return replace(response, log_probs=tuple(kept_T[: len(response.token_ids)]))


def _decode(
    model: Any,
    prompt_ids_P: Sequence[Sequence[int]],
    group_size: int,
    limits_P: Sequence[int],
    eos_ids: Sequence[int],
    draw: Draw,
    cache: DynamicCache | None = None,
    cached: int = 0,
    *,
    is_last: IsLast = _never,
) -> list[SampledResponse]:
    """Decodes P × G rows together; a row that has finished or reached its limit leaves the batch. Returns the rows
    prompt by prompt.

    `cache` holds the first `cached` tokens of every prompt.
    """
    max_new_tokens = max(limits_P)
    if not traits(model).padded_prompts:
        alone = (
            _decode_alone(model, ids, group_size, limit, eos_ids, *_from(place * group_size, draw, is_last))
            for place, (ids, limit) in enumerate(zip(prompt_ids_P, limits_P, strict=True))
        )
        return [response for responses in alone for response in responses]
    one_mask = in_use(model) and not traits(model).windows  # one mask for all layers, made here
    round_to = KEYS_ROUND if one_mask else 1
    ids_PT, mask_PT = _left_padded([ids[cached:] for ids in prompt_ids_P], min(PROMPTS_ROUND, round_to), model.device)
    mask_PT = torch.cat([mask_PT.new_ones(len(mask_PT), cached), mask_PT], dim=1)
    cache = cache or DynamicCache(config=model.config)
    positions_PT = (mask_PT.cumsum(dim=1) - 1).clamp(min=0)[:, cached:]
    last = torch.tensor([ids_PT.shape[1] - 1], device=model.device)  # an index, not a count: a count slices, and the
    # product of a strided slice with the output embeddings copies these once per row
    logits_PV = model(
        ids_PT, attention_mask=mask_PT, position_ids=positions_PT, past_key_values=cache, logits_to_keep=last
    ).logits[:, 0]
    cache.batch_repeat_interleave(group_size)
    cache = _with_room(model, cache, whole=one_mask)
    mask_BT = mask_PT.repeat_interleave(group_size, dim=0)
    positions_B1 = mask_BT.sum(dim=1, keepdim=True) - 1
    if one_mask:  # additive; transformers uses a mask of four dimensions unchanged
        lowest = torch.finfo(model.dtype).min
        hidden_BT = torch.nn.functional.pad(mask_BT == 0, (0, max_new_tokens + round_to), value=True)
        mask_BT = torch.zeros(hidden_BT.shape, dtype=model.dtype).masked_fill(hidden_BT, lowest)[:, None, None]
    else:
        mask_BT = torch.nn.functional.pad(mask_BT, (0, max_new_tokens), value=1)
    taken: list[list[int]] = [[] for _ in range(len(mask_BT))]
    finished = [False] * len(taken)
    active_B = torch.arange(len(taken), device=model.device)  # the row of `taken` that each row of the batch fills
    next_B = draw(logits_PV.repeat_interleave(group_size, dim=0), active_B, 0)
    ends = torch.tensor(list(eos_ids), device=model.device)
    limits_B = torch.tensor(list(limits_P), device=model.device).repeat_interleave(group_size)
    for step in range(max_new_tokens):
        if step % TOKENS_A_TICK == 0:
            tick("tokens", step, max_new_tokens)
        for row, token in zip(active_B.tolist(), next_B.tolist(), strict=True):
            taken[row].append(token)
        ended_B = torch.isin(next_B, ends)
        for row in active_B[ended_B].tolist():
            finished[row] = True
        leaving_B = ended_B | (limits_B <= step + 1)
        if is_last is not _never:
            leaving_B |= torch.tensor([is_last(row, taken[row]) for row in active_B.tolist()], device=model.device)
        if bool(leaving_B.any()):
            keep = (~leaving_B).nonzero().squeeze(1)
            if len(keep) == 0:
                break
            cache.batch_select_indices(keep)
            active_B, next_B = active_B[keep], next_B[keep]
            positions_B1, mask_BT, limits_B = positions_B1[keep], mask_BT[keep], limits_B[keep]
        positions_B1 = positions_B1 + 1
        seen = mask_PT.shape[1] + step + 1
        if one_mask:
            mask_BT[..., seen - 1] = 0
        logits_BV = model(
            next_B[:, None],
            attention_mask=mask_BT[..., : round_up(seen, round_to)],
            position_ids=positions_B1,
            past_key_values=cache,
        ).logits[:, -1]
        next_B = draw(logits_BV, active_B, step + 1)
    tick("tokens", max_new_tokens, max_new_tokens)
    return [SampledResponse(tuple(ids), ended) for ids, ended in zip(taken, finished, strict=True)]


def _decode_alone(
    model: Any,
    prompt_ids: Sequence[int],
    group_size: int,
    max_new_tokens: int,
    eos_ids: Sequence[int],
    draw: Draw,
    is_last: IsLast,
) -> list[SampledResponse]:
    """Decodes one prompt's G rows without padding, with whatever cache the model keeps. Finished rows stay in the batch
    until all have finished, because such a cache cannot be divided.
    """
    rows_B, taken = torch.arange(group_size, device=model.device), [[] for _ in range(group_size)]
    done, finished = [False] * group_size, [False] * group_size
    ids_BT, seen, output = torch.tensor([list(prompt_ids)] * group_size, device=model.device), 0, None
    for step in range(max_new_tokens):
        width = ids_BT.shape[1]
        with reading(model, [width * (row + 1) - 1 for row in range(group_size)]):
            output = model(**decoding(model, ids_BT, seen, output))
        seen += width
        next_B = draw(output.logits.flatten(0, -2), rows_B, step)
        for row, token in enumerate(next_B.tolist()):
            if not done[row]:
                taken[row].append(token)
                finished[row] = token in eos_ids
                done[row] = finished[row] or is_last(row, taken[row])
        if all(done):
            break
        ids_BT = next_B[:, None]
    return [SampledResponse(tuple(ids), end) for ids, end in zip(taken, finished, strict=True)]


def _from(first: int, draw: Draw, is_last: IsLast) -> tuple[Draw, IsLast]:
    """The same for rows that start at `first`."""
    return (
        lambda logits_BV, rows_B, step: draw(logits_BV, rows_B + first, step),
        lambda row, ids: is_last(row + first, ids),
    )


def _draw(logits_BV: Tensor, temperature: float, uniform_B: Tensor, top_k: int | None) -> Tensor:
    if temperature == 0.0:
        return logits_BV.argmax(dim=-1)
    if top_k is not None and top_k < logits_BV.shape[1]:
        floor_B1 = logits_BV.topk(top_k, dim=-1).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < floor_B1, -torch.inf)
    # Inverse of the cumulative distribution: one random number per row, where `multinomial` draws one per token.
    shares_BV = logits_BV.to(torch.float32, copy=True).div_(temperature)
    torch.softmax(shares_BV, dim=-1, out=shares_BV)
    torch.cumsum(shares_BV, dim=-1, out=shares_BV)
    threshold_B1 = uniform_B[:, None] * shares_BV[:, -1:]
    return torch.searchsorted(shares_BV, threshold_B1, right=True).squeeze(1).clamp(max=logits_BV.shape[1] - 1)


class _RoomyLayer(DynamicLayer):
    """Keys and values in arrays that have room for more tokens and grow in steps.

    Args:
        room: the step, in tokens.
        whole: whether to return whole arrays, with zeros where there is no token yet; a product with a part of an array
            would copy it first.
    """

    def __init__(self, layer: Any, room: int, whole: bool) -> None:
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self._length, self._room, self._whole = 0, room, whole
        self._keys, self._values = (x.new_empty(*x.shape[:2], 0, x.shape[3]) for x in (layer.keys, layer.values))
        self.update(layer.keys, layer.values)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Appends keys and values, and returns all of them."""
        new = slice(self._length, self._length + key_states.shape[2])
        if new.stop > self._keys.shape[2]:
            more = round_up(new.stop, self._room) - self._keys.shape[2]
            self._keys, self._values = (torch.nn.functional.pad(x, (0, 0, 0, more)) for x in (self._keys, self._values))
        self._keys[:, :, new], self._values[:, :, new] = key_states, value_states
        self._length = new.stop
        return self._shown()

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keeps some rows of the batch."""
        self._keys, self._values = self._keys[indices], self._values[indices]
        self._shown()

    def _shown(self) -> tuple[Tensor, Tensor]:
        length = self._keys.shape[2] if self._whole else self._length
        keys, values = self._keys[:, :, :length], self._values[:, :, :length]
        self.keys, self.values = keys, values
        return keys, values


def _with_room(model: Any, cache: DynamicCache, *, whole: bool) -> DynamicCache:
    """The same cache with room for more tokens; other kinds of layers, such as sliding windows, are unchanged."""
    layers: list[Any] = cache.layers
    roomy: Any = DynamicCache(config=model.config)
    roomy.layers = [_RoomyLayer(layer, KEYS_ROUND, whole) if type(layer) is DynamicLayer else layer for layer in layers]
    return roomy


def _left_padded(sequences: Sequence[Sequence[int]], round_to: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens and mask, as wide as the next multiple of `round_to`."""
    longest = round_up(max(len(s) for s in sequences), round_to)
    ids_PT = torch.tensor([[0] * (longest - len(s)) + list(s) for s in sequences], device=device)
    mask_PT = torch.tensor([[0] * (longest - len(s)) + [1] * len(s) for s in sequences], device=device)
    return ids_PT, mask_PT
