"""Log-probabilities of groups of responses. Each prompt is computed once for its whole group if the model allows it.

A prompt and its responses are a tree of texts with the same beginning (`backends.transformers.forest`). The result and
its gradient equal those of separate sequences; a model that cannot compute a forest gets separate sequences (`layout`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from preceptor.backends.transformers.layout import lay_out, read
from preceptor.backends.transformers.traits import decoder_of, traits
from preceptor.objectives.log_probs import head_log_probs, token_log_probs


@dataclass(frozen=True)
class TokenGroup:
    """A prompt and the responses sampled for it, as token ids. No response is empty."""

    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Number of tokens to compute; the prompt counts once."""
        return len(self.prompt) + sum(map(len, self.responses))


def tokens_of(model: Any, group: TokenGroup) -> int:
    """How many tokens a model computes for a group. Only a model that computes forests computes the prompt once."""
    again = 0 if traits(model).forest else len(group.prompt) * (len(group.responses) - 1)
    return group.size + again


def packed_log_probs(model: Any, groups: Sequence[TokenGroup], temperature: float) -> Tensor:
    """Log-probability of every response token of every group at a sampling temperature.

    Args:
        model: a causal language model of transformers, with or without adapters.

    Returns: N log-probabilities, fp32: group by group, response by response, token by token.
    """
    return packed_forward(model, groups, temperature)[0]


def packed_forward(
    model: Any, groups: Sequence[TokenGroup], temperature: float, *, plain_head: bool | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probabilities as in `packed_log_probs`, and the hidden states from which they were computed.

    Args:
        plain_head: the result of `has_plain_head` for this model, if it is known.

    Returns: N log-probabilities, and N × H last hidden states: each at the position *before* its token, which has seen
        the prompt and the response so far.
    """
    if any(not group.prompt or not all(group.responses) for group in groups):
        raise ValueError("an empty prompt or response has no log-probabilities")
    texts = [(group.prompt, response) for group in groups for response in group.responses]
    plain: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    layout = lay_out(plain, [prompt + response for prompt, response in texts])
    reads: list[int] = []
    for (prompt, _), places in zip(texts, layout.places, strict=True):
        reads += places[len(prompt) - 1 : -1]
    reads_N = torch.tensor(reads, device=model.device)
    tokens_N = torch.tensor([token for _, response in texts for token in response], device=model.device)
    head: Any = model.get_output_embeddings()
    if has_plain_head(plain) if plain_head is None else plain_head:
        hidden_NH = decoder_of(plain)(**layout.arguments).last_hidden_state.flatten(0, 1)[reads_N]
        if head.weight.requires_grad:
            return token_log_probs(head(hidden_NH), tokens_N, temperature), hidden_NH
        return head_log_probs(hidden_NH, head.weight, tokens_N, temperature), hidden_NH
    logits_NV, hidden_NH = read(plain, layout.arguments, reads)
    return token_log_probs(logits_NV, tokens_N, temperature), hidden_NH


@torch.inference_mode()
def has_plain_head(model: Any) -> bool:
    """Whether a model's logits are just the product of its last hidden state and its output embeddings, without
    scaling, capping or bias.
    """
    arguments = {"input_ids": torch.tensor([[0, 1]], device=model.device), "use_cache": False}
    logits_NV, hidden_NH = read(model, arguments, [0, 1])
    decoded_NH = decoder_of(model)(**arguments).last_hidden_state[0]
    head = model.get_output_embeddings()
    return torch.equal(decoded_NH, hidden_NH) and torch.equal(
        torch.nn.functional.linear(hidden_NH[None], head.weight)[0], logits_NV
    )
