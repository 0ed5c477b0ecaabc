"""`summary.json`: every headline number of a run, for machines."""

from dataclasses import dataclass
from typing import Any

from preceptor.backends.names import same_model
from preceptor.core.environment import environment
from preceptor.evaluation.checkpoints import Choice, broken_bound, find_over_optimisation
from preceptor.evaluation.snapshot import Snapshot, change
from preceptor.judging.warnings import Count
from preceptor.recipes.methods import DirectRlaifRecipe, Recipe
from preceptor.runs.conduct import run_warnings
from preceptor.runs.directory import RunDirectory
from preceptor.runs.held_out import HeldOut
from preceptor.runs.inputs import Split
from preceptor.runs.judge import RunJudge
from preceptor.runs.measure import Grader, JudgeGrader
from preceptor.runs.session import Session
from preceptor.store.calls import JUDGE, calls_by_role
from preceptor.store.files import read_rows

STAGES = ("sft", "revision", "fine_tuning", "labels", "preferences", "reward_model", "best_of_n")
"""Parts of a run whose results are in the summary, where the method has them."""


@dataclass(frozen=True)
class Outcome:
    """What a finished run hands to its summary."""

    curve: list[Snapshot]
    """Before training, and each checkpoint."""
    before: Snapshot
    after: Snapshot
    choice: Choice
    steps: int
    stopped_early: str | None
    judge: RunJudge | None
    grader: Grader | None
    """Whose opinion `judge_score` is."""
    policy: str
    """Identity of the model that training began with."""
    prompts: Split
    chosen_on_validation: bool
    """Whether looks at validation prompts chose the model among checkpoints. If not, the curve is `before` and `after`.
    """


def summarise(session: Session, outcome: Outcome) -> dict[str, Any]:
    """The summary of a finished run."""
    directory, recipe = session.directory, session.recipe
    bounds, gain = recipe.evaluation.bounds, change(outcome.before, outcome.after)
    floor = outcome.curve[0].likelihood_floor
    stages = {name: directory.stage_result(name) for name in STAGES}
    judge, calls = _judge(session, outcome, stages["labels"]), _calls(directory)
    asked = Count(hits=calls["judge_failures"], n=calls["judge_calls"], prompts=calls["judge_calls"])
    kind = outcome.grader.kind if isinstance(outcome.grader, JudgeGrader) else None
    doubts = run_warnings(stages["labels"], outcome.before, outcome.after, asked, kind)
    return {
        "status": "done",
        "judge_warnings": [warning.model_dump(mode="json") for warning in doubts],
        "method": recipe.title,
        "wall_s": round(session.seconds, 1),
        "stages": directory.seconds(),
        "steps": outcome.steps,
        "stopped_early": outcome.stopped_early,
        "policy": outcome.policy,
        **judge,
        **calls,
        "heldout_score_is": None if session.held_out is None else session.held_out.name,
        "heldout_judge_trained": _is_the_same(session.held_out, judge["judge"]),
        "judge_score_is": judge_score_is(recipe, outcome.grader),
        "reward_processing": recipe.processing and recipe.processing.describe(),
        **stages,
        "seed": recipe.seed,
        "prompts": {
            "training": len(outcome.prompts.training),
            "held_out": len(outcome.prompts.held_out),
            "validation": len(outcome.prompts.validation),
            "test": len(outcome.prompts.test),
            "skipped": outcome.prompts.skipped,
        },
        "answering": {
            "max_new_tokens": recipe.answering.max_new_tokens,
            "temperature": recipe.answering.temperature,
        },
        "evaluation": {"before": outcome.before.summary(), "after": outcome.after.summary()},
        "unreadable": {"before": outcome.before.unreadable(floor), "after": outcome.after.unreadable(floor)},
        "heldout_change": gain.model_dump(mode="json") if gain else None,
        "curve": [snapshot.summary() for snapshot in outcome.curve],
        "best_step": outcome.choice.step,
        "chosen_on_validation": outcome.chosen_on_validation,
        "kept_breaks_bound": broken_bound(outcome.before, outcome.after, bounds, measured=session.held_out is not None),
        "best_checkpoint": str(directory.best.relative_to(directory.path)),
        "excluded_checkpoints": {str(step): why for step, why in outcome.choice.excluded.items()},
        "over_optimisation": find_over_optimisation(outcome.curve, bounds).model_dump(mode="json"),
        "seconds": _step_seconds(directory),
        "environment": environment(),
        "recipe": recipe.model_dump(mode="json", by_alias=True),
    }


def _is_the_same(held_out: HeldOut | None, judge: str | None) -> bool:
    """Whether the held-out judge is the model that judged in training."""
    return held_out is not None and judge is not None and same_model(held_out.identity, judge)


def _judge(session: Session, outcome: Outcome, labels: dict[str, Any] | None) -> dict[str, Any]:
    """Who judged, by which constitution; None for each where there is no judge."""
    judge = outcome.judge
    if judge is None:
        names = ("judge", "constitution", "judge_content_free_score", "reward_kind")
        return {**dict.fromkeys(names), "judge_is_policy": False, "ledger_hits": 0}
    asked = judge.model.identity if judge.grader is None else judge.scorer.rater.model
    identity = str(labels["judges"][0]) if labels and judge.grader is None else asked
    constitution = judge.constitution
    return {
        "judge": identity,
        "judge_is_policy": identity == outcome.policy or judge.settings.model == session.recipe.policy,
        "constitution": {
            "name": constitution.name,
            "version": constitution.version,
            "hash": constitution.hash,
            "summary": constitution.summary,
            "principles": list(constitution.principles),
        },
        "judge_content_free_score": judge.content_free_score(),
        "reward_kind": judge.reward_kind,
        "ledger_hits": judge.scorer.ledger_hits if judge.grader else 0,
    }


def _calls(directory: RunDirectory) -> dict[str, Any]:
    """Calls of models over all ledgers of the run, those of the held-out judge apart."""
    places = (directory.ledger, *(directory.path / part / "ledger.sqlite" for part in ("labels", "revision")))
    counted = calls_by_role([place for place in places if place.exists()])
    held_out = directory.path / "evaluations" / "ledger.sqlite"
    return {
        "judge_calls": counted[JUDGE].calls,
        "judge_failures": counted[JUDGE].failures,
        "judge_tokens": counted[JUDGE].tokens,
        "calls": {role: calls.model_dump(mode="json") for role, calls in counted.items()}
        | ({"held-out judge": calls_by_role([held_out])[JUDGE].model_dump(mode="json")} if held_out.exists() else {}),
    }


def judge_score_is(recipe: Recipe, grader: Grader | None) -> str | None:
    """What `judge_score` is, in words; None where there is none."""
    if grader is None:
        return None
    if not isinstance(grader, JudgeGrader):
        return "reward model's reward"
    rewards = isinstance(recipe, DirectRlaifRecipe) and recipe.judge.mode == "score"
    whose = "training judge's reward" if rewards else "judge's score"
    return f"{whose} ({grader.kind.replace('_', '-')})"


def _step_seconds(directory: RunDirectory) -> dict[str, float]:
    """Median seconds of each part of a training step."""
    rows = [row for row in read_rows(directory.timings) if "step" in row]
    if not rows:
        return {}
    parts = [name for name in rows[0] if name != "step"]
    return {name: round(sorted(row[name] for row in rows)[len(rows) // 2], 2) for name in parts}
