"""Reasons to doubt the judge of a run, found in its labels and in its scores of the measured responses."""

from collections.abc import Sequence
from itertools import combinations

from preceptor.core.odds import sigmoid
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, Snapshot, by_prompt
from preceptor.judging.conduct import Running
from preceptor.judging.reward import RewardKind
from preceptor.judging.warnings import MASS_BOUND, NEAR, Count, JudgeConduct, JudgeWarning, judge_warnings


def run_warnings(
    of_labels: Sequence[JudgeWarning] | None,
    before: Snapshot,
    after: Snapshot,
    calls: Count,
    kind: RewardKind | None,
    related: Sequence[JudgeWarning] = (),
) -> list[JudgeWarning]:
    """The warnings from a run's labels, those from its judge's scores of held-out responses, and its judges' relations
    to the policy.

    Args:
        of_labels: the warnings about the labelled preferences; None if none were labelled.
        before, after: the measurements before and after training, with the judge's scores if it scored.
        calls: calls of the judge in the whole run, and those that failed.
        kind: the kind of its scores; None if the run measured no judge's scores.
        related: that a judge and the policy are related, if they are.
    """
    conduct = JudgeConduct(unit="calls", failed=calls)
    if kind is not None:
        conduct = _scores(before, after, kind).model_copy(update={"unit": "calls", "failed": calls})
    kinds = {warning.kind for warning in of_labels or ()}
    own = [warning for warning in judge_warnings(conduct, "The judge") if warning.kind not in kinds]
    return [*(of_labels or ()), *own, *related]


def _scores(before: Snapshot, after: Snapshot, kind: RewardKind) -> JudgeConduct:
    """Length preferences come from the policy before training, which has not yet learnt what this judge likes."""
    low, near, longer = Running(), Running(), Running()
    masses = [(r.prompt_id, r.choice_mass) for r in (*before.responses, *after.responses) if r.choice_mass is not None]
    for prompt, mass in sorted(masses):
        low.add(prompt, float(mass < MASS_BOUND))
    for prompt, responses in by_prompt(before.responses).items():
        for response in responses:
            if kind == "log_odds" and response.judge_score is not None:
                near.add(prompt, float(abs(sigmoid(response.judge_score) - 0.5) < NEAR))
        for hit in _longer_wins(responses):
            longer.add(prompt, hit)
    return JudgeConduct(
        low_mass=low.count(),
        choice_mass=sum(mass for _, mass in masses) / len(masses) if masses else None,
        near_half=near.count(),
        longer=longer.count(),
    )


def _longer_wins(responses: Sequence[MeasuredResponse]) -> list[float]:
    """For every two responses to one prompt whose lengths differ, whether the longer has the higher score."""
    hits: list[float] = []
    for one, other in combinations(responses, 2):
        if one.judge_score is not None and other.judge_score is not None and len(one.text) != len(other.text):
            short, long = sorted((one, other), key=lambda response: len(response.text))
            ours, theirs = long.judge_score or 0.0, short.judge_score or 0.0
            hits.append(1.0 if ours > theirs else 0.0 if ours < theirs else 0.5)
    return hits
