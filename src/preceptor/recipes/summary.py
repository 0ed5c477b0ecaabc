"""`summary.json`: every headline number of a run, for machines."""

from dataclasses import dataclass
from typing import Any

from preceptor.core.types import JudgeFailure, Prompt, Response
from preceptor.evaluation.checkpoints import Choice, find_over_optimisation
from preceptor.evaluation.snapshot import Snapshot, change
from preceptor.judging.constitution import Constitution
from preceptor.judging.score import ScoreJudge
from preceptor.recipes.environment import environment
from preceptor.recipes.run_directory import RunDirectory
from preceptor.store.files import read_rows
from preceptor.training.rl.rewards import reward_of


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
    constitution: Constitution
    judge: ScoreJudge
    content_free_score: float | None
    """The reward of a text without content: what the judge leans to by itself. None where it failed."""
    ledger: dict[str, int]
    policy: str
    prompts: tuple[int, int, int]
    """Numbers of training prompts, held-out prompts, and prompts skipped because they are too long."""
    seconds: float


def summarise(directory: RunDirectory, outcome: Outcome) -> dict[str, Any]:
    """The summary of a finished run."""
    recipe, bounds = directory.recipe, directory.recipe.evaluation.bounds
    gain = change(outcome.before, outcome.after)
    training, held_out, skipped = outcome.prompts
    return {
        "status": "done",
        "wall_s": round(outcome.seconds, 1),
        "steps": outcome.steps,
        "stopped_early": outcome.stopped_early,
        "policy": outcome.policy,
        "judge": outcome.judge.rater.model,
        "judge_is_policy": outcome.judge.rater.model == outcome.policy,
        "constitution": {
            "name": outcome.constitution.name,
            "version": outcome.constitution.version,
            "hash": outcome.constitution.hash,
            "summary": outcome.constitution.summary,
            "principles": list(outcome.constitution.principles),
        },
        "seed": recipe.seed,
        "prompts": {"training": training, "held_out": held_out, "skipped": skipped},
        "evaluation": {"before": outcome.before.summary(), "after": outcome.after.summary()},
        "heldout_change": gain.model_dump(mode="json") if gain else None,
        "curve": [snapshot.summary() for snapshot in outcome.curve],
        "best_step": outcome.choice.step,
        "best_checkpoint": str(directory.best.relative_to(directory.path)),
        "excluded_checkpoints": {str(step): why for step, why in outcome.choice.excluded.items()},
        "over_optimisation": find_over_optimisation(outcome.curve, bounds).model_dump(mode="json"),
        "judge_calls": outcome.ledger["calls"],
        "judge_failures": outcome.ledger["failures"],
        "judge_tokens": outcome.ledger["prompt_tokens"] + outcome.ledger["completion_tokens"],
        "judge_content_free_score": outcome.content_free_score,
        "ledger_hits": outcome.judge.ledger_hits,
        "seconds": _step_seconds(directory),
        "environment": environment(),
        "recipe": recipe.model_dump(mode="json"),
    }


def content_free_score(judge: ScoreJudge, directory: RunDirectory) -> float | None:
    """The reward that the judge gives to "N/A"."""
    prompt = Prompt.model_validate({"id": "content-free", "conversation": [{"role": "user", "content": "N/A"}]})
    response = Response(prompt_id=prompt.id, text="N/A", policy="none")
    [score] = judge.score([(prompt, response)])
    return None if isinstance(score, JudgeFailure) else reward_of(score, directory.recipe.judge.reward)


def _step_seconds(directory: RunDirectory) -> dict[str, float]:
    """Median seconds of each part of a training step."""
    rows = [row for row in read_rows(directory.path / "timings.jsonl") if "step" in row]
    if not rows:
        return {}
    parts = [name for name in rows[0] if name != "step"]
    return {name: round(sorted(row[name] for row in rows)[len(rows) // 2], 2) for name in parts}
