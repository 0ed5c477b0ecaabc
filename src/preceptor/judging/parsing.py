"""Strictly turns a backend's result into a verdict: anything that is not a distribution is a failure."""

import math
from collections.abc import Sequence

from preceptor.backends.base import ChoiceLogProbs, Completion
from preceptor.core.types import JudgeFailure, Verdict

CUT = "[... cut at the limit of its tokens]"
"""Ends a thought that was closed before its own end."""


def parse_choice(choices: Sequence[str], answer: ChoiceLogProbs | JudgeFailure) -> Verdict | JudgeFailure:
    """Renormalises the log-probabilities of the choices into a verdict.

    Args:
        choices: the choices in the order of the log-probabilities.
        answer: the backend's result; a failure passes through.

    Returns: the verdict, or a failure if a number is missing, NaN or positive, or if no choice has any probability.
    """
    if isinstance(answer, JudgeFailure):
        return answer
    log_probs = answer.log_probs
    if len(log_probs) != len(choices):
        return _invalid(f"{len(log_probs)} log-probabilities for {len(choices)} choices")
    if any(math.isnan(lp) or lp > 1e-3 for lp in log_probs):
        return _invalid(f"log-probabilities {log_probs}: each must be a number not above 0")
    top = max(log_probs)
    if top == -math.inf:
        return _invalid("no choice has any probability")
    weights = [math.exp(lp - top) for lp in log_probs]
    total = sum(weights)
    mass = min(1.0, math.exp(top) * total)
    probabilities = {choice: weight / total for choice, weight in zip(choices, weights, strict=True)}
    return Verdict(
        probabilities=probabilities,
        choice_mass=mass,
        rationale=shown_thought(answer),
        votes=answer.votes,
        usage=answer.usage,
    )


def shown_thought(answer: ChoiceLogProbs | Completion) -> str:
    """What the model thought, and whether its length limit cut the thought."""
    return f"{answer.thought} {CUT}".strip() if answer.thought_cut else answer.thought


def _invalid(detail: str) -> JudgeFailure:
    return JudgeFailure(reason="invalid_log_probs", detail=detail)
