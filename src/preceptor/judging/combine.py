"""Combines several opinions into one: probabilities of presentations, votes, or whole verdicts."""

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

from preceptor.core.odds import log_odds, sigmoid
from preceptor.core.types import Preference, Usage, Verdict, total_usage

Combine: TypeAlias = Literal["mean", "log_odds"]
"""`mean`: the mean of the probabilities (Lee et al. 2023, arXiv 2309.00267, "Addressing Position Bias"). `log_odds`:
the sigmoid of the mean logit, in which a position bias that shifts log-odds equally in both orders cancels exactly.
"""


def combine(probabilities: Sequence[float], how: Combine) -> float:
    """Combines the probabilities of response a in all presentations into one.

    Rounded to 12 decimals, so two presentations that contradict each other give exactly 0.5.
    Raises: ValueError when there is no presentation.
    """
    if not probabilities:
        raise ValueError("there is no presentation to combine")
    count = len(probabilities)
    if how == "mean":
        return round(math.fsum(probabilities) / count, 12)
    return round(sigmoid(math.fsum(log_odds(p) for p in probabilities) / count), 12)


def voted(preference: Preference) -> Preference:
    """The preference as a vote for its likeliest answer: p_a is 1, 0, or one half for a tie."""
    vote = preference.likeliest
    p_a = {"a": 1.0, "b": 0.0, "tie": 0.5}[vote]
    return preference.model_copy(update={"p_a": p_a, "p_tie": float(vote == "tie")})


def mixture(verdicts: Sequence[Verdict], weights: Sequence[float]) -> Verdict:
    """The weighted mixture of verdicts over the same choices, with their total usage."""
    total = sum(weights)

    def mean(values: Sequence[float]) -> float:
        return sum(w * value for w, value in zip(weights, values, strict=True)) / total

    usage: Usage = total_usage(verdict.usage for verdict in verdicts)
    return Verdict(
        probabilities={c: mean([v.probabilities[c] for v in verdicts]) for c in verdicts[0].probabilities},
        choice_mass=mean([verdict.choice_mass for verdict in verdicts]),
        rationale=verdicts[0].rationale,
        votes=verdicts[0].votes,
        usage=usage,
    )
