"""Encodes pairs as tokens: the prompt once, followed by the chosen and the rejected response."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from preceptor.backends.transformers.rendering import TemplateRefusalError
from preceptor.backends.transformers.trajectories import EncodedTrajectory
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
    if unfit := _unfit(pair):
        return unfit
    try:
        prompt = policy.encode(pair.prompt)
    except TemplateRefusalError:
        return "the policy's chat template refuses the prompt"
    responses = _responses(policy, pair)
    if isinstance(responses, str):
        return responses
    chosen, rejected = responses
    if chosen == rejected:
        return "both responses have the same tokens"
    if len(prompt) + max(len(chosen.ids), len(rejected.ids)) > max_length:
        return f"longer than {max_length} tokens"
    learned = (chosen.learned, rejected.learned)
    group = TokenGroup(prompt, (chosen.ids, rejected.ids), None if all(map(all, learned)) else learned)
    return PackedPair(pair.id, group, pair.p_chosen, pair.weight)


def _responses(policy: Policy, pair: TrainingPair) -> tuple[EncodedTrajectory, EncodedTrajectory] | str:
    """The chosen and the rejected response, or the reason why there are none."""
    try:
        encode = partial(policy.format.encode_response, pair.prompt)
        return encode(pair.chosen), encode(pair.rejected)
    except TemplateRefusalError:
        return "the policy's chat template refuses a response"
    except UnfitThoughtError as error:
        return str(error)


def _unfit(pair: TrainingPair) -> str | None:
    """The reason why nothing can be learned from a pair, if its texts show one."""
    if not pair.chosen.acts or not pair.rejected.acts:
        return "a response is empty"
    return None
