"""Items of a benchmark, and the scores made from them: shares, and weighted means of shares."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from preceptor.core.types import JudgeFailure, Preference
from preceptor.evaluation.intervals import LEAST_FOR_RATE, Estimate, weighted_rate
from preceptor.evaluation.judges.agreement import share_by_prompt
from preceptor.evaluation.judges.benchmarks.result import BenchmarkScore, Level
from preceptor.evaluation.judges.judge_audit import Judged
from preceptor.judging.position import mean, p_by_order
from preceptor.store.benchmarks.parts import Part

Placed = tuple[Judged, Part]


@dataclass(frozen=True)
class Item:
    """One item's result."""

    prompt: str
    subset: str
    value: float | None
    """From 0 to 1; None if a judgement failed."""
    published: float | None = None
    """As the authors count it."""


Stratum = tuple[float, Sequence[Item]]
"""A part of the items, and its weight in the whole."""


def by_subset(items: Iterable[Item]) -> dict[str, list[Item]]:
    """The items of each subset, in the order of the data."""
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[item.subset].append(item)
    return dict(found)


def by_item(rows: Iterable[Placed]) -> list[list[Placed]]:
    """The comparisons of each item."""
    found: defaultdict[tuple[str, str], list[Placed]] = defaultdict(list)
    for row, part in rows:
        found[part.subset, part.item].append((row, part))
    return list(found.values())


def share(name: str, level: Level, items: Sequence[Item]) -> BenchmarkScore:
    """The mean of the items' results."""
    known = [(item.prompt, item.value) for item in items if item.value is not None]
    published = [item.published for item in items if item.published is not None]
    return BenchmarkScore(
        name=name,
        level=level,
        estimate=share_by_prompt(known),
        items=len(items),
        failed=len(items) - len(known),
        as_published=mean(published) if published and len(published) == len(items) else None,
    )


def weighted(name: str, level: Level, strata: Sequence[Stratum]) -> BenchmarkScore:
    """The weighted mean of the strata's means. There is no estimate if every item of a stratum failed."""
    present = [(weight, items) for weight, items in strata if items]
    published = [share(name, level, items).as_published for _, items in present]
    known = [p for p in published if p is not None]
    total = sum(weight for weight, _ in present)
    return BenchmarkScore(
        name=name,
        level=level,
        estimate=_weighted([(weight, [item for item in items if item.value is not None]) for weight, items in present]),
        items=sum(len(items) for _, items in present),
        failed=sum(item.value is None for _, items in present for item in items),
        as_published=None
        if not present or len(known) < len(present)
        else sum(weight * p for (weight, _), p in zip(present, known, strict=True)) / total,
    )


def _weighted(strata: Sequence[Stratum]) -> Estimate | None:
    if not strata or not all(items for _, items in strata):
        return None
    value, low, high = weighted_rate([(weight, *_sums(items)) for weight, items in strata])
    n, prompts = sum(len(items) for _, items in strata), {item.prompt for _, items in strata for item in items}
    if len(prompts) < LEAST_FOR_RATE:
        return Estimate(value=value, low=None, high=None, n=n)
    return Estimate(value=value, low=low, high=high, n=n)


def _sums(items: Sequence[Item]) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of each prompt's results."""
    of_prompt: defaultdict[str, list[float]] = defaultdict(list)
    for item in items:
        of_prompt[item.prompt].append(item.value or 0.0)
    return np.array([sum(v) for v in of_prompt.values()]), np.array([float(len(v)) for v in of_prompt.values()])


def p_right(row: Judged) -> float | None:
    """Probability that the judge gives to the right response; None if the judgement failed."""
    if isinstance(row.outcome, JudgeFailure):
        return None
    return row.outcome.p_a if row.human.majority == "a" else 1.0 - row.outcome.p_a


def won(p: float, tie: float = 0.5) -> float:
    """1 if a probability prefers the right response, 0 if the other, and `tie` if neither."""
    return 1.0 if p > 0.5 else 0.0 if p < 0.5 else tie


def right_by_order(row: Judged) -> dict[str, float]:
    """Probability of the right response in each order that was shown; empty if the judgement failed."""
    if isinstance(row.outcome, JudgeFailure):
        return {}
    p_a = p_a_by_order(row.outcome)
    return {order: p if row.human.majority == "a" else 1.0 - p for order, p in p_a.items()}


def p_a_by_order(preference: Preference) -> dict[str, float]:
    """p_a in each order that was shown, the mean over its presentations."""
    by_order = p_by_order((presentation.order, presentation.p_a) for presentation in preference.presentations)
    return {order: mean(values) for order, values in by_order.items()}


def single(rows: Iterable[Placed], failure: float | None) -> list[Item]:
    """Items of one comparison each: whether the judge prefers the right response. Rows without one are left out.

    Args:
        failure: what a failure counts by the authors; None if they say nothing of it.
    """
    found = [(row, part, p_right(row)) for row, part in rows if row.human.majority != "tie"]
    return [
        Item(
            prompt=row.comparison.prompt.id,
            subset=part.subset,
            value=None if p is None else won(p),
            published=None if failure is None else failure if p is None else won(p),
        )
        for row, part, p in found
    ]


Scorer = Callable[[Sequence[Placed]], tuple[BenchmarkScore, ...]]
"""From one judge's comparisons to the benchmark's numbers."""
