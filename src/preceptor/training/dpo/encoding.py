"""Encodes pairs as tokens: the prompt once, followed by the chosen and the rejected response."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.backends.transformers.rendering import TemplateRefusalError
from preceptor.backends.transformers.trajectories import EncodedTrajectory
from preceptor.core.types import Prompt, Response
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import Policy
from preceptor.training.response_format import UnfitThoughtError


@dataclass(frozen=True)
class PackedPair:
    """A pair as the policy reads it: one prompt, followed by both responses."""

    id: str
    tokens: TokenGroup
    """The prompt; the chosen response, then the rejected one. Of trajectories, what the policy wrote is learned."""
    p_chosen: float
    weight: float
    difference: float | None = None
    """By how much the chosen response is better, for losses with an offset."""


def pack_pairs(
    policy: Policy, pairs: Sequence[TrainingPair], max_length: int
) -> tuple[list[PackedPair], dict[str, int]]:
    """Encodes pairs, in an order that depends only on their contents.

    Args:
        max_length: most tokens of a prompt and one response, the end-of-sequence token included.

    Returns: the pairs, and how many were left out for each reason.
    Raises: UsageError when the policy's tokenizer has no chat template, or its template drops messages.
    """
    packed = [_pack(policy, pair, max_length) for pair in pairs]
    reasons = Counter(pair for pair in packed if isinstance(pair, str))
    encoded = [pair for pair in packed if isinstance(pair, PackedPair)]
    encoded.sort(key=lambda pair: (pair.id, pair.tokens.prompt, pair.tokens.responses, pair.p_chosen, pair.weight))
    return encoded, dict(reasons)


def _pack(policy: Policy, pair: TrainingPair, max_length: int) -> PackedPair | str:
    """The encoded pair, or the reason why there is none."""
    encoded = encode_responses(policy, pair.prompt, (pair.chosen, pair.rejected), max_length)
    if isinstance(encoded, str):
        return encoded
    prompt, (chosen, rejected) = encoded
    if chosen == rejected:
        return "both responses have the same tokens"
    learned = (chosen.learned, rejected.learned)
    group = TokenGroup(prompt, (chosen.ids, rejected.ids), None if all(map(all, learned)) else learned)
    return PackedPair(pair.id, group, pair.p_chosen, pair.weight, pair.difference)


def encode_responses(
    policy: Policy, prompt: Prompt, responses: Sequence[Response], max_length: int
) -> tuple[tuple[int, ...], list[EncodedTrajectory]] | str:
    """A prompt and responses to it as tokens, or the reason why there are none."""
    if not all(response.acts for response in responses):
        return "a response is empty"
    try:
        asked = policy.encode(prompt)
    except TemplateRefusalError:
        return "the policy's chat template refuses the prompt"
    try:
        encoded = [policy.format.encode_response(prompt, response) for response in responses]
    except TemplateRefusalError:
        return "the policy's chat template refuses a response"
    except UnfitThoughtError as error:
        return str(error)
    if len(asked) + max(len(response.ids) for response in encoded) > max_length:
        return f"longer than {max_length} tokens"
    return asked, encoded
