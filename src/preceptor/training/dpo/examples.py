"""Responses by themselves, as KTO learns them: of rows, or both of each pair (Ethayarajh et al. 2024, section 4.1).

The loss compares a response with the mean divergence from the reference, which is estimated on responses that belong to
other prompts.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from preceptor.core.errors import UsageError
from preceptor.core.hashing import unit_hash
from preceptor.store.rated_responses import RatedResponse
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.dpo.encoding import PackedPair, encode_responses
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.train import usable_pairs
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import Policy


@dataclass(frozen=True)
class Example:
    """A response by itself."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    learned: tuple[bool, ...]
    """Which tokens of the response are learned."""
    desirable: float
    """Probability that it is desirable; 0 and 1 are hard labels."""
    weight: float = 1.0

    @property
    def tokens(self) -> TokenGroup:
        """The example as the policy reads it."""
        return TokenGroup(self.prompt, (self.response,), None if all(self.learned) else (self.learned,))

    def after(self, prompt: tuple[int, ...]) -> TokenGroup:
        """Its response after another prompt."""
        return TokenGroup(prompt, (self.response,), self.tokens.learned)


def usable_examples(
    policy: Policy,
    pairs: Sequence[TrainingPair],
    rated: Sequence[RatedResponse],
    settings: DpoSettings,
    seed: int,
    on_note: Callable[[str], None],
) -> list[Example]:
    """The responses to learn from, in the order in which every epoch takes them.

    Args:
        on_note: called with how many pairs and responses were left out and why.

    Raises: UsageError when there is none.
    """
    of_pairs = examples_of(usable_pairs(policy, pairs, settings, on_note), seed) if pairs or not rated else []
    by_id = usable_rated(policy, rated, settings, on_note)
    if not of_pairs and not by_id:
        raise UsageError("no response to learn from: every row was left out")
    of_rows = [by_id[place] for place in sorted(by_id, key=lambda place: unit_hash(seed, "kto", *place))]
    return _mixed(of_pairs, of_rows)


def usable_rated(
    policy: Policy, rated: Sequence[RatedResponse], settings: DpoSettings, on_note: Callable[[str], None]
) -> dict[tuple[str, int], Example]:
    """The encoded responses of rows, by their ids and places among rows of the same id. What is left out is noted."""
    longest = min(settings.max_length, policy.base.context_window)
    examples: dict[tuple[str, int], Example] = {}
    reasons, ids = Counter[str](), Counter[str]()
    for each in rated:
        encoded = encode_responses(policy, each.prompt, [each.response], longest)
        if isinstance(encoded, str):
            reasons[encoded] += 1
        elif settings.labels == "hard" and each.desirable == 0.5:
            reasons["a tie has no hard label"] += 1
        else:
            prompt, [response] = encoded
            desirable = float(each.desirable > 0.5) if settings.labels == "hard" else each.desirable
            example = Example(prompt, response.ids, response.learned, desirable, each.weight)
            examples[each.id, ids[each.id]] = example
            ids[each.id] += 1
    for why, count in reasons.items():
        on_note(f"{count} of {len(rated)} responses left out: {why}")
    return examples


def examples_of(pairs: Sequence[PackedPair], seed: int) -> list[Example]:
    """Both responses of each pair, in an order that depends on the pairs and the seed alone. The chosen response is
    desirable with the label's probability, the rejected one with that of its opposite.

    The responses of a pair are half a round apart, and chosen and rejected ones take turns, so that a part of a batch
    has both kinds and hardly ever two responses to one prompt.
    """
    ordered = sorted(pairs, key=lambda pair: unit_hash(seed, "kto", pair.id))
    sides = [(pair, (place + turn) % 2) for turn in (0, 1) for place, pair in enumerate(ordered)]
    return [
        Example(
            pair.tokens.prompt,
            pair.tokens.responses[side],
            pair.tokens.masks[side],
            desirable=pair.p_chosen if side == 0 else 1.0 - pair.p_chosen,
            weight=pair.weight,
        )
        for pair, side in sides
    ]


def to_another_prompt(examples: Sequence[Example], place: int) -> Example:
    """The nearest example before this one, going round, whose prompt is another; else the one before it."""
    before = [examples[place - back] for back in range(1, len(examples) + 1)]
    return next((example for example in before if example.prompt != examples[place].prompt), before[0])


def _mixed(some: Sequence[Example], others: Sequence[Example]) -> list[Example]:
    """Both, each in its own order and evenly spread over the whole."""
    spread = [((place + 0.5) / len(part), example) for part in (some, others) for place, example in enumerate(part)]
    return [example for _, example in sorted(spread, key=lambda each: each[0])]
