"""The comparisons of an evaluation that its report shows in full."""

from collections.abc import Callable, Sequence

from preceptor.evaluation.policies.cohorts import Change
from preceptor.evaluation.policies.judged_comparisons import JudgedComparison, Opinion
from preceptor.evaluation.policies.result import Example, ExampleKind

OF_A_KIND = 3
"""Examples of each kind."""


def choose_examples(
    comparisons: Sequence[JudgedComparison], baseline: str, changes: Sequence[Change]
) -> tuple[Example, ...]:
    """The clearest wins and losses against the baseline, the clearest disagreements of the two judges, losses in
    cohorts that regressed, and failures. At most one for a prompt in each kind, and `OF_A_KIND` of a kind.
    """
    against = [comparison for comparison in comparisons if comparison.policy_b == baseline]
    judged = [(comparison, comparison.opinion) for comparison in against if comparison.opinion is not None]
    worse = {(change.policy, change.cohort) for change in changes if change.verdict == "regressed"}
    twice = [
        (c, o, c.training) for c, o in judged if c.training is not None and (c.training.p_a - 0.5) * (o.p_a - 0.5) < 0
    ]
    kinds: list[tuple[ExampleKind, list[JudgedComparison]]] = [
        ("win", _sorted([(c, o) for c, o in judged if o.p_a > 0.5], lambda o: -o.p_a)),
        ("loss", _sorted([(c, o) for c, o in judged if o.p_a < 0.5], lambda o: o.p_a)),
        ("disagreement", [c for c, *_ in sorted(twice, key=lambda row: -abs(row[1].p_a - row[2].p_a))]),
        (
            "regression",
            _sorted([(c, o) for c, o in judged if (c.policy_a, c.cohort) in worse and o.p_a < 0.5], lambda o: o.p_a),
        ),
        ("failure", [comparison for comparison in comparisons if comparison.failure is not None]),
    ]
    return tuple(_example(kind, comparison) for kind, chosen in kinds for comparison in _of_different_prompts(chosen))


def every_example(comparisons: Sequence[JudgedComparison]) -> tuple[Example, ...]:
    """Every comparison, for a report in which all can be searched."""
    return tuple(_example(_kind(comparison), comparison) for comparison in comparisons)


def _kind(comparison: JudgedComparison) -> ExampleKind:
    if comparison.opinion is None:
        return "failure"
    p_a = comparison.opinion.p_a
    return "win" if p_a > 0.5 else "loss" if p_a < 0.5 else "tie"


def _sorted(
    judged: Sequence[tuple[JudgedComparison, Opinion]], key: Callable[[Opinion], float]
) -> list[JudgedComparison]:
    return [comparison for comparison, _ in sorted(judged, key=lambda row: key(row[1]))]


def _of_different_prompts(comparisons: Sequence[JudgedComparison]) -> list[JudgedComparison]:
    first: dict[str, JudgedComparison] = {}
    for comparison in comparisons:
        first.setdefault(comparison.prompt_id, comparison)
    return list(first.values())[:OF_A_KIND]


def _example(kind: ExampleKind, comparison: JudgedComparison) -> Example:
    opinion, training = comparison.opinion, comparison.training
    opinions = [judged for judged in (opinion, training) if judged is not None]
    return Example(
        kind=kind,
        cohort=comparison.cohort,
        prompt=comparison.prompt,
        policy=comparison.policy_a,
        against=comparison.policy_b,
        response_a=comparison.text_a,
        response_b=comparison.text_b,
        p_a=None if opinion is None else opinion.p_a,
        training_p_a=None if training is None else training.p_a,
        rationale="" if opinion is None else opinion.rationale,
        verdicts=tuple(verdict for judged in opinions for verdict in judged.presentations),
        failure=comparison.failure,
        thought_a=comparison.thought_a,
        thought_b=comparison.thought_b,
    )
