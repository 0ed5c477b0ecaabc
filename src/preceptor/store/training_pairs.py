"""Pairs that a model learns preferences from, read from every shape of dataset that `read_comparisons` knows."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from preceptor.core.hashing import content_hash, unit_hash
from preceptor.core.types import Comparison, Prompt, Response
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.rows import Malformed

Source = Literal["ai", "human"]


@dataclass(frozen=True)
class TrainingPair:
    """Two responses to a prompt, and how likely one of them is the better one."""

    id: str
    prompt: Prompt
    chosen: Response
    rejected: Response
    p_chosen: float
    """Probability that `chosen` is better, in [0, 1]; 1.0 is a hard label."""
    weight: float
    """Of the pair in the loss, > 0."""
    source: Source
    """Who said so."""


def read_training_pairs(
    path: Path, *, weight: float = 1.0, labels: Literal["auto", "ai", "human"] = "auto"
) -> tuple[list[TrainingPair], list[str]]:
    """Reads labelled pairs: preference datasets of preceptor, TRL's, and comparisons that people rated.

    `chosen` is the response that the label says is more likely the better one; of an exact 0.5, which is kept, the
    first.

    Args:
        weight: of every pair in the loss, times the row's own where it has one.
        labels: whose to learn from; `auto` takes an AI judge's where the row has one, else people's.

    Returns: the pairs, and of each row that was left out its place and the reason.
    Raises: UsageError when the dataset cannot be read; ValueError when the weight is not positive.
    """
    if not weight > 0.0:
        raise ValueError(f"a weight is positive, got {weight}")
    pairs: list[TrainingPair] = []
    left_out: list[str] = []
    for row in read_comparisons(path):
        found = row.reason if isinstance(row, Malformed) else _pair(row, weight, labels)
        if isinstance(found, str):
            left_out.append(f"{row.place}: {found}")
        else:
            pairs.append(found)
    return pairs, left_out


def combine(sets: Sequence[Sequence[TrainingPair]]) -> list[TrainingPair]:
    """One dataset of several, in their order; a human label replaces the AI labels of the same comparison.

    A comparison is the same where prompt and responses have the same content, whichever of them was chosen.
    """
    pairs = [pair for each in sets for pair in each]
    rated = {_comparison(pair) for pair in pairs if pair.source == "human"}
    return [pair for pair in pairs if pair.source == "human" or _comparison(pair) not in rated]


def hard(pairs: Sequence[TrainingPair]) -> list[TrainingPair]:
    """The pairs with their probabilities rounded to 0 or 1; exact ties are left out."""
    return [dataclasses.replace(pair, p_chosen=float(pair.p_chosen > 0.5)) for pair in pairs if pair.p_chosen != 0.5]


def split(pairs: Sequence[TrainingPair], held_out_share: float) -> tuple[list[TrainingPair], list[TrainingPair]]:
    """Training and held-out pairs, all pairs of a prompt on one side, by a stable hash of the prompt's text.

    By another hash than that of held-out prompts: where those are gone already, theirs would hold nothing out.
    """
    held_out = [pair for pair in pairs if unit_hash("reward model", pair.prompt.text) < held_out_share]
    training = [pair for pair in pairs if unit_hash("reward model", pair.prompt.text) >= held_out_share]
    return training, held_out


def _pair(row: ComparisonRow, weight: float, labels: Literal["auto", "ai", "human"]) -> TrainingPair | str:
    """The pair of a row, or why there is none."""
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
    chosen_first: Comparison = comparison if p_a >= 0.5 else comparison.swapped()
    return TrainingPair(
        id=comparison.id,
        prompt=comparison.prompt,
        chosen=chosen_first.a,
        rejected=chosen_first.b,
        p_chosen=max(p_a, 1.0 - p_a),
        weight=weight * row.weight,
        source=source,
    )


def _label(row: ComparisonRow, labels: Literal["auto", "ai", "human"]) -> tuple[float | None, Source]:
    """Probability of response a, and who gave it."""
    if labels == "ai" or (labels == "auto" and row.ai_p_a is not None):
        return row.ai_p_a, "ai"
    return (None if row.human is None else row.human.p_a), "human"


def _content(response: Response) -> tuple[object, ...]:
    return (response.text, response.trajectory)


def _comparison(pair: TrainingPair) -> tuple[str, str]:
    responses = sorted(
        content_hash([each.text, *(message.wire() for message in each.trajectory)])
        for each in (pair.chosen, pair.rejected)
    )
    return content_hash([message.wire() for message in pair.prompt.conversation]), "".join(responses)
