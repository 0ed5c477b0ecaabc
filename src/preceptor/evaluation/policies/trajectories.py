"""Whole agent trajectories: does the judge prefer the one that succeeded, and do step scores agree with the whole?

A good step can be part of a failing plan, so step scores are reported beside the judgement of the whole and never
replace it. Whether a trajectory succeeded comes from outside: from a check of the task, or from a label that says which
of the two succeeded. A step that the judge failed on is unknown, never a bad step.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Literal, TypeAlias

from preceptor.core.hashing import content_hash
from preceptor.core.types import Comparison, Frozen, Response
from preceptor.evaluation.intervals import Estimate, mean_by_prompt
from preceptor.evaluation.judges.agreement import Side, correctness, share_by_prompt
from preceptor.evaluation.pairs import JudgedPair, policies_of
from preceptor.evaluation.policies.win_rate import WinRate, win_rate
from preceptor.judging.position import mean, p_by_order, same_position_wins
from preceptor.judging.steps import GOOD_STEP, POOR_WHOLE
from preceptor.judging.trajectory import response_text
from preceptor.store.preference_row import PreferenceRow

Outcome = Literal["succeeded", "failed", "unknown"]


class Trajectory(Frozen):
    """A trajectory with a judge's score of the whole. Pages must escape its texts."""

    prompt_id: str
    cohort: str
    policy: str
    prompt: str
    """The trajectory's last message."""
    text: str
    """All messages, each headed by its number and its speaker."""
    score: float | None
    """Score of the whole, 1 to 10; None if it was not asked for or failed."""


class JudgedTrajectory(Trajectory):
    """A trajectory with a judge's scores of the whole and of each step."""

    key: str
    """Equal for equal messages after the same prompt, in whichever pairs they occur."""
    steps: tuple[float | None, ...] | None
    """Scores of the assistant's messages; None if not asked for. An entry is None if the judge failed on it."""
    succeeded: bool | None
    """Whether it completed its task; None if unknown."""

    @property
    def known_steps(self) -> tuple[float, ...] | None:
        """The step scores, if there are any and none failed."""
        known = tuple(step for step in self.steps or () if step is not None)
        return known if known and self.steps is not None and len(known) == len(self.steps) else None


@dataclass(frozen=True)
class TrajectoryPair:
    """Two trajectories of one prompt and the judge's preference."""

    judged: JudgedPair
    a: JudgedTrajectory
    b: JudgedTrajectory
    same_position: bool | None
    """Whether the same position wins after the swap; None if only one order was shown."""

    @property
    def successful(self) -> Side | None:
        """The side that succeeded, if exactly one did."""
        if self.a.succeeded is None or self.b.succeeded is None or self.a.succeeded == self.b.succeeded:
            return None
        return "a" if self.a.succeeded else "b"


Decided: TypeAlias = tuple[TrajectoryPair, Side]
"""A pair of which exactly one side succeeded, with that side."""


class Agreement(Frozen):
    """How often a judge or a rule prefers the successful trajectory, in pairs of which exactly one succeeded."""

    by: str
    """"the comparison", "the score of the whole", "the mean step score", "the lowest step score", "more characters"."""
    share: Estimate
    """Share of the pairs that it decides; equal values count one half. By prompt."""


class OutcomeScores(Frozen):
    """The scores of the trajectories of one outcome, each trajectory once. Means over prompts, of 1 to 10."""

    outcome: Outcome
    trajectories: int
    whole: Estimate | None
    steps: Estimate | None
    """Mean of each trajectory's mean step score."""


class Misled(Trajectory):
    """A trajectory whose every step scores well but that failed as a whole."""

    steps: tuple[float, ...]
    succeeded: bool | None
    """False if it is known to have failed; None if only the score of the whole says so."""


class TrajectoryFindings(Frozen):
    """How a judge sees whole trajectories."""

    pairs: int
    """Pairs of trajectories with a verdict."""
    plain: int
    """Rows left out because neither response is a trajectory."""
    failures: dict[str, int]
    """Rows without a verdict, by reason."""
    one_succeeded: int
    """Pairs in which exactly one trajectory is known to have succeeded."""
    agreement: tuple[Agreement, ...]
    """The comparison first; rules that decide no pair are left out."""
    agreement_by_cohort: dict[str, Estimate]
    """Of the comparison; empty for a single cohort."""
    position_bias: float | None
    """Share of pairs shown in both orders in which the same position wins."""
    win_rates: tuple[WinRate, ...]
    """Every two policies on whole trajectories, the later against the earlier; all cohorts together, then by cohort."""
    scores: tuple[OutcomeScores, ...]
    """By outcome; empty if nothing was scored."""
    unscored: int
    """Scored trajectories of which the score of the whole or of a step failed."""
    good_step: float
    """Least score of a good step."""
    poor_whole: float
    """Score of the whole below which a trajectory counts as failed, if nothing better is known."""
    all_steps_good: int
    """Number of trajectories whose every step is good."""
    misled: tuple[Misled, ...]
    """Those that failed as a whole, the best steps first."""
    disputed: int = 0
    """Rows that were chosen because judges dispute them, so that they do not represent others."""


def trajectory_pair(
    row: PreferenceRow, success: tuple[bool | None, bool | None] | None = None
) -> TrajectoryPair | None:
    """The pair in a labelled row; None if neither response is a trajectory.

    Args:
        row: it has scores if it was labelled with --steps.
        success: of a and b, if known from outside; else the people's label says which succeeded, unless it is 0.5.
    """
    comparison = row.comparison()
    if not (comparison.a.trajectory or comparison.b.trajectory):
        return None
    of_a, of_b = row.orientation.pair((row.chosen_score, row.chosen_steps), (row.rejected_score, row.rejected_steps))
    succeeded_a, succeeded_b = _succeeded(row.human_p_a) if success is None else success
    a = _trajectory(comparison, comparison.a, of_a, succeeded_a)
    b = _trajectory(comparison, comparison.b, of_b, succeeded_b)
    shown = [(verdict.order, verdict.p_a) for verdict in row.verdicts]
    judged = JudgedPair(
        prompt_id=row.prompt_id,
        cohort=row.cohort,
        policy_a=a.policy,
        policy_b=b.policy,
        p_a=row.p_a,
        length_a=len(a.text),
        length_b=len(b.text),
        by_order={order: mean(values) for order, values in p_by_order(shown).items()},
    )
    return TrajectoryPair(judged, a, b, same_position_wins(shown))


def trajectory_findings(
    pairs: Sequence[TrajectoryPair],
    *,
    plain: int = 0,
    failures: Mapping[str, int] | None = None,
    good_step: float = GOOD_STEP,
    poor_whole: float = POOR_WHOLE,
) -> TrajectoryFindings:
    """Findings about the pairs; see `TrajectoryFindings`."""
    trajectories = _once(one for pair in pairs for one in (pair.a, pair.b))
    scored = [one for one in trajectories if one.steps is not None or one.score is not None]
    good = [one for one in trajectories if (steps := one.known_steps) and min(steps) >= good_step]
    decided: list[Decided] = [(pair, side) for pair in pairs if (side := pair.successful) is not None]
    shown_twice = [pair.same_position for pair in pairs if pair.same_position is not None]
    return TrajectoryFindings(
        pairs=len(pairs),
        plain=plain,
        failures=dict(failures or {}),
        one_succeeded=len(decided),
        agreement=_agreement(decided),
        agreement_by_cohort=_by_cohort(decided),
        position_bias=sum(shown_twice) / len(shown_twice) if shown_twice else None,
        win_rates=_win_rates([pair.judged for pair in pairs]),
        scores=_scores(scored),
        unscored=sum(one.score is None or None in (one.steps or ()) for one in scored),
        good_step=good_step,
        poor_whole=poor_whole,
        all_steps_good=len(good),
        misled=_misled(good, poor_whole),
    )


def _succeeded(human_p_a: float | None) -> tuple[bool | None, bool | None]:
    """Whether a and b succeeded, by the people's label."""
    if human_p_a is None or human_p_a == 0.5:
        return None, None
    return human_p_a > 0.5, human_p_a < 0.5


def _trajectory(
    comparison: Comparison,
    response: Response,
    scores: tuple[float | None, tuple[float | None, ...] | None],
    succeeded: bool | None,
) -> JudgedTrajectory:
    prompt = comparison.prompt
    return JudgedTrajectory(
        key=content_hash([prompt.id, [message.wire() for message in response.messages]]),
        prompt_id=prompt.id,
        cohort=prompt.cohort,
        policy=response.policy,
        prompt=prompt.text,
        text=response_text(response),
        score=scores[0],
        steps=scores[1],
        succeeded=succeeded,
    )


def _once(trajectories: Iterable[JudgedTrajectory]) -> list[JudgedTrajectory]:
    """Each trajectory once. If its pairs disagree about its success, that is unknown: it did better than one other
    trajectory and worse than another.
    """
    first: dict[str, JudgedTrajectory] = {}
    known: dict[str, set[bool]] = {}
    for trajectory in trajectories:
        first.setdefault(trajectory.key, trajectory)
        succeeded = trajectory.succeeded
        known.setdefault(trajectory.key, set()).update(() if succeeded is None else (succeeded,))
    return [
        trajectory.model_copy(update={"succeeded": next(iter(known[key])) if len(known[key]) == 1 else None})
        for key, trajectory in first.items()
    ]


def _agreement(decided: Sequence[Decided]) -> tuple[Agreement, ...]:
    """How often each rule prefers the successful trajectory. Length is the baseline."""
    measures: dict[str, Callable[[JudgedTrajectory], float | None]] = {
        "the score of the whole": lambda one: one.score,
        "the mean step score": lambda one: fmean(one.known_steps) if one.known_steps else None,
        "the lowest step score": lambda one: min(one.known_steps) if one.known_steps else None,
        "more characters": lambda one: float(len(one.text)),
    }
    values = {"the comparison": [(p.judged.prompt_id, correctness(p.judged.p_a, side)) for p, side in decided]}
    for name, value in measures.items():
        values[name] = [
            (pair.judged.prompt_id, correctness(0.5 + 0.5 * _sign(a - b), side))
            for pair, side in decided
            if (a := value(pair.a)) is not None and (b := value(pair.b)) is not None
        ]
    shares = {name: share_by_prompt(of_rule) for name, of_rule in values.items()}
    return tuple(Agreement(by=name, share=share) for name, share in shares.items() if share is not None)


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)


def _by_cohort(decided: Sequence[Decided]) -> dict[str, Estimate]:
    values: dict[str, list[tuple[str, float]]] = {}
    for pair, side in decided:
        values.setdefault(pair.judged.cohort, []).append((pair.judged.prompt_id, correctness(pair.judged.p_a, side)))
    shares = {cohort: share_by_prompt(values[cohort]) for cohort in sorted(values)}
    return {cohort: share for cohort, share in shares.items() if share is not None} if len(shares) > 1 else {}


def _win_rates(pairs: Sequence[JudgedPair]) -> tuple[WinRate, ...]:
    cohorts = sorted({pair.cohort for pair in pairs})
    places = [None, *(cohorts if len(cohorts) > 1 else [])]
    wanted = [(later, earlier, c) for earlier, later in combinations(policies_of(pairs), 2) for c in places]
    rates = [win_rate(pairs, policy, against, cohort) for policy, against, cohort in wanted]
    return tuple(rate for rate in rates if rate is not None)


def _scores(trajectories: Sequence[JudgedTrajectory]) -> tuple[OutcomeScores, ...]:
    outcomes: tuple[tuple[Outcome, bool | None], ...] = (("succeeded", True), ("failed", False), ("unknown", None))
    scores: list[OutcomeScores] = []
    for outcome, succeeded in outcomes:
        same = [trajectory for trajectory in trajectories if trajectory.succeeded is succeeded]
        if same:
            whole = _mean(same, lambda one: one.score)
            steps = _mean(same, lambda one: fmean(one.known_steps) if one.known_steps else None)
            scores.append(OutcomeScores(outcome=outcome, trajectories=len(same), whole=whole, steps=steps))
    return tuple(scores)


def _mean(
    trajectories: Sequence[JudgedTrajectory], value: Callable[[JudgedTrajectory], float | None]
) -> Estimate | None:
    of_prompt: dict[str, list[float]] = {}
    for trajectory in trajectories:
        if (known := value(trajectory)) is not None:
            of_prompt.setdefault(trajectory.prompt_id, []).append(known)
    return mean_by_prompt(list(of_prompt.values()))


def _misled(good: Sequence[JudgedTrajectory], poor_whole: float) -> tuple[Misled, ...]:
    """Those that failed; what is known about a trajectory overrides the judge's score."""
    failed = [
        one
        for one in good
        if (one.score is not None and one.score < poor_whole if one.succeeded is None else not one.succeeded)
    ]
    misled = [
        Misled(
            **one.model_dump(include=set(Trajectory.model_fields)), steps=one.known_steps or (), succeeded=one.succeeded
        )
        for one in failed
    ]
    return tuple(sorted(misled, key=lambda one: -fmean(one.steps)))
