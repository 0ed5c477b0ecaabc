"""Which comparisons of an evaluation are shown to be read."""

from collections.abc import Callable, Sequence

from preceptor.evaluation.cohorts import Change
from preceptor.evaluation.contests import Contest, Opinion
from preceptor.evaluation.result import Example, ExampleKind, OrderVerdict

EACH = 3
"""Examples of each kind."""


def choose_examples(contests: Sequence[Contest], baseline: str, changes: Sequence[Change]) -> tuple[Example, ...]:
    """The clearest wins and losses against the baseline, what the two judges disagree about most, losses in cohorts
    that regressed, and failures. At most one of a prompt in each kind, and `EACH` of a kind.
    """
    against = [contest for contest in contests if contest.policy_b == baseline]
    judged = [(contest, contest.opinion) for contest in against if contest.opinion is not None]
    worse = {(change.policy, change.cohort) for change in changes if change.verdict == "regressed"}
    twice = [
        (c, o, c.training) for c, o in judged if c.training is not None and (c.training.p_a - 0.5) * (o.p_a - 0.5) < 0
    ]
    kinds: list[tuple[ExampleKind, list[Contest]]] = [
        ("win", _sorted([(c, o) for c, o in judged if o.p_a > 0.5], lambda o: -o.p_a)),
        ("loss", _sorted([(c, o) for c, o in judged if o.p_a < 0.5], lambda o: o.p_a)),
        ("disagreement", [c for c, *_ in sorted(twice, key=lambda row: -abs(row[1].p_a - row[2].p_a))]),
        (
            "regression",
            _sorted([(c, o) for c, o in judged if (c.policy_a, c.cohort) in worse and o.p_a < 0.5], lambda o: o.p_a),
        ),
        ("failure", [contest for contest in contests if contest.failure is not None]),
    ]
    return tuple(_example(kind, contest) for kind, chosen in kinds for contest in _of_different_prompts(chosen))


def _sorted(judged: Sequence[tuple[Contest, Opinion]], key: Callable[[Opinion], float]) -> list[Contest]:
    return [contest for contest, _ in sorted(judged, key=lambda row: key(row[1]))]


def _of_different_prompts(contests: Sequence[Contest]) -> list[Contest]:
    first: dict[str, Contest] = {}
    for contest in contests:
        first.setdefault(contest.prompt_id, contest)
    return list(first.values())[:EACH]


def _example(kind: ExampleKind, contest: Contest) -> Example:
    opinion, training = contest.opinion, contest.training
    showings = [showing for each in (opinion, training) if each is not None for showing in each.showings]
    return Example(
        kind=kind,
        cohort=contest.cohort,
        prompt=contest.prompt,
        policy=contest.policy_a,
        against=contest.policy_b,
        response_a=contest.text_a,
        response_b=contest.text_b,
        p_a=None if opinion is None else opinion.p_a,
        training_p_a=None if training is None else training.p_a,
        rationale="" if opinion is None else opinion.rationale,
        verdicts=tuple(OrderVerdict(judge=s.judge, order=s.order, p_a=s.p_a) for s in showings),
        failure=contest.failure,
    )
