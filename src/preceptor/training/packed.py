"""Log-probabilities of groups of responses. Each prompt is computed once for its whole group if the model allows it.

A prompt and its responses are a tree of texts with the same beginning (`backends.transformers.forest`). The result and
its gradient equal those of separate sequences; a model that cannot compute a forest gets separate sequences (`layout`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from preceptor.backends.transformers.layout import lay_out, read
from preceptor.backends.transformers.traits import decoder_of, traits
from preceptor.objectives.entropy import head_log_probs_and_entropies, token_entropies
from preceptor.objectives.log_probs import head_log_probs, token_log_probs


@dataclass(frozen=True)
class TokenGroup:
    """A prompt and the responses sampled for it, as token ids. No response is empty.

    Raises: ValueError when a mask does not have the shape of the responses.
    """

    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    learned: tuple[tuple[bool, ...], ...] | None = None
    """For each response, which of its tokens the policy wrote and is trained on: a trajectory also holds what tools and
    users said. None where the policy wrote all."""
    sampler_log_probs: tuple[tuple[float, ...], ...] | None = None
    """For each response, the log-probability of each learned token as it was sampled, if that was kept."""

    def __post_init__(self) -> None:
        if self.learned is not None and list(map(len, self.learned)) != list(map(len, self.responses)):
            raise ValueError(
                f"masks of {list(map(len, self.learned))} tokens for responses of {list(map(len, self.responses))}"
            )
        if self.sampler_log_probs is not None and (said := list(map(len, self.sampler_log_probs))) != self.lengths:
            raise ValueError(f"log-probabilities of {said} sampled tokens for {self.lengths} learned ones")

    @property
    def lengths(self) -> list[int]:
        """Number of learned tokens of each response."""
        return list(map(len, self.responses) if self.learned is None else map(sum, self.learned))

    @property
    def masks(self) -> tuple[tuple[bool, ...], ...]:
        """For each response, which of its tokens are learned."""
        return tuple((True,) * len(ids) for ids in self.responses) if self.learned is None else self.learned

    @property
    def turn_lengths(self) -> list[list[int]]:
        """Number of tokens of each turn of each response: of each run of learned tokens, since something that the
        policy did not write stands between two turns.
        """
        if self.learned is None:
            return [[length] for length in self.lengths]
        return [[len(list(run)) for learned, run in groupby(mask) if learned] for mask in self.learned]

    @property
    def size(self) -> int:
        """Number of tokens to compute; the prompt counts once."""
        return len(self.prompt) + sum(map(len, self.responses))

    def places(self, response: int) -> list[int]:
        """The indices of the learned tokens of a response."""
        tokens = range(len(self.responses[response]))
        return list(tokens if self.learned is None else compress(tokens, self.learned[response]))

    def only(self, kept: Sequence[object]) -> "TokenGroup":
        """The group without the responses whose entry in `kept` is false."""
        learned = None if self.learned is None else tuple(compress(self.learned, kept))
        said = None if self.sampler_log_probs is None else tuple(compress(self.sampler_log_probs, kept))
        return TokenGroup(self.prompt, tuple(compress(self.responses, kept)), learned, said)


class TokensComputed(NamedTuple):
    """What a model gives for N learned tokens."""

    log_probs_N: Tensor
    hidden_NH: Tensor
    """Last hidden states: each at the position *before* its token, which has seen the prompt and the response so far.
    """
    entropies_N: Tensor | None
    """Of the distributions that the tokens were taken from, in nats; None if they were not asked for."""


def tokens_of(model: Any, group: TokenGroup) -> int:
    """How many tokens a model computes for a group. Only a model that computes forests computes the prompt once."""
    again = 0 if traits(model).forest else len(group.prompt) * (len(group.responses) - 1)
    return group.size + again


def packed_log_probs(model: Any, groups: Sequence[TokenGroup], temperature: float) -> Tensor:
    """Log-probability of every learned token of every group at a sampling temperature.

    Args:
        model: a causal language model of transformers, with or without adapters.

    Returns: N log-probabilities, fp32: group by group, response by response, token by token.
    Raises: ValueError when a prompt is empty, or a response has no learned token.
    """
    return packed_forward(model, groups, temperature).log_probs_N


def packed_forward(
    model: Any,
    groups: Sequence[TokenGroup],
    temperature: float,
    *,
    plain_head: bool | None = None,
    entropies: bool = False,
) -> TokensComputed:
    """Log-probabilities as in `packed_log_probs`, and the hidden states from which they were computed.

    Args:
        plain_head: the result of `has_plain_head` for this model, if it is known.
        entropies: also compute entropies, at the same temperature.
    """
    if any(not group.prompt or not all(group.lengths) for group in groups):
        raise ValueError("an empty prompt, or a response without a learned token, has no log-probabilities")
    texts = [(group, response) for group in groups for response in range(len(group.responses))]
    plain: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    layout = lay_out(plain, [group.prompt + group.responses[response] for group, response in texts])
    reads: list[int] = []
    tokens: list[int] = []
    for (group, response), places in zip(texts, layout.places, strict=True):
        for place in group.places(response):
            reads.append(places[len(group.prompt) + place - 1])
            tokens.append(group.responses[response][place])
    reads_N = torch.tensor(reads, device=model.device)
    tokens_N = torch.tensor(tokens, device=model.device)
    head: Any = model.get_output_embeddings()
    if has_plain_head(plain) if plain_head is None else plain_head:
        hidden_NH = decoder_of(plain)(**layout.arguments).last_hidden_state.flatten(0, 1)[reads_N]
        if not head.weight.requires_grad:
            if not entropies:
                return TokensComputed(head_log_probs(hidden_NH, head.weight, tokens_N, temperature), hidden_NH, None)
            log_probs_N, entropies_N = head_log_probs_and_entropies(hidden_NH, head.weight, tokens_N, temperature)
            return TokensComputed(log_probs_N, hidden_NH, entropies_N)
        logits_NV = head(hidden_NH)
    else:
        logits_NV, hidden_NH = read(plain, layout.arguments, reads)
    log_probs_N = token_log_probs(logits_NV, tokens_N, temperature)
    return TokensComputed(log_probs_N, hidden_NH, token_entropies(logits_NV, temperature) if entropies else None)


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
