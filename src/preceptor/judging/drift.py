"""Whether the model behind a name still answers recorded questions as it did.

A local model's answers are exact up to rounding, so a single answer that moved further shows another model. A server's
answers differ a little from call to call. There, every question is asked twice more. If the model has not changed, the
recorded answer and the two new ones are exchangeable, so the recorded one lies no further from the new ones than these
from each other. A permutation test of which of the three is the recorded one gives the p-value.
"""

import random
from collections.abc import Sequence
from statistics import fmean
from typing import Literal, TypeAlias

from preceptor.core.numbers import number, p_equals
from preceptor.core.types import Frozen, JudgeFailure
from preceptor.judging.canary import Canary, ask_again
from preceptor.judging.ensemble import MemberJudge

ROUNDING = 0.05
"""Answers whose total variation distance is at most this count as equal: arithmetic in bfloat16 moves a probability by
up to 0.03 when a question is computed in other company."""
LEAST_ASKED = 8
"""With fewer answers, a server's drift cannot be told from its noise."""
SURE = 0.01
"""The p-value at which a server's model counts as changed."""
_SAMPLED = 9_999
_SEED = 20_261_128  # any fixed number: the same answers have the same p-value

Answer: TypeAlias = "tuple[float, ...] | JudgeFailure"
"""The probability of each choice, or why there is none."""
DriftVerdict = Literal["same", "changed", "cannot be known"]


class DriftCheck(Frozen):
    """How far a model's answers to recorded questions have moved."""

    judge: str
    """Identity of the model."""
    exact: bool
    """Whether the model's answers are exact up to rounding, as a local one's are."""
    asked: int
    """Number of questions asked again."""
    failed: int
    """Of these, those without an answer now."""
    moved: float | None
    """Mean total variation distance between the recorded answer and the new ones, between 0 and 1."""
    furthest: float | None
    """The largest of these distances."""
    flipped: int
    """Questions whose most probable choice is another one now."""
    p_value: float | None
    """Of the permutation test; None for an exact model, and where too few questions have answers."""
    cost_usd: float | None = None
    """Dollars of asking again; None where the price is unknown."""

    @property
    def answered(self) -> int:
        """The number of questions that have a new answer."""
        return self.asked - self.failed

    @property
    def verdict(self) -> DriftVerdict:
        """Whether the model is still the one that gave the recorded answers, as far as the answers tell."""
        if self.exact and self.furthest is not None:
            return "changed" if self.furthest > ROUNDING else "same"
        if self.p_value is None:
            return "cannot be known"
        return "changed" if self.p_value <= SURE else "same"

    @property
    def sentence(self) -> str:
        """The verdict for people."""
        if not self.asked:
            return (
                f"{self.judge}: there is no recorded question to ask again, so whether it has changed cannot be known"
            )
        of = f"{self.answered} of {self.asked} recorded questions answered again"
        if self.moved is None or self.verdict == "cannot be known":
            return f"{self.judge}: {of}, too few to know whether the model has changed"
        tested = "" if self.p_value is None else f", {p_equals(self.p_value)}"
        said = "the model has changed" if self.verdict == "changed" else "no change shown"
        flipped = f"{self.flipped} other first choice{'' if self.flipped == 1 else 's'}"
        return f"{self.judge}: {said} ({of}; probabilities moved by {number(self.moved)} on average{tested}; {flipped})"


def check_drift(
    judge: MemberJudge, canaries: Sequence[Canary], *, exact: bool, budget: float | None = None
) -> DriftCheck:
    """Asks a judge's model recorded questions again, and compares its answers.

    Args:
        exact: whether its answers are exact up to rounding. If not, every question is asked twice.
        budget: the most dollars that each round may cost.

    Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
    """
    rounds = [ask_again(judge.model.model, judge.rater, canaries, budget) for _ in range(1 if exact else 2)]
    costs = [round.cost_usd for round in rounds]
    cost = None if None in costs else sum(cost for cost in costs if cost is not None)
    second = None if exact else rounds[1].answers
    return drift(judge.model.identity, [canary.p for canary in canaries], rounds[0].answers, second, cost)


def drift(
    judge: str,
    recorded: Sequence[tuple[float, ...]],
    first: Sequence[Answer],
    second: Sequence[Answer] | None,
    cost_usd: float | None = None,
) -> DriftCheck:
    """Compares recorded answers with new ones.

    Args:
        judge: identity of the model.
        recorded: the probability of each choice of each question, as recorded.
        first: the new answers, in the same order.
        second: the answers of another round; None for a model whose answers are exact.
        cost_usd: dollars of asking again.
    """
    rounds = [first] if second is None else [first, second]
    complete: list[tuple[tuple[float, ...], list[tuple[float, ...]]]] = []
    for old, *new in zip(recorded, *rounds, strict=True):
        answers = [answer for answer in new if not isinstance(answer, JudgeFailure) and len(answer) == len(old)]
        if len(answers) == len(new):
            complete.append((old, answers))
    distances = [fmean(_distance(old, each) for each in new) for old, new in complete]
    tested = second is not None and len(complete) >= LEAST_ASKED
    return DriftCheck(
        judge=judge,
        exact=second is None,
        asked=len(recorded),
        failed=len(recorded) - len(complete),
        moved=fmean(distances) if distances else None,
        furthest=max(distances, default=None),
        flipped=sum(_first_choice(old) != _first_choice(_mean(new)) for old, new in complete),
        p_value=_p_value([_apartness(old, *new) for old, new in complete]) if tested else None,
        cost_usd=cost_usd,
    )


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Total variation distance."""
    return sum(abs(x - y) for x, y in zip(one, other, strict=True)) / 2


def _first_choice(p: Sequence[float]) -> int:
    return max(range(len(p)), key=lambda choice: p[choice])


def _mean(answers: Sequence[Sequence[float]]) -> list[float]:
    return [fmean(p) for p in zip(*answers, strict=True)]


def _apartness(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> tuple[float, float, float]:
    """How far each of three answers lies from the other two, less twice how far these lie from each other; distances
    within rounding are 0.
    """
    ab, ac, bc = (d if (d := _distance(x, y)) > ROUNDING else 0.0 for x, y in ((a, b), (a, c), (b, c)))
    return ab + ac - 2 * bc, ab + bc - 2 * ac, ac + bc - 2 * ab


def _p_value(apart: Sequence[tuple[float, float, float]]) -> float:
    """One-sided p-value of the hypothesis that the three answers to each question are exchangeable.

    Args:
        apart: of each question, how far each answer lies from the others; the recorded one's first.
    """
    observed, rng = sum(first for first, _, _ in apart) - 1e-9, random.Random(_SEED)  # noqa: S311
    as_far = sum(sum(rng.choice(three) for three in apart) >= observed for _ in range(_SAMPLED))
    return (as_far + 1) / (_SAMPLED + 1)
