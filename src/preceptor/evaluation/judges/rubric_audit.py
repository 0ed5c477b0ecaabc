"""The audit of rubrics: what each item tells apart, and whether scores by rubrics prefer what people prefer.

Failures and "cannot assess" are counted, and are in no other measure. A measure that cannot be computed is None.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from preceptor.core.rubric import RubricItem
from preceptor.core.types import Frozen, HumanLabel, JudgeFailure, Prompt
from preceptor.evaluation.intervals import Estimate, rate_by_prompt
from preceptor.evaluation.judges.agreement import Side, correctness, difference_by_prompt, share_by_prompt
from preceptor.evaluation.judges.reward_accuracy import ScoredPair, reward_accuracy
from preceptor.judging.rubrics.aggregate import ItemJudgement, RubricScore, higher
from preceptor.judging.rubrics.keeping import agreement_with, decided, normalised


@dataclass(frozen=True)
class Scored:
    """A response with its score by the rubric of its prompt."""

    prompt: Prompt
    """With a rubric."""
    length: int
    """In characters."""
    score: RubricScore | JudgeFailure
    reversed: RubricScore | JudgeFailure | None = None
    """The score when the items were shown in reverse order; None if they were not."""

    @property
    def items(self) -> Iterator[tuple[RubricItem, ItemJudgement]]:
        """The rubric's items with what became of them; none if the response has no score."""
        if self.prompt.rubric is not None and isinstance(self.score, RubricScore):
            yield from zip(self.prompt.rubric.items, self.score.items, strict=True)


@dataclass(frozen=True)
class LabelledPair:
    """Two responses to a prompt, and what people think of them."""

    a: Scored
    b: Scored
    human: HumanLabel


class ItemAudit(Frozen):
    """Measures of one criterion, over all prompts whose rubrics have it in the same words."""

    criterion: str
    points: float
    """Of the first of these items."""
    prompts: int
    verdicts: int
    """Responses on which there is one."""
    unassessed: int
    """Responses of which the judge said that it cannot be assessed."""
    failed: int
    """Responses on which the item failed."""
    share_met: float | None
    """Mean probability that a response meets it."""
    separates: float | None
    """Share of the prompts with two verdicts or more in which some responses meet it and others do not."""
    variance: float | None
    """Variance of the probability between the responses of a prompt, mean over these prompts; at most 0.25."""
    agreement: Estimate | None
    """Of the labelled pairs that it tells apart, the share in which it prefers what people prefer. `n` is the number of
    pairs; the interval is over prompts."""


class OrderEffect(Frozen):
    """How far verdicts depend on the order of the items in one call."""

    changed: Estimate
    """Share of verdicts that change when the items are shown in reverse order. `n` is the number of verdicts."""
    later: Estimate
    """Mean probability of being met when shown in the second half of the list, minus that in the first half."""


class RubricAudit(Frozen):
    """Measures of the rubrics of a dataset, by one judge."""

    prompts: int
    """With a rubric."""
    responses: int
    failed: int
    """Responses without a score."""
    verdicts: int
    unassessed: int
    """Judgements of single items that were "cannot assess"."""
    failed_items: int
    """Judgements of single items that failed."""
    share_met: float | None
    """Mean probability over all verdicts."""
    separates: Estimate | None
    """Share of items, of prompts with two responses or more, that some responses meet and others do not. `n` is the
    number of prompts."""
    met_by_all: int
    """Items of single prompts that all of two or more responses meet."""
    met_by_none: int
    variance: float | None
    """Mean over items and prompts of the variance of the probability between responses."""
    labelled: int
    """Pairs with people's labels of which both responses have a score."""
    agreement: Estimate | None
    """Share of the pairs on which people are not even in which the higher score is that of the response that they
    prefer; equal scores count half. `n` is the number of pairs; the interval is over prompts."""
    equal: int
    """Labelled pairs with equal scores."""
    longer_baseline: Estimate | None
    """The same share for always preferring the longer response."""
    above_longer: Estimate | None
    """Agreement minus that of always preferring the longer response."""
    length_correlation: float | None
    """Spearman's correlation between the difference of the scores and that of the lengths, over pairs of responses to
    one prompt, each taken in both orders."""
    order: OrderEffect | None
    """None where each item is asked alone, so that it has no place in a list."""
    items: tuple[ItemAudit, ...]
    """The most frequent criterion first."""


def audit_rubrics(scored: Sequence[Scored], pairs: Sequence[LabelledPair]) -> RubricAudit:
    """Measures rubrics on responses, and on pairs of them that people labelled."""
    judged = [judgement for one in scored for _, judgement in one.items]
    met = [judgement.met for judgement in judged if judgement.met is not None]
    groups = _by_prompt_and_item(scored)
    several = [values for values in groups.values() if len(values) > 1]
    sides = [{decided(p) for p in values} for values in several]
    compared = [_compared(pair) for pair in pairs]
    known = [(pair, p_a) for pair, p_a in zip(pairs, compared, strict=True) if p_a is not None]
    clear: list[tuple[LabelledPair, float, Side]] = [
        (pair, p_a, side) for pair, p_a in known if (side := pair.human.majority) != "tie"
    ]
    hits = [(pair, correctness(p_a, side)) for pair, p_a, side in clear]
    longer = [(pair, correctness(_longer(pair), side)) for pair, _, side in clear]
    return RubricAudit(
        prompts=len({one.prompt.id for one in scored}),
        responses=len(scored),
        failed=sum(isinstance(one.score, JudgeFailure) for one in scored),
        verdicts=len(met),
        unassessed=sum(judgement.unassessed for judgement in judged),
        failed_items=sum(judgement.failure is not None for judgement in judged),
        share_met=_mean(met),
        separates=rate_by_prompt(_separations(groups)),
        met_by_all=sides.count({True}),
        met_by_none=sides.count({False}),
        variance=_mean([float(np.var(values)) for values in several]),
        labelled=len(known),
        agreement=share_by_prompt([(pair.a.prompt.id, hit) for pair, hit in hits]),
        equal=sum(p_a == 0.5 for _, p_a in known),
        longer_baseline=share_by_prompt([(pair.a.prompt.id, hit) for pair, hit in longer]),
        above_longer=difference_by_prompt(
            [(pair.a.prompt.id, hit - other) for (pair, hit), (_, other) in zip(hits, longer, strict=True)]
        ),
        length_correlation=_length_correlation(scored),
        order=_order_effect(scored),
        items=_by_item(scored, pairs),
    )


def _compared(pair: LabelledPair) -> float | None:
    """The probability that a scores higher; None if a score is missing."""
    a, b = pair.a.score, pair.b.score
    return None if isinstance(a, JudgeFailure) or isinstance(b, JudgeFailure) else higher(a, b)[0]


def _longer(pair: LabelledPair) -> float:
    a, b = pair.a.length, pair.b.length
    return 1.0 if a > b else 0.0 if a < b else 0.5


def _by_prompt_and_item(scored: Sequence[Scored]) -> dict[tuple[str, str], list[float]]:
    """The probabilities of all responses to a prompt that have a verdict on an item."""
    groups: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for one in scored:
        for item, judgement in one.items:
            if judgement.met is not None:
                groups[one.prompt.id, normalised(item.criterion)].append(judgement.met)
    return groups


def _separations(groups: dict[tuple[str, str], list[float]]) -> list[list[float]]:
    """For each prompt, whether each of its items tells responses apart."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for (prompt_id, _), values in groups.items():
        if len(values) > 1:
            found[prompt_id].append(float(len({decided(p) for p in values}) > 1))
    return list(found.values())


def _by_item(scored: Sequence[Scored], pairs: Sequence[LabelledPair]) -> tuple[ItemAudit, ...]:
    seen: defaultdict[str, list[tuple[str, RubricItem, ItemJudgement]]] = defaultdict(list)
    for one in scored:
        for item, judgement in one.items:
            seen[normalised(item.criterion)].append((one.prompt.id, item, judgement))
    agrees = _agreements(pairs)
    audits = [_item(entries, agrees.get(words, [])) for words, entries in seen.items()]
    return tuple(sorted(audits, key=lambda item: (-item.prompts, -item.verdicts, item.criterion)))


def _item(entries: Sequence[tuple[str, RubricItem, ItemJudgement]], agrees: list[tuple[str, float]]) -> ItemAudit:
    of_prompt: defaultdict[str, list[float]] = defaultdict(list)
    for prompt_id, _, judgement in entries:
        if judgement.met is not None:
            of_prompt[prompt_id].append(judgement.met)
    several = [values for values in of_prompt.values() if len(values) > 1]
    return ItemAudit(
        criterion=entries[0][1].criterion,
        points=entries[0][1].points,
        prompts=len({prompt_id for prompt_id, _, _ in entries}),
        verdicts=sum(map(len, of_prompt.values())),
        unassessed=sum(judgement.unassessed for _, _, judgement in entries),
        failed=sum(judgement.failure is not None for _, _, judgement in entries),
        share_met=_mean([p for values in of_prompt.values() for p in values]),
        separates=_mean([float(len({decided(p) for p in values}) > 1) for values in several]),
        variance=_mean([float(np.var(values)) for values in several]),
        agreement=share_by_prompt(agrees),
    )


def _agreements(pairs: Sequence[LabelledPair]) -> dict[str, list[tuple[str, float]]]:
    """For each criterion, whether it agrees with people on each labelled pair that it tells apart."""
    found: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for pair in pairs:
        a = {normalised(item.criterion): (item.points, judgement.met) for item, judgement in pair.a.items}
        b = {normalised(item.criterion): judgement.met for item, judgement in pair.b.items}
        for words, (points, met_a) in a.items():
            agrees = agreement_with(points, met_a, b.get(words), pair.human.p_a)
            if agrees is not None:
                found[words].append((pair.a.prompt.id, float(agrees)))
    return found


def _length_correlation(scored: Sequence[Scored]) -> float | None:
    of_prompt: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    for one in scored:
        if isinstance(one.score, RubricScore):
            of_prompt[one.prompt.id].append((one.score.expectation, one.length))
    margins = [
        ScoredPair(prompt_id, a - b, 1.0, "ai", length_a, length_b)
        for prompt_id, values in of_prompt.items()
        for i, (a, length_a) in enumerate(values)
        for b, length_b in values[:i]
    ]
    return reward_accuracy(margins).length_correlation if margins else None


def _order_effect(scored: Sequence[Scored]) -> OrderEffect | None:
    changed: list[tuple[str, float]] = []
    later: list[tuple[str, float]] = []
    for one in scored:
        for place, count, shown_first, shown_last in _both_orders(one):
            changed.append((one.prompt.id, float(decided(shown_first) != decided(shown_last))))
            if 2 * place != count - 1:  # the middle one of an odd number stays where it is
                difference = shown_last - shown_first if 2 * place < count - 1 else shown_first - shown_last
                later.append((one.prompt.id, difference))
    shares, differences = share_by_prompt(changed), difference_by_prompt(later)
    return None if shares is None or differences is None else OrderEffect(changed=shares, later=differences)


def _both_orders(one: Scored) -> Iterable[tuple[int, int, float, float]]:
    """Each item's place, the number of items, and its probability in the list as it is and in the reversed one."""
    if isinstance(one.score, RubricScore) and isinstance(one.reversed, RubricScore):
        back = one.reversed.items[::-1]
        for place, (judgement, other) in enumerate(zip(one.score.items, back, strict=True)):
            if judgement.met is not None and other.met is not None:
                yield place, len(back), judgement.met, other.met


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
