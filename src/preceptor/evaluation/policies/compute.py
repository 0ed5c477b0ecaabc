"""Computes an `Evaluation` from judged comparisons and measured responses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean
from typing import Literal

from pydantic import JsonValue

from preceptor.evaluation.judges.disagreement import Disagreement, TwiceJudged, disagreement
from preceptor.evaluation.judges.judge_audit import JudgeAudit
from preceptor.evaluation.pairs import JudgedPair, between, by_prompt
from preceptor.evaluation.policies.cohorts import Change, PairedValues, changes
from preceptor.evaluation.policies.examples import choose_examples
from preceptor.evaluation.policies.judged_comparisons import JudgedComparison
from preceptor.evaluation.policies.length_control import length_controls
from preceptor.evaluation.policies.rates import MeasuredText, Rate, rates
from preceptor.evaluation.policies.ratings import Rating, bradley_terry
from preceptor.evaluation.policies.result import Cost, Evaluation, JudgeFacts, PointOfLength, PolicyFacts
from preceptor.evaluation.policies.win_rate import WinRate, outcome, significance, win_rate
from preceptor.evaluation.policies.windows import FailTrend, TimedOutcome, fail_trends, fitting_length

ALL = "all"
"""Cohort of a change that is over all cohorts: a principle's, since by cohort there would be too many."""


@dataclass(frozen=True)
class TextMeasure:
    """A measure of single responses, with its values for all policies."""

    name: str
    texts: Sequence[MeasuredText]
    better: Literal["higher", "lower"] = "higher"
    """A measure with "lower" lies in [0, 1]; its change is computed on 1 minus the value."""


@dataclass(frozen=True)
class EvaluationData:
    """Everything that an evaluation is computed from."""

    title: str
    policies: tuple[PolicyFacts, ...]
    """The baseline first."""
    judge: JudgeFacts
    training_judge: JudgeFacts | None
    judge_trained: bool
    judge_is_policy: tuple[str, ...]
    comparisons: Sequence[JudgedComparison]
    judge_related: dict[str, str] = field(default_factory=dict[str, str])
    trained_on: dict[str, int] = field(default_factory=dict[str, int])
    chosen_on: dict[str, int] = field(default_factory=dict[str, int])
    without_tools: tuple[str, ...] = ()
    measures: Sequence[TextMeasure] = ()
    paired: Sequence[PairedValues] = ()
    """Measures that are not means over responses, such as the likelihood of reference answers."""
    audit: JudgeAudit | None = None
    cost: Cost | None = None
    facts: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])


def compute_evaluation(data: EvaluationData) -> Evaluation:
    """All statistics of the policies. Nothing is asked or read."""
    names = [policy.name for policy in data.policies]
    pairs = [pair for comparison in data.comparisons if (pair := comparison.pair) is not None]
    by_training = [pair for comparison in data.comparisons if (pair := comparison.training_pair) is not None]
    overall = _win_rates(pairs, names, [None])
    cohorts = tuple(dict.fromkeys(comparison.cohort for comparison in data.comparisons))
    parts = cohorts if len(cohorts) > 1 else ()
    all_changes = _changes(data, pairs, names)
    baseline = names[0]
    return Evaluation(
        title=data.title,
        policies=data.policies,
        judge=data.judge,
        training_judge=data.training_judge,
        judge_trained=data.judge_trained,
        judge_is_policy=data.judge_is_policy,
        judge_related=data.judge_related,
        trained_on=data.trained_on,
        chosen_on=data.chosen_on,
        without_tools=data.without_tools,
        prompts=len({comparison.prompt_id for comparison in data.comparisons}),
        cohorts=cohorts,
        win_rates=(*overall, *_win_rates(pairs, names, parts)),
        training_win_rates=tuple(_win_rates(by_training, names, [None, *parts])),
        significance=significance(overall),
        length_control=length_controls(pairs, [(later, earlier) for earlier, later in combinations(names, 2)]),
        ratings=_ratings(pairs, names),
        changes=all_changes,
        rates=tuple(rate for measure in data.measures for rate in _rates(measure)),
        disagreement=_disagreements(data.comparisons, names),
        audit=data.audit,
        trends={name: trends for name in names[1:] if (trends := _trends(data.comparisons, name, baseline))},
        lengths={name: _lengths(between(pairs, name, baseline)) for name in names[1:]},
        examples=choose_examples(data.comparisons, baseline, all_changes),
        cost=data.cost,
        facts=data.facts,
    )


def _win_rates(pairs: Sequence[JudgedPair], names: Sequence[str], cohorts: Iterable[str | None]) -> list[WinRate]:
    """Win rates of the later policy of each pair against the earlier."""
    return [
        rate
        for cohort in cohorts
        for earlier, later in combinations(names, 2)
        if (rate := win_rate(pairs, later, earlier, cohort)) is not None
    ]


def _ratings(pairs: Sequence[JudgedPair], names: Sequence[str]) -> tuple[Rating, ...]:
    """Ratings of the compared policies, if there are more than two and comparisons connect them."""
    compared = [name for name in names if any(name in (pair.policy_a, pair.policy_b) for pair in pairs)]
    if len(compared) < 3:
        return ()
    try:
        return bradley_terry(pairs, compared)
    except ValueError:  # comparisons do not connect them all
        return ()


def _changes(data: EvaluationData, pairs: Sequence[JudgedPair], names: Sequence[str]) -> tuple[Change, ...]:
    measured: list[PairedValues] = []
    for name in names[1:]:
        own = between(pairs, name, names[0])
        for cohort in dict.fromkeys(pair.cohort for pair in own):
            inside = [pair for pair in own if pair.cohort == cohort]
            measured.append(
                _against_half(cohort, "win rate", name, names[0], [(p.prompt_id, outcome(p.p_a)) for p in inside])
            )
        for principle in dict.fromkeys(shown for pair in own for shown in pair.by_principle):
            values = [(p.prompt_id, outcome(p.by_principle[principle])) for p in own if principle in p.by_principle]
            measured.append(_against_half(ALL, f"principle: {principle}", name, names[0], values))
        for measure in data.measures:
            measured += _paired(measure, name, names[0])
    return changes([*measured, *data.paired])


def _against_half(
    cohort: str, measure: str, policy: str, against: str, values: Sequence[tuple[str, float]]
) -> PairedValues:
    means = _mean_by_prompt(values)
    return PairedValues(cohort, measure, policy, against, [0.5] * len(means), list(means.values()), "win rate")


def _paired(measure: TextMeasure, policy: str, against: str) -> list[PairedValues]:
    """A measure of two policies by cohort, on the prompts where both have it."""
    name = measure.name if measure.better == "higher" else f"no {measure.name}"
    by_cohort: list[PairedValues] = []
    for cohort in dict.fromkeys(text.cohort for text in measure.texts):
        before, after = (
            _mean_by_prompt(
                [
                    (t.prompt_id, _better(t.value, measure))
                    for t in measure.texts
                    if (t.policy, t.cohort) == (who, cohort)
                ]
            )
            for who in (against, policy)
        )
        shared = [prompt for prompt in before if prompt in after]
        if shared:
            values = [before[p] for p in shared], [after[p] for p in shared]
            by_cohort.append(PairedValues(cohort, name, policy, against, *values, "share"))
    return by_cohort


def _better(value: float, measure: TextMeasure) -> float:
    return value if measure.better == "higher" else 1.0 - value


def _mean_by_prompt(values: Sequence[tuple[str, float]]) -> dict[str, float]:
    of_prompt: dict[str, list[float]] = {}
    for prompt, value in values:
        of_prompt.setdefault(prompt, []).append(value)
    return {prompt: fmean(samples) for prompt, samples in of_prompt.items()}


def _rates(measure: TextMeasure) -> tuple[Rate, ...]:
    return rates(measure.name, measure.texts) if measure.texts else ()


def _disagreements(comparisons: Sequence[JudgedComparison], names: Sequence[str]) -> dict[str, Disagreement]:
    by_policy: dict[str, Disagreement] = {}
    for name in names[1:]:
        rows = [
            TwiceJudged(c.prompt_id, c.cohort, c.training.p_a, c.opinion.p_a)
            for c in comparisons
            if {c.policy_a, c.policy_b} == {name, names[0]} and c.training is not None and c.opinion is not None
        ]
        if rows:
            by_policy[name] = disagreement(rows)
    return by_policy


def _trends(comparisons: Sequence[JudgedComparison], policy: str, against: str) -> tuple[FailTrend, ...]:
    """How often the policy lost over time."""
    rows = [
        TimedOutcome(c.cohort, c.time, c.opinion.p_a < 0.5, c.prompt_id)
        for c in comparisons
        if (c.policy_a, c.policy_b) == (policy, against) and c.opinion is not None and c.time is not None
    ]
    return fail_trends(rows, fitting_length([row.time for row in rows])) if rows else ()


def _lengths(pairs: Sequence[JudgedPair]) -> tuple[PointOfLength, ...]:
    return tuple(
        PointOfLength(length_difference=pair.length_a - pair.length_b, p=pair.p_a, cohort=pair.cohort)
        for group in by_prompt(pairs).values()
        for pair in group
    )
