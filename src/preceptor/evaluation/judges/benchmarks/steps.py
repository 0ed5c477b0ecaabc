"""Scores of step judges: do they find the first wrong step? (ProcessBench, Zheng et al. 2024, arXiv 2412.06559)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from preceptor.evaluation.intervals import LEAST, LEVEL, Estimate
from preceptor.evaluation.judges.benchmarks.items import Item, by_subset, share
from preceptor.evaluation.judges.benchmarks.result import BenchmarkScore, JudgeScores
from preceptor.store.benchmarks.steps import NONE

WRONG_BELOW = 5.0
"""A step is called wrong if its score, from 1 to 10, is below this; 5 means that it does no harm."""


@dataclass(frozen=True)
class JudgedSolution:
    """A solution with the judge's score of each step."""

    prompt: str
    subset: str
    first_error: int
    """As people marked it; -1 for none."""
    scores: Sequence[float | None]
    """From 1 to 10; None where the judgement failed."""

    @property
    def found(self) -> int | None:
        """The first step that the judge calls wrong; -1 for none; None if a judgement failed."""
        if any(score is None for score in self.scores):
            return None
        below = (place for place, score in enumerate(self.scores) if score is not None and score < WRONG_BELOW)
        return next(below, NONE)


class StepJudgeScores(JudgeScores):
    """What one step judge scores."""

    constitution: str
    solutions: int
    steps: int
    failed: int
    """Steps without a score. A solution with one is in no number."""


def score_steps(judge: str, constitution: str, solutions: Sequence[JudgedSolution]) -> StepJudgeScores:
    """F1 of finding the first wrong step and of passing right solutions, by subset; and whether scores order steps."""
    hits = [_hit(solution) for solution in solutions]
    wrong, right = (
        [hit for hit, s in zip(hits, solutions, strict=True) if (s.first_error == NONE) == is_right]
        for is_right in (False, True)
    )
    subsets = list(by_subset(hits))
    return StepJudgeScores(
        judge=judge,
        constitution=constitution,
        solutions=len(solutions),
        steps=sum(len(solution.scores) for solution in solutions),
        failed=sum(score is None for solution in solutions for score in solution.scores),
        scores=(
            _f1("F1", subsets, wrong, right),
            *([_f1(f"{name}, F1", [name], wrong, right) for name in subsets] if len(subsets) > 1 else []),
            *(share(f"{name}, first error found", "subset", found) for name, found in by_subset(wrong).items()),
            *(share(f"{name}, right ones passed", "subset", found) for name, found in by_subset(right).items()),
            share("right steps score above the first wrong one", "measure", _ordered(solutions)),
        ),
    )


def _hit(solution: JudgedSolution) -> Item:
    found = solution.found
    value = None if found is None else float(found == solution.first_error)
    return Item(solution.prompt, solution.subset, value, value or 0.0)


def _ordered(solutions: Sequence[JudgedSolution]) -> list[Item]:
    """For each solution with a wrong step after a right one: the share of the right ones that score higher."""
    items: list[Item] = []
    for solution in solutions:
        if solution.first_error < 1:
            continue
        scores = solution.scores[: solution.first_error + 1]
        known = [score for score in scores if score is not None]
        *before, last = known or [0.0]
        values = [1.0 if score > last else 0.5 if score == last else 0.0 for score in before]
        items.append(
            Item(solution.prompt, solution.subset, sum(values) / len(values) if len(known) == len(scores) else None)
        )
    return items


def _f1(name: str, subsets: Sequence[str], wrong: Sequence[Item], right: Sequence[Item]) -> BenchmarkScore:
    """The mean over subsets of the harmonic mean of both shares, with a jackknife interval over prompts."""
    level = "overall" if name == "F1" else "section"
    within = [item for item in (*wrong, *right) if item.subset in subsets]
    failed = sum(item.value is None for item in within)
    of_prompt: dict[str, int] = {}
    for item in within:
        of_prompt.setdefault(item.prompt, len(of_prompt))
    sums_P4S = np.zeros((len(of_prompt), 4, len(subsets)))
    for column, items in ((0, wrong), (2, right)):
        for item in items:
            if item.value is not None and item.subset in subsets:
                sums_P4S[of_prompt[item.prompt], column : column + 2, subsets.index(item.subset)] += (item.value, 1.0)
    total = sums_P4S.sum(axis=0)
    if not (total[[1, 3]] > 0).all():
        return BenchmarkScore(name=name, level=level, estimate=None, items=len(within), failed=failed)
    published = _value(_as_published(subsets, wrong, right)[None])
    return BenchmarkScore(
        name=name,
        level=level,
        estimate=_jackknifed(sums_P4S, total, len(within) - failed),
        items=len(within),
        failed=failed,
        as_published=float(published[0]) if failed else None,
    )


def _as_published(subsets: Sequence[str], wrong: Sequence[Item], right: Sequence[Item]) -> np.ndarray:
    """The sums with failures as wrong answers."""
    total = np.zeros((4, len(subsets)))
    for column, items in ((0, wrong), (2, right)):
        for item in items:
            if item.subset in subsets:
                total[column : column + 2, subsets.index(item.subset)] += (item.published or 0.0, 1.0)
    return total


def _value(sums_N4S: np.ndarray) -> np.ndarray:
    found, passed = sums_N4S[:, 0] / sums_N4S[:, 1], sums_N4S[:, 2] / sums_N4S[:, 3]
    both = found + passed
    return np.where(both > 0, 2.0 * found * passed / np.where(both > 0, both, 1.0), 0.0).mean(axis=1)


def _jackknifed(sums_P4S: np.ndarray, total: np.ndarray, n: int) -> Estimate:
    value, prompts = float(_value(total[None])[0]), len(sums_P4S)
    without = total[None] - sums_P4S
    if prompts < LEAST or not (without[:, [1, 3]] > 0).all():
        return Estimate(value=value, low=None, high=None, n=n)
    values_P = _value(without)
    error = math.sqrt((prompts - 1) / prompts * float(((values_P - values_P.mean()) ** 2).sum()))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, prompts - 1)) * error
    if not reach:
        return Estimate(value=value, low=None, high=None, n=n)
    return Estimate(value=value, low=max(0.0, value - reach), high=min(1.0, value + reach), n=n)
