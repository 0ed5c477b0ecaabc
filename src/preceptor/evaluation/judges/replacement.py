"""May a judge replace people? The alternative annotator test (Calderon, Reichart & Dror 2025, arXiv 2501.10970).

One annotator at a time is left out. On each row that this annotator rated, the judge and the annotator are compared by
how often each says what the other annotators say. The judge wins against an annotator if it represents the others
nearly as well: at most ε worse, where ε is what the judge's lower cost is worth.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import stats

from preceptor.core.types import Frozen, HumanLabel
from preceptor.evaluation.intervals import LEAST_FOR_RATE, Estimate, rate_interval
from preceptor.evaluation.judges.agreement import share_by_prompt

Opinion: TypeAlias = Literal["a", "b", "tie"]
People: TypeAlias = Literal["crowd workers", "skilled annotators", "experts"]
EPSILONS: Mapping[People, float] = {"crowd workers": 0.1, "skilled annotators": 0.15, "experts": 0.2}
"""The authors' ε by whom the judge would replace: the dearer people are, the more the judge's lower cost is worth."""
LEAST_ROWS = 30
"""An annotator with fewer rows is not tested, since the t-test needs about this many."""
FALSE_DISCOVERIES = 0.05
"""Expected share of the wins that are none; Benjamini & Yekutieli's procedure holds it for dependent tests."""
ENOUGH = 0.5
"""The judge may replace people if it wins against at least this share of the annotators."""
RECOMMENDED = 3
"""Annotators that the authors recommend; with two, the test only says which of both is nearer to the judge."""


class AnnotatorTest(Frozen):
    """One annotator who is left out, beside the judge."""

    annotator: str
    rows: int
    """Rows that the annotator, at least one other annotator and the judge answered."""
    judge: Estimate
    """Share of these rows on which the judge agrees with the others at least as well; the interval is over prompts."""
    person: float
    """Share of these rows on which the annotator agrees with the others at least as well as the judge."""


class ReplacementAt(Frozen):
    """The verdict at one ε."""

    people: People
    epsilon: float
    p_values: tuple[float, ...]
    """For each annotator: one-sided t-test of the hypothesis that the judge is worse by ε or more; uncorrected."""
    beaten: tuple[str, ...]
    """Annotators against whom the judge wins, after the correction for several annotators."""
    winning_rate: float
    """ω: share of the annotators against whom the judge wins."""
    winning_rate_by_prompt: float
    """The same if the prompts are the sample. The authors' test takes rows to be independent, which several rows of one
    prompt are not."""

    @property
    def replaces(self) -> bool:
        """Whether the judge may replace these people, by the authors' criterion."""
        return self.winning_rate >= ENOUGH

    @property
    def replaces_by_prompt(self) -> bool:
        """The same if the prompts are the sample."""
        return self.winning_rate_by_prompt >= ENOUGH


class Replacement(Frozen):
    """The alternative annotator test of one judge."""

    named: bool
    """Whether the annotators are known by name. Otherwise each place in `ratings` is taken for one person."""
    annotators: tuple[AnnotatorTest, ...]
    untested: dict[str, int]
    """Rows of the annotators who have too few to be tested."""
    advantage: Estimate
    """ρ: probability that the judge agrees with the others at least as well as an annotator chosen at random; the
    interval is over prompts. To compare judges, compare this."""
    verdicts: tuple[ReplacementAt, ...]
    """By ε, the smallest first."""


@dataclass(frozen=True)
class _Row:
    """A row on which an annotator who is left out and the judge are compared."""

    prompt: str
    judge: float
    """1 if the judge agrees with the others at least as well as the annotator, else 0."""
    person: float


def may_replace(rows: Sequence[tuple[str, HumanLabel, Opinion]]) -> Replacement | None:
    """Tests whether a judge may replace the annotators.

    Args:
        rows: prompt id, people's label and the judge's answer, of the rows that the judge answered.

    Returns: None where fewer than two annotators have `LEAST_ROWS` rows. Without names, also where rows have different
        numbers of ratings, since a place is then no person.
    """
    rated = [row for row in rows if len(row[1].ratings) > 1]
    named = all(label.raters for _, label, _ in rated)
    if not named and len({len(label.ratings) for _, label, _ in rated}) > 1:
        return None
    of_annotator = _by_annotator(rated, named)
    tested = {name: found for name, found in of_annotator.items() if len(found) >= LEAST_ROWS}
    if len(tested) < 2:
        return None
    return Replacement(
        named=named,
        annotators=tuple(_annotator(name, found) for name, found in tested.items()),
        untested={name: len(found) for name, found in of_annotator.items() if name not in tested},
        advantage=_advantage(list(tested.values())),
        verdicts=tuple(_verdict(people, epsilon, tested) for people, epsilon in EPSILONS.items()),
    )


def _by_annotator(rows: Sequence[tuple[str, HumanLabel, Opinion]], named: bool) -> dict[str, list[_Row]]:
    """The comparisons of the judge with each annotator."""
    found: defaultdict[str, list[_Row]] = defaultdict(list)
    for prompt, label, answer in rows:
        names = label.raters if named else [f"annotator {place}" for place in range(1, len(label.ratings) + 1)]
        for place, (name, opinion) in enumerate(zip(names, label.ratings, strict=True)):
            others = (*label.ratings[:place], *label.ratings[place + 1 :])
            judge, person = others.count(answer), others.count(opinion)
            found[name].append(_Row(prompt, float(judge >= person), float(person >= judge)))
    return dict(sorted(found.items()))


def _annotator(name: str, rows: Sequence[_Row]) -> AnnotatorTest:
    judge = share_by_prompt([(row.prompt, row.judge) for row in rows])
    assert judge is not None  # a tested annotator has rows
    return AnnotatorTest(annotator=name, rows=len(rows), judge=judge, person=sum(r.person for r in rows) / len(rows))


def _verdict(people: People, epsilon: float, tested: Mapping[str, Sequence[_Row]]) -> ReplacementAt:
    names = list(tested)
    p_values = [_p_value([r.person - r.judge for r in rows], epsilon) for rows in tested.values()]
    by_prompt = [_p_value(_means([(r.prompt, r.person - r.judge) for r in rows]), epsilon) for rows in tested.values()]
    beaten = [name for name, won in zip(names, _wins(p_values), strict=True) if won]
    return ReplacementAt(
        people=people,
        epsilon=epsilon,
        p_values=tuple(p_values),
        beaten=tuple(beaten),
        winning_rate=len(beaten) / len(names),
        winning_rate_by_prompt=sum(_wins(by_prompt)) / len(names),
    )


def _p_value(differences: Sequence[float], epsilon: float) -> float:
    """One-sided p-value of the hypothesis that the mean difference is epsilon or more."""
    if len(differences) < 2:
        return 1.0
    if np.ptp(differences) == 0:  # the statistic would be infinite
        return float(differences[0] >= epsilon)
    test: Any = stats.ttest_1samp(differences, epsilon, alternative="less")
    return float(test.pvalue)


def _wins(p_values: Sequence[float]) -> list[bool]:
    adjusted = stats.false_discovery_control(p_values, method="by")
    return [bool(p <= FALSE_DISCOVERIES) for p in adjusted]


def _means(values: Sequence[tuple[str, float]]) -> list[float]:
    of_prompt: defaultdict[str, list[float]] = defaultdict(list)
    for prompt, value in values:
        of_prompt[prompt].append(value)
    return [sum(found) / len(found) for found in of_prompt.values()]


def _advantage(tested: Sequence[Sequence[_Row]]) -> Estimate:
    """The mean over annotators of each one's share, so that all count alike, however many rows they rated."""
    sums: defaultdict[str, float] = defaultdict(float)
    weights: defaultdict[str, float] = defaultdict(float)
    for rows in tested:
        for row in rows:
            weights[row.prompt] += 1.0 / (len(tested) * len(rows))
            sums[row.prompt] += row.judge / (len(tested) * len(rows))
    value, n = min(1.0, math.fsum(sums.values())), len(weights)
    if n < LEAST_FOR_RATE:
        return Estimate(value=value, low=None, high=None, n=n)
    low, high = rate_interval(np.array(list(sums.values())), np.array(list(weights.values())))
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n)
