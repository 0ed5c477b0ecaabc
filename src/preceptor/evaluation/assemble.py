"""From judged comparisons and measured responses to an `Evaluation`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean
from typing import Any, Literal

from preceptor.evaluation.cohorts import Change, PairedValues, changes
from preceptor.evaluation.contests import Contest
from preceptor.evaluation.disagreement import Disagreement, TwiceJudged, disagreement
from preceptor.evaluation.examples import choose_examples
from preceptor.evaluation.judge_audit import JudgeAudit
from preceptor.evaluation.length_control import length_controls
from preceptor.evaluation.pairs import JudgedPair, between, by_prompt
from preceptor.evaluation.rates import MeasuredText, Rate, rates
from preceptor.evaluation.ratings import Rating, bradley_terry
from preceptor.evaluation.result import Cost, Evaluation, JudgeFacts, PointOfLength, PolicyFacts
from preceptor.evaluation.win_rate import WinRate, outcome, significance, win_rate
from preceptor.evaluation.windows import FailTrend, TimedOutcome, fail_trends, fitting_length

ALL = "all"
"""Where a change is over all cohorts: of principles, which are few and would be many by cohort."""


@dataclass(frozen=True)
class TextMeasure:
    """A measure of single responses, by all policies."""

    name: str
    texts: Sequence[MeasuredText]
    better: Literal["higher", "lower"] = "higher"
    """A measure of which less is better lies in [0, 1], and its change is that of what is left to 1."""


@dataclass(frozen=True)
class Material:
    """All that an evaluation is computed from."""

    title: str
    policies: tuple[PolicyFacts, ...]
    """The baseline first."""
    judge: JudgeFacts
    training_judge: JudgeFacts | None
    judge_trained: bool
    judge_is_policy: tuple[str, ...]
    contests: Sequence[Contest]
    trained_on: dict[str, int] = field(default_factory=dict[str, int])
    chosen_on: dict[str, int] = field(default_factory=dict[str, int])
    measures: Sequence[TextMeasure] = ()
    paired: Sequence[PairedValues] = ()
    """Measures that are no mean of responses, such as the likelihood of reference answers."""
    audit: JudgeAudit | None = None
    cost: Cost | None = None
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


def assemble(material: Material) -> Evaluation:
    """Everything that the material says about the policies."""
    names = [policy.name for policy in material.policies]
    pairs = [pair for contest in material.contests if (pair := contest.pair) is not None]
    by_training = [pair for contest in material.contests if (pair := contest.training_pair) is not None]
    overall = _win_rates(pairs, names, [None])
    cohorts = tuple(dict.fromkeys(contest.cohort for contest in material.contests))
    parts = cohorts if len(cohorts) > 1 else ()
    found = _changes(material, pairs, names)
    baseline = names[0]
    return Evaluation(
        title=material.title,
        policies=material.policies,
        judge=material.judge,
        training_judge=material.training_judge,
        judge_trained=material.judge_trained,
        judge_is_policy=material.judge_is_policy,
        trained_on=material.trained_on,
        chosen_on=material.chosen_on,
        prompts=len({contest.prompt_id for contest in material.contests}),
        cohorts=cohorts,
        win_rates=(*overall, *_win_rates(pairs, names, parts)),
        training_win_rates=tuple(_win_rates(by_training, names, [None, *parts])),
        significance=significance(overall),
        length_control=length_controls(pairs, [(later, earlier) for earlier, later in combinations(names, 2)]),
        ratings=_ratings(pairs, names),
        changes=found,
        rates=tuple(rate for measure in material.measures for rate in _rates(measure)),
        disagreement=_disagreements(material.contests, names),
        audit=material.audit,
        trends={name: trends for name in names[1:] if (trends := _trends(material.contests, name, baseline))},
        lengths={name: _lengths(between(pairs, name, baseline)) for name in names[1:]},
        examples=choose_examples(material.contests, baseline, found),
        cost=material.cost,
        facts=material.facts,
    )


def _win_rates(pairs: Sequence[JudgedPair], names: Sequence[str], cohorts: Iterable[str | None]) -> list[WinRate]:
    """The later policy against the earlier."""
    return [
        found
        for cohort in cohorts
        for earlier, later in combinations(names, 2)
        if (found := win_rate(pairs, later, earlier, cohort)) is not None
    ]


def _ratings(pairs: Sequence[JudgedPair], names: Sequence[str]) -> tuple[Rating, ...]:
    """Of the policies that were compared, where they are more than two and connected."""
    compared = [name for name in names if any(name in (pair.policy_a, pair.policy_b) for pair in pairs)]
    if len(compared) < 3:
        return ()
    try:
        return bradley_terry(pairs, compared)
    except ValueError:  # some of them have no comparison in common with the others
        return ()


def _changes(material: Material, pairs: Sequence[JudgedPair], names: Sequence[str]) -> tuple[Change, ...]:
    measured: list[PairedValues] = []
    for name in names[1:]:
        own = between(pairs, name, names[0])
        for cohort in dict.fromkeys(pair.cohort for pair in own):
            inside = [pair for pair in own if pair.cohort == cohort]
            measured.append(
                _against_half(cohort, "win rate", name, names[0], [(p.prompt_id, outcome(p.p_a)) for p in inside])
            )
        for principle in dict.fromkeys(each for pair in own for each in pair.by_principle):
            values = [(p.prompt_id, outcome(p.by_principle[principle])) for p in own if principle in p.by_principle]
            measured.append(_against_half(ALL, f"principle: {principle}", name, names[0], values))
        for measure in material.measures:
            measured += _paired(measure, name, names[0])
    return changes([*measured, *material.paired])


def _against_half(
    cohort: str, measure: str, policy: str, against: str, values: Sequence[tuple[str, float]]
) -> PairedValues:
    means = _mean_by_prompt(values)
    return PairedValues(cohort, measure, policy, against, [0.5] * len(means), list(means.values()), "win rate")


def _paired(measure: TextMeasure, policy: str, against: str) -> list[PairedValues]:
    """The measure of two policies on the prompts for which both have it, by cohort."""
    name = measure.name if measure.better == "higher" else f"no {measure.name}"
    found: list[PairedValues] = []
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
            found.append(PairedValues(cohort, name, policy, against, *values, "share"))
    return found


def _better(value: float, measure: TextMeasure) -> float:
    return value if measure.better == "higher" else 1.0 - value


def _mean_by_prompt(values: Sequence[tuple[str, float]]) -> dict[str, float]:
    of_prompt: dict[str, list[float]] = {}
    for prompt, value in values:
        of_prompt.setdefault(prompt, []).append(value)
    return {prompt: fmean(each) for prompt, each in of_prompt.items()}


def _rates(measure: TextMeasure) -> tuple[Rate, ...]:
    return rates(measure.name, measure.texts) if measure.texts else ()


def _disagreements(contests: Sequence[Contest], names: Sequence[str]) -> dict[str, Disagreement]:
    found: dict[str, Disagreement] = {}
    for name in names[1:]:
        rows = [
            TwiceJudged(c.prompt_id, c.cohort, c.training.p_a, c.opinion.p_a)
            for c in contests
            if {c.policy_a, c.policy_b} == {name, names[0]} and c.training is not None and c.opinion is not None
        ]
        if rows:
            found[name] = disagreement(rows)
    return found


def _trends(contests: Sequence[Contest], policy: str, against: str) -> tuple[FailTrend, ...]:
    """How often the policy lost over time."""
    rows = [
        TimedOutcome(c.cohort, c.time, c.opinion.p_a < 0.5, c.prompt_id)
        for c in contests
        if (c.policy_a, c.policy_b) == (policy, against) and c.opinion is not None and c.time is not None
    ]
    return fail_trends(rows, fitting_length([row.time for row in rows])) if rows else ()


def _lengths(pairs: Sequence[JudgedPair]) -> tuple[PointOfLength, ...]:
    return tuple(
        PointOfLength(length_difference=pair.length_a - pair.length_b, p=pair.p_a, cohort=pair.cohort)
        for group in by_prompt(pairs).values()
        for pair in group
    )
