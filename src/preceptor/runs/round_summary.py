"""Builds `summary.json` of a run with rounds, from the summaries of its rounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

from preceptor.core.environment import environment
from preceptor.evaluation.checkpoints.choose import OverOptimisation, broken_bound
from preceptor.evaluation.checkpoints.snapshot import Snapshot, change
from preceptor.judging.warnings import JudgeWarning
from preceptor.results.rounds import RoundsRecord
from preceptor.results.run import BeforeAndAfter, RunSummary, SamplingRecord, Shares
from preceptor.runs.inputs import Split
from preceptor.runs.session import Session
from preceptor.runs.summary import bias_correction_of, calls_of, counted
from preceptor.store.calls import Calls

SELF_REWARDING = JudgeWarning(
    kind="self_rewarding",
    sentence="The judge of each round is the policy itself (self-rewarding): what it teaches and what it likes drift "
    "together, so its scores prove nothing, and only the held-out judge can show a gain",
)


@dataclass(frozen=True)
class FinishedRounds:
    """What the summary of finished rounds is made from."""

    record: RoundsRecord
    summaries: Sequence[RunSummary]
    """Of each round, in their order."""
    curve: Sequence[Snapshot]
    """The first policy and the one that each round kept, on the validation prompts; the steps are rounds."""
    before: Snapshot
    """The first policy on the test prompts."""
    after: Snapshot
    """The kept policy on the test prompts."""
    prompts: Split
    judge_compares: bool
    """Whether one judge scored both."""


def without_judge(snapshot: Snapshot) -> Snapshot:
    """The snapshot without the training judge's scores."""
    unscored = {"judge_score": None, "choice_mass": None, "steps": ()}
    return snapshot.with_responses(
        [response.model_copy(update=unscored) for response in snapshot.responses], graded=False
    )


def summarise_rounds(session: Session, found: FinishedRounds) -> RunSummary:
    """The summary of finished rounds, before its evaluation is added. Its steps are rounds; calls and times are of
    all rounds together.
    """
    directory, recipe, record = session.directory, session.recipe, found.record
    first, best = found.summaries[0], found.summaries[max(record.best - 1, 0)]
    before, after, bounds = found.before, found.after, recipe.evaluation.bounds
    broken = {str(each.number): each.broken for each in record.rounds if each.broken is not None}
    return first.model_copy(
        update={
            "judge_warnings": _warnings(record, found.summaries),
            "wall_s": round(sum(s.wall_s for s in found.summaries) + directory.seconds().get("measuring", 0.0), 1),
            "stages": directory.seconds(),
            "steps": len(record.rounds),
            "stopped_early": record.stopped,
            "judge_is_policy": any(summary.judge_is_policy for summary in found.summaries),
            **_calls(session, found.summaries),
            "heldout_judge_trained": any(summary.heldout_judge_trained for summary in found.summaries),
            "judge_score_is": first.judge_score_is if found.judge_compares else None,
            **dict.fromkeys(("fine_tuning", "labels", "preferences", "reward_model", "best_of_n")),
            "own_stages": {},
            "prompts": counted(found.prompts),
            "answering": SamplingRecord(
                max_new_tokens=recipe.heldout_decoding.max_new_tokens, temperature=recipe.heldout_decoding.temperature
            ),
            "evaluation": BeforeAndAfter(before=before.summary(), after=after.summary()),
            "unreadable": Shares(
                before=before.unreadable(before.likelihood_floor), after=after.unreadable(before.likelihood_floor)
            ),
            "heldout_change": change(before, after),
            "curve": tuple(snapshot.summary() for snapshot in found.curve),
            "bias_correction": bias_correction_of(recipe, before, after),
            "best_step": record.best,
            "chosen_on_validation": True,
            "kept_breaks_bound": broken_bound(before, after, bounds, measured=True),
            "best_checkpoint": str(directory.best.relative_to(directory.path)),
            "excluded_checkpoints": broken,
            "over_optimisation": OverOptimisation(detected=False),
            "seconds": {},
            "environment": environment(),
            "recipe": recipe.model_dump(mode="json", by_alias=True),
            "rounds": record,
            "reward_kind": best.reward_kind,
        }
    )


def _warnings(record: RoundsRecord, summaries: Sequence[RunSummary]) -> tuple[JudgeWarning, ...]:
    """The reasons to doubt the judges, each kind once, from the first round that gave it; that the policy judged itself
    comes first.
    """
    by_kind = {SELF_REWARDING.kind: SELF_REWARDING} if record.self_rewarding else {}
    for number, summary in enumerate(summaries, start=1):
        for warning in summary.judge_warnings or ():
            named = warning.model_copy(update={"sentence": f"Round {number}: {warning.sentence}"})
            by_kind.setdefault(warning.kind, named)
    return tuple(by_kind.values())


def _calls(session: Session, summaries: Sequence[RunSummary]) -> dict[str, object]:
    """The calls of all rounds together, and those of the measurements beside them."""
    listed = [*(summary.calls for summary in summaries), calls_of(session.directory)]
    roles = sorted({role for calls in listed for role in calls})
    return {
        "calls": {role: reduce(add, (calls.get(role, Calls()) for calls in listed)) for role in roles},
        "ledger_hits": sum(summary.ledger_hits for summary in summaries),
        "judge_calls": sum(summary.judge_calls for summary in summaries),
        "judge_failures": sum(summary.judge_failures for summary in summaries),
        "judge_tokens": sum(summary.judge_tokens for summary in summaries),
    }
