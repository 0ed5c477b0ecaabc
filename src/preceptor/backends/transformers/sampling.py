"""Sampling: a group of responses for each prompt, the prompt computed once per group."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

ROWS_AT_ONCE = 64
"""Responses decoded together. More rows use the hardware better and need more memory for the key-value cache."""


@dataclass(frozen=True)
class SampledResponse:
    """Token ids of one response, the end-of-sequence token included where the model gave it."""

    token_ids: tuple[int, ...]
    finished: bool

    @property
    def content_ids(self) -> tuple[int, ...]:
        """The ids without the end-of-sequence token."""
        return self.token_ids[:-1] if self.finished else self.token_ids


@torch.inference_mode()
def sample_groups(
    model: Any,
    prompt_ids_P: Sequence[Sequence[int]],
    *,
    group_size: int,
    max_new_tokens: int,
    temperature: float,
    eos_ids: Sequence[int],
    seed: int,
) -> list[list[SampledResponse]]:
    """Samples `group_size` responses (G) for each of P prompts.

    The end of a response is its first end-of-sequence token, whatever the padding token is. `temperature` divides the
    logits; 0 is greedy. The same arguments give the same responses. Returns: P lists of G responses.
    """
    generator = torch.Generator(device=model.device).manual_seed(seed)
    prompts_at_once = max(1, ROWS_AT_ONCE // group_size)
    groups: list[list[SampledResponse]] = []
    for start in range(0, len(prompt_ids_P), prompts_at_once):
        batch = prompt_ids_P[start : start + prompts_at_once]
        rows = _decode(model, batch, group_size, max_new_tokens, temperature, eos_ids, generator)
        groups += [rows[i : i + group_size] for i in range(0, len(rows), group_size)]
    return groups


def _decode(
    model: Any,
    prompt_ids_P: Sequence[Sequence[int]],
    group_size: int,
    max_new_tokens: int,
    temperature: float,
    eos_ids: Sequence[int],
    generator: torch.Generator,
) -> list[SampledResponse]:
    """Decodes P × G rows together; a finished row leaves the batch. Returns the rows prompt by prompt."""
    ids_PT, mask_PT = _left_padded(prompt_ids_P, model.device)
    cache = DynamicCache(config=model.config)
    positions_PT = (mask_PT.cumsum(dim=1) - 1).clamp(min=0)
    last = torch.tensor([ids_PT.shape[1] - 1], device=model.device)  # an index, not a count: a count slices, and the
    # product of a strided slice with the output embeddings copies these once per row
    logits_PV = model(
        ids_PT, attention_mask=mask_PT, position_ids=positions_PT, past_key_values=cache, logits_to_keep=last
    ).logits[:, 0]
    cache.batch_repeat_interleave(group_size)
    mask_BT = mask_PT.repeat_interleave(group_size, dim=0)
    next_B = _draw(logits_PV.repeat_interleave(group_size, dim=0), temperature, generator)
    ends = torch.tensor(list(eos_ids), device=model.device)

    taken: list[list[int]] = [[] for _ in range(len(next_B))]
    finished = [False] * len(taken)
    active_B = torch.arange(len(taken), device=model.device)  # the row of `taken` that each row of the batch fills
    for step in range(max_new_tokens):
        for row, token in zip(active_B.tolist(), next_B.tolist(), strict=True):
            taken[row].append(token)
        ended_B = torch.isin(next_B, ends)
        for row in active_B[ended_B].tolist():
            finished[row] = True
        if bool(ended_B.any()):
            keep = (~ended_B).nonzero().squeeze(1)
            if len(keep) == 0:
                break
            cache.batch_select_indices(keep)
            active_B, next_B, mask_BT = active_B[keep], next_B[keep], mask_BT[keep]
        if step + 1 == max_new_tokens:
            break
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(mask_BT), 1)], dim=1)
        positions_B1 = mask_BT.sum(dim=1, keepdim=True) - 1
        logits_BV = model(
            next_B[:, None], attention_mask=mask_BT, position_ids=positions_B1, past_key_values=cache
        ).logits[:, -1]
        next_B = _draw(logits_BV, temperature, generator)
    return [SampledResponse(tuple(ids), ended) for ids, ended in zip(taken, finished, strict=True)]


def _draw(logits_BV: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    if temperature == 0.0:
        return logits_BV.argmax(dim=-1)
    # Inverse of the cumulative distribution: one random number per row, where `multinomial` draws one per token.
    cumulative_BV = torch.softmax(logits_BV.float() / temperature, dim=-1).cumsum(dim=-1)
    threshold_B1 = torch.rand(len(logits_BV), 1, generator=generator, device=logits_BV.device) * cumulative_BV[:, -1:]
    return torch.searchsorted(cumulative_BV, threshold_B1, right=True).squeeze(1).clamp(max=logits_BV.shape[1] - 1)


def _left_padded(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    longest = max(len(s) for s in sequences)
    ids_PT = torch.tensor([[0] * (longest - len(s)) + list(s) for s in sequences], device=device)
    mask_PT = torch.tensor([[0] * (longest - len(s)) + [1] * len(s) for s in sequences], device=device)
    return ids_PT, mask_PT
