"""Whole agent trajectories: does the judge prefer the one that succeeded, and do step scores say the same as the whole?

A right step can belong to a lost plan, so step scores stand beside the judgement of the whole and never replace it.
What a row knows of success comes from outside: from a check of the task, or from a label that says which of the two
succeeded. A failed judgement of a step is unknown, never a bad step.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean
from typing import Any, Literal, TypeAlias

from preceptor.core.hashing import content_hash
from preceptor.core.types import Frozen, Message, Response
from preceptor.evaluation.agreement import Share, Side, correctness, share_by_prompt
from preceptor.evaluation.intervals import Estimate, mean_by_prompt
from preceptor.evaluation.pairs import JudgedPair, policies_of
from preceptor.evaluation.win_rate import WinRate, win_rate
from preceptor.judging.position import mean, p_by_order, same_position_wins
from preceptor.judging.trajectory import response_text
from preceptor.store.prompts import tidy_messages

GOOD_STEP = 7.0
"""Score from which on a step is a good one, of 1 to 10."""
POOR_WHOLE = 5.0
"""Score below which a whole is a failed one, where nothing better is known."""

Outcome = Literal["succeeded", "failed", "unknown"]


@dataclass(frozen=True)
class JudgedTrajectory:
    """One trajectory, and what a judge made of it as a whole and step by step."""

    key: str
    """The same for the same messages after the same prompt, in whichever pairs they stand."""
    prompt_id: str
    cohort: str
    policy: str
    prompt: str
    """Its last message."""
    text: str
    """Every message under its number and its speaker."""
    score: float | None
    """Of the whole, 1 to 10; None where it was not asked for or failed."""
    steps: tuple[float | None, ...] | None
    """Of each message of the assistant; None where they were not asked for, an entry None where that one failed."""
    succeeded: bool | None
    """Whether it did its task; None where that is not known."""

    @property
    def known_steps(self) -> tuple[float, ...] | None:
        """The step scores where there are any and none failed."""
        known = tuple(step for step in self.steps or () if step is not None)
        return known if known and self.steps is not None and len(known) == len(self.steps) else None


@dataclass(frozen=True)
class TrajectoryPair:
    """Two trajectories of one prompt and the judge's preference."""

    judged: JudgedPair
    a: JudgedTrajectory
    b: JudgedTrajectory
    same_position: bool | None
    """Whether the same position wins after the swap; None where one order was shown."""

    @property
    def successful(self) -> Side | None:
        """The side that succeeded, where exactly one did."""
        if self.a.succeeded is None or self.b.succeeded is None or self.a.succeeded == self.b.succeeded:
            return None
        return "a" if self.a.succeeded else "b"


Decided: TypeAlias = tuple[TrajectoryPair, Side]
"""A pair with the side that alone succeeded."""


class Agreement(Frozen):
    """How often something prefers the successful one of two trajectories of which exactly one succeeded."""

    by: str
    """"the comparison", "the score of the whole", "the mean step score", "the lowest step score", "more characters"."""
    share: Share
    """Of the pairs that it says something about; equal values count one half. By prompt."""


class OutcomeScores(Frozen):
    """The scores of the trajectories of one outcome, each trajectory once. Means over prompts, of 1 to 10."""

    outcome: Outcome
    trajectories: int
    whole: Estimate | None
    steps: Estimate | None
    """Of each trajectory's mean step score."""


class Misled(Frozen):
    """A trajectory whose every step scores well while the whole failed. Its texts are hostile to a page."""

    prompt_id: str
    cohort: str
    policy: str
    prompt: str
    text: str
    score: float | None
    """Of the whole."""
    steps: tuple[float, ...]
    succeeded: bool | None
    """False where it is known to have failed; None where only the whole's score says so."""


class TrajectoryFindings(Frozen):
    """What a judge makes of whole trajectories."""

    pairs: int
    """Pairs of trajectories with a verdict."""
    plain: int
    """Rows left out since neither response is a trajectory."""
    failures: dict[str, int]
    """Rows without a verdict, by reason."""
    one_succeeded: int
    """Pairs in which exactly one trajectory is known to have succeeded."""
    agreement: tuple[Agreement, ...]
    """The comparison first; what has no pair to go by is not there."""
    agreement_by_cohort: dict[str, Share]
    """Of the comparison; empty where there is one cohort."""
    position_bias: float | None
    """Share of pairs shown in both orders in which the same position wins."""
    win_rates: tuple[WinRate, ...]
    """Every two policies on whole trajectories, the later against the earlier; all cohorts together, then by cohort."""
    scores: tuple[OutcomeScores, ...]
    """By outcome; empty where nothing was scored."""
    unscored: int
    """Trajectories that were scored of which the whole's score or a step's failed."""
    good_step: float
    """Score from which on a step counts as good."""
    poor_whole: float
    """Score below which a whole counts as failed, where it is not known."""
    all_steps_good: int
    """Trajectories whose every step is good."""
    misled: tuple[Misled, ...]
    """Those of them that failed as a whole, the best steps first."""
    disputed: int = 0
    """Rows that were chosen because judges dispute them, so that they represent no others."""


def trajectory_pair(
    row: Mapping[str, Any], success: tuple[bool | None, bool | None] | None = None
) -> TrajectoryPair | None:
    """The pair of a row that `preceptor label` wrote; None where neither response is a trajectory.

    Args:
        row: of `preferences.jsonl`; the scores are there where it was labelled with --steps.
        success: of a and b, from outside; else `human_p_chosen` says which succeeded, and one half says nothing.
    """
    chosen, rejected = (_response(row, name) for name in ("chosen", "rejected"))
    if not (chosen.trajectory or rejected.trajectory):
        return None
    chosen_is_a = row["chosen_is"] == "a"
    if success is None:
        said = row.get("human_p_chosen")
        which = (None, None) if said is None or said == 0.5 else (said > 0.5, said < 0.5)
    else:
        which = success if chosen_is_a else (success[1], success[0])
    first = _trajectory(row, "chosen", chosen, which[0])
    second = _trajectory(row, "rejected", rejected, which[1])
    a, b = (first, second) if chosen_is_a else (second, first)
    shown = [(verdict["order"], verdict["p_a"]) for verdict in row["verdicts"]]
    judged = JudgedPair(
        prompt_id=row["prompt_id"],
        cohort=row["cohort"],
        policy_a=a.policy,
        policy_b=b.policy,
        p_a=row["p_chosen"] if chosen_is_a else 1.0 - row["p_chosen"],
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
    """What the pairs say; see `TrajectoryFindings`."""
    trajectories = _once(each for pair in pairs for each in (pair.a, pair.b))
    scored = [each for each in trajectories if each.steps is not None or each.score is not None]
    good = [each for each in trajectories if (steps := each.known_steps) and min(steps) >= good_step]
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
        unscored=sum(each.score is None or None in (each.steps or ()) for each in scored),
        good_step=good_step,
        poor_whole=poor_whole,
        all_steps_good=len(good),
        misled=_misled(good, poor_whole),
    )


def _response(row: Mapping[str, Any], name: str) -> Response:
    messages = tuple(Message.model_validate(message) for message in tidy_messages(row[name]))
    plain = len(messages) == 1 and not messages[0].tool_calls
    text = next((each.content for each in reversed(messages) if each.role == "assistant"), "")
    return Response(prompt_id=row["prompt_id"], text=text, trajectory=() if plain else messages)


def _trajectory(row: Mapping[str, Any], name: str, response: Response, succeeded: bool | None) -> JudgedTrajectory:
    steps = row.get(f"{name}_steps")
    return JudgedTrajectory(
        key=content_hash([row["prompt_id"], tidy_messages(row[name])]),
        prompt_id=row["prompt_id"],
        cohort=row["cohort"],
        policy=row[f"{name}_policy"],
        prompt=row["prompt"][-1]["content"],
        text=response_text(response),
        score=row.get(f"{name}_score"),
        steps=None if steps is None else tuple(steps),
        succeeded=succeeded,
    )


def _once(trajectories: Iterable[JudgedTrajectory]) -> list[JudgedTrajectory]:
    """Each trajectory once. Where its pairs say different things of its success, that is not known: it did better than
    one and worse than another.
    """
    found: dict[str, JudgedTrajectory] = {}
    said: dict[str, set[bool]] = {}
    for each in trajectories:
        found.setdefault(each.key, each)
        said.setdefault(each.key, set()).update(() if each.succeeded is None else (each.succeeded,))
    return [
        replace(each, succeeded=next(iter(said[key])) if len(said[key]) == 1 else None) for key, each in found.items()
    ]


def _agreement(decided: Sequence[Decided]) -> tuple[Agreement, ...]:
    """What prefers the successful one, and how often. Length is there to be compared with: it reads nothing."""
    measures: dict[str, Callable[[JudgedTrajectory], float | None]] = {
        "the score of the whole": lambda each: each.score,
        "the mean step score": lambda each: fmean(each.known_steps) if each.known_steps else None,
        "the lowest step score": lambda each: min(each.known_steps) if each.known_steps else None,
        "more characters": lambda each: float(len(each.text)),
    }
    values = {"the comparison": [(p.judged.prompt_id, correctness(p.judged.p_a, side)) for p, side in decided]}
    for name, value in measures.items():
        values[name] = [
            (pair.judged.prompt_id, correctness(0.5 + 0.5 * _sign(a - b), side))
            for pair, side in decided
            if (a := value(pair.a)) is not None and (b := value(pair.b)) is not None
        ]
    shares = {name: share_by_prompt(each) for name, each in values.items()}
    return tuple(Agreement(by=name, share=share) for name, share in shares.items() if share is not None)


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)


def _by_cohort(decided: Sequence[Decided]) -> dict[str, Share]:
    values: dict[str, list[tuple[str, float]]] = {}
    for pair, side in decided:
        values.setdefault(pair.judged.cohort, []).append((pair.judged.prompt_id, correctness(pair.judged.p_a, side)))
    shares = {cohort: share_by_prompt(values[cohort]) for cohort in sorted(values)}
    return {cohort: share for cohort, share in shares.items() if share is not None} if len(shares) > 1 else {}


def _win_rates(pairs: Sequence[JudgedPair]) -> tuple[WinRate, ...]:
    cohorts = sorted({pair.cohort for pair in pairs})
    places = [None, *(cohorts if len(cohorts) > 1 else [])]
    wanted = [(later, earlier, c) for earlier, later in combinations(policies_of(pairs), 2) for c in places]
    found = [win_rate(pairs, policy, against, cohort) for policy, against, cohort in wanted]
    return tuple(each for each in found if each is not None)


def _scores(trajectories: Sequence[JudgedTrajectory]) -> tuple[OutcomeScores, ...]:
    outcomes: tuple[tuple[Outcome, bool | None], ...] = (("succeeded", True), ("failed", False), ("unknown", None))
    found: list[OutcomeScores] = []
    for outcome, succeeded in outcomes:
        those = [each for each in trajectories if each.succeeded is succeeded]
        if those:
            whole = _mean(those, lambda each: each.score)
            steps = _mean(those, lambda each: fmean(each.known_steps) if each.known_steps else None)
            found.append(OutcomeScores(outcome=outcome, trajectories=len(those), whole=whole, steps=steps))
    return tuple(found)


def _mean(
    trajectories: Sequence[JudgedTrajectory], value: Callable[[JudgedTrajectory], float | None]
) -> Estimate | None:
    of_prompt: dict[str, list[float]] = {}
    for each in trajectories:
        if (known := value(each)) is not None:
            of_prompt.setdefault(each.prompt_id, []).append(known)
    return mean_by_prompt(list(of_prompt.values()))


def _misled(good: Sequence[JudgedTrajectory], poor_whole: float) -> tuple[Misled, ...]:
    """Those that failed; what is known of a trajectory goes before the judge's score of it."""
    failed = [
        each
        for each in good
        if (each.score is not None and each.score < poor_whole if each.succeeded is None else not each.succeeded)
    ]
    found = [
        Misled(
            prompt_id=each.prompt_id,
            cohort=each.cohort,
            policy=each.policy,
            prompt=each.prompt,
            text=each.text,
            score=each.score,
            steps=each.known_steps or (),
            succeeded=each.succeeded,
        )
        for each in failed
    ]
    return tuple(sorted(found, key=lambda each: -fmean(each.steps)))
