"""Preference pairs for training, read from any dataset that `read_comparisons` reads."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from preceptor.core.hashing import content_hash, unit_hash
from preceptor.core.types import Prompt, Response
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.orientation import Orientation
from preceptor.store.rows import Malformed

Source = Literal["ai", "human"]


@dataclass(frozen=True)
class TrainingPair:
    """Two responses to a prompt, and how likely the chosen one is better."""

    id: str
    prompt: Prompt
    chosen: Response
    rejected: Response
    p_chosen: float
    """Probability that `chosen` is better, in [0, 1]; 1.0 is a hard label."""
    weight: float
    """Weight of the pair in the loss, > 0."""
    source: Source
    """Whose label it is."""
    difference: float | None = None
    """By how much the chosen response is better: the difference of the row's scores, if it has both."""


def read_training_pairs(
    path: Path, *, weight: float = 1.0, labels: Literal["auto", "ai", "human"] = "auto"
) -> tuple[list[TrainingPair], list[Malformed]]:
    """Reads labelled pairs: preference datasets of preceptor and of TRL, and comparisons that people rated.

    `chosen` is the response that the label prefers; at exactly 0.5 it is response a.

    Args:
        weight: weight of every pair in the loss; multiplied by the row's own weight.
        labels: whose labels to learn from; `auto` takes an AI judge's if the row has one, otherwise people's.

    Returns: the pairs, and each row that was left out, with its place and the reason.
    Raises: UsageError when the dataset cannot be read; ValueError when the weight is not positive.
    """
    if not weight > 0.0:
        raise ValueError(f"a weight is positive, got {weight}")
    pairs: list[TrainingPair] = []
    left_out: list[Malformed] = []
    for row in read_comparisons(path):
        pair = row.reason if isinstance(row, Malformed) else _pair(row, weight, labels)
        if isinstance(pair, str):
            left_out.append(Malformed(row.number, row.place, pair))
        else:
            pairs.append(pair)
    return pairs, left_out


def combine(sets: Sequence[Sequence[TrainingPair]]) -> list[TrainingPair]:
    """Joins datasets in their order; a human label replaces the AI labels of the same comparison.

    Two comparisons are the same if their prompts and responses have the same content, whichever response was chosen.
    """
    pairs = list(chain.from_iterable(sets))
    rated = {_comparison(pair) for pair in pairs if pair.source == "human"}
    return [pair for pair in pairs if pair.source == "human" or _comparison(pair) not in rated]


def hard(pairs: Sequence[TrainingPair]) -> list[TrainingPair]:
    """The pairs with probabilities rounded to 0 or 1; exact ties are left out."""
    return [dataclasses.replace(pair, p_chosen=float(pair.p_chosen > 0.5)) for pair in pairs if pair.p_chosen != 0.5]


def split(pairs: Sequence[TrainingPair], held_out_share: float) -> tuple[list[TrainingPair], list[TrainingPair]]:
    """Training and held-out pairs, by a stable hash of the prompt's text, so that all pairs of a prompt stay together.

    The hash differs from that of held-out prompts: once those are removed, the same hash would hold nothing out.
    """
    held_out = [pair for pair in pairs if unit_hash("reward model", pair.prompt.text) < held_out_share]
    training = [pair for pair in pairs if unit_hash("reward model", pair.prompt.text) >= held_out_share]
    return training, held_out


def _pair(row: ComparisonRow, weight: float, labels: Literal["auto", "ai", "human"]) -> TrainingPair | str:
    """The pair of a row, or the reason why it has none."""
    comparison = row.comparison
    if _content(comparison.a) == _content(comparison.b):
        return "both responses are the same"
    p_a, source = _label(row, labels)
    if p_a is None:
        return {
            "auto": 'no label; expected "p_chosen", "label" or "ratings"',
            "ai": 'no label of an AI judge; expected "p_chosen"',
            "human": 'no label of people; expected "label", "ratings" or "human_p_chosen"',
        }[labels]
    orientation = Orientation.of(p_a)
    chosen, rejected = orientation.pair(comparison.a, comparison.b)
    scores = None if row.scores is None else orientation.pair(*row.scores)
    return TrainingPair(
        id=comparison.id,
        prompt=comparison.prompt,
        chosen=chosen,
        rejected=rejected,
        p_chosen=orientation.probability(p_a),
        weight=weight * row.weight,
        source=source,
        difference=None if scores is None else scores[0] - scores[1],
    )


def _label(row: ComparisonRow, labels: Literal["auto", "ai", "human"]) -> tuple[float | None, Source]:
    """The probability that response a is better, and whose label it is; None where there is no label."""
    if labels == "ai" or (labels == "auto" and row.ai_p_a is not None):
        return row.ai_p_a, "ai"
    return (None if row.human is None else row.human.p_a), "human"


def _content(response: Response) -> tuple[object, ...]:
    return (response.text, response.trajectory)


def _comparison(pair: TrainingPair) -> tuple[str, str]:
    responses = sorted(
        content_hash([response.text, *(message.wire() for message in response.trajectory)])
        for response in (pair.chosen, pair.rejected)
    )
    return content_hash([message.wire() for message in pair.prompt.conversation]), "".join(responses)
