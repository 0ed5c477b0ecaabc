"""Log-probabilities of groups of responses, each prompt computed once for its whole group.

A prompt and its responses are a tree of texts that begin alike (`backends.transformers.forest`). The result, and its
gradient, are those of separate sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from preceptor.backends.transformers.attention import forest_arguments
from preceptor.backends.transformers.forest import Forest
from preceptor.objectives.log_probs import head_log_probs, token_log_probs


@dataclass(frozen=True)
class TokenGroup:
    """A prompt and the responses sampled for it, as token ids. No response is empty."""

    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Tokens to compute."""
        return len(self.prompt) + sum(map(len, self.responses))


def packed_log_probs(model: Any, groups: Sequence[TokenGroup], temperature: float) -> Tensor:
    """Log-probability of every response token of every group at a sampling temperature.

    Args:
        model: a transformers causal language model, one under adapters too.

    Returns: N log-probabilities, fp32: group by group, response by response, token by token.
    """
    return packed_forward(model, groups, temperature)[0]


def packed_forward(
    model: Any, groups: Sequence[TokenGroup], temperature: float, *, plain_head: bool | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probabilities as `packed_log_probs` gives them, and the hidden states they came from.

    Args:
        plain_head: what `has_plain_head` says of the model, where it is known.

    Returns: N log-probabilities, and N × H last hidden states: each belongs to the place *before* its token, which
        knows the prompt and the response so far.
    """
    if any(not group.prompt or not all(group.responses) for group in groups):
        raise ValueError("an empty prompt or response has no log-probabilities")
    forest = Forest()
    reads: list[int] = []
    for group in groups:
        for response in group.responses:
            forest.add(group.prompt + response)
            reads += forest.places[-1][len(group.prompt) - 1 : -1]
    read_N = torch.tensor(reads, device=model.device)
    tokens_N = torch.tensor([t for g in groups for response in g.responses for t in response], device=model.device)
    plain: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    head: Any = model.get_output_embeddings()
    if has_plain_head(plain) if plain_head is None else plain_head:
        decoder = getattr(plain, plain.base_model_prefix)
        hidden_NH = decoder(**forest_arguments(plain, forest)).last_hidden_state[0, read_N]
        if head.weight.requires_grad:
            return token_log_probs(head(hidden_NH), tokens_N, temperature), hidden_NH
        return head_log_probs(hidden_NH, head.weight, tokens_N, temperature), hidden_NH
    output = model(**forest_arguments(plain, forest), logits_to_keep=read_N, output_hidden_states=True)
    return token_log_probs(output.logits[0], tokens_N, temperature), output.hidden_states[-1][0, read_N]


@torch.inference_mode()
def has_plain_head(model: Any) -> bool:
    """Whether a model's logits are the product of its last hidden state and its output embeddings, nothing scaled,
    capped or added.
    """
    output = model(torch.tensor([[0, 1]], device=model.device), use_cache=False, output_hidden_states=True)
    head = model.get_output_embeddings()
    return torch.equal(torch.nn.functional.linear(output.hidden_states[-1], head.weight), output.logits)
