"""Log-probabilities of groups of responses, each prompt computed once for its whole group.

A group is packed into one row: the prompt, then every response, each response attending to the prompt and to itself
only and counting its positions from the prompt's end. The result, and its gradient, are those of separate sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from preceptor.objectives.log_probs import token_log_probs


@dataclass(frozen=True)
class TokenGroup:
    """A prompt and the responses sampled for it, as token ids. No response is empty."""

    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]


def packed_log_probs(model: Any, groups: Sequence[TokenGroup], temperature: float) -> Tensor:
    """Log-probability of every response token of every group at a sampling temperature.

    Args:
        model: a transformers causal language model that takes a 4-D attention mask.
        groups: one row of the batch each, padded on the right to the longest.

    Returns: N log-probabilities, fp32: group by group, response by response, token by token.
    """
    return packed_forward(model, groups, temperature, hidden=False)[0]


def packed_forward(
    model: Any, groups: Sequence[TokenGroup], temperature: float, *, hidden: bool
) -> tuple[Tensor, Tensor | None]:
    """Log-probabilities as `packed_log_probs` gives them and, if wanted, the hidden states they came from.

    Returns: N log-probabilities, and N × H last hidden states: each belongs to the place *before* its token, which
        knows the prompt and the response so far.
    """
    if any(not group.prompt or not all(group.responses) for group in groups):
        raise ValueError("an empty prompt or response has no log-probabilities")
    length = max(len(g.prompt) + sum(map(len, g.responses)) for g in groups)
    rows = [_pack(group, length) for group in groups]
    first_read = min(len(group.prompt) for group in groups) - 1
    output = model(
        torch.tensor([row.tokens for row in rows], device=model.device),
        attention_mask=_attention_mask(rows, model.dtype, model.device),
        position_ids=torch.tensor([row.positions for row in rows], device=model.device),
        logits_to_keep=torch.arange(first_read, length, device=model.device),
        use_cache=False,
        output_hidden_states=hidden,
    )
    row_N = torch.tensor([i for i, row in enumerate(rows) for _ in row.targets], device=model.device)
    read_N = torch.tensor([read for row in rows for read in row.reads], device=model.device)
    tokens_N = torch.tensor([token for row in rows for token in row.targets], device=model.device)
    log_probs_N = token_log_probs(output.logits[row_N, read_N - first_read], tokens_N, temperature)
    return log_probs_N, output.hidden_states[-1][row_N, read_N] if hidden else None


@dataclass(frozen=True)
class _Row:
    tokens: list[int]
    positions: list[int]
    segments: list[int]
    """0 for the prompt, 1.. for each response, -1 for padding."""
    reads: list[int]
    """For each response token, the place whose logits predict it."""
    targets: list[int]


def _pack(group: TokenGroup, length: int) -> _Row:
    prompt_length = len(group.prompt)
    tokens, positions, segments = list(group.prompt), list(range(prompt_length)), [0] * prompt_length
    reads: list[int] = []
    for segment, response in enumerate(group.responses, start=1):
        start = len(tokens)
        reads += [prompt_length - 1, *range(start, start + len(response) - 1)]
        tokens += response
        positions += range(prompt_length, prompt_length + len(response))
        segments += [segment] * len(response)
    padding = length - len(tokens)
    targets = [token for response in group.responses for token in response]
    return _Row(tokens + [0] * padding, positions + [0] * padding, segments + [-1] * padding, reads, targets)


def _attention_mask(rows: Sequence[_Row], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Additive mask, P × 1 × T × T: 0 where a place may look, the lowest number where it may not."""
    segments_PT = torch.tensor([row.segments for row in rows], device=device)
    places_T = torch.arange(segments_PT.shape[1], device=device)
    causal_TT = places_T[:, None] >= places_T[None, :]
    same_PTT = segments_PT[:, :, None] == segments_PT[:, None, :]
    prompt_PTT = segments_PT[:, None, :] == 0
    allowed_PTT = causal_TT & (same_PTT | prompt_PTT)
    mask_PTT = torch.zeros(allowed_PTT.shape, dtype=dtype, device=device)
    return mask_PTT.masked_fill(~allowed_PTT, torch.finfo(dtype).min)[:, None]
