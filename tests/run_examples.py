"""A finished run to make reports of, without running anything."""

from dataclasses import replace
from typing import Any

from preceptor.evaluation.checkpoints.snapshot import MeasuredReference, MeasuredResponse, Snapshot
from preceptor.recipes.load import load_recipe, schema_of
from preceptor.reports.run.page import ReportData
from preceptor.results.run import RunSummary
from preceptor.runs.report import words_of

SCRIPT = "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title='taken over'\">"


def snapshot(step: int, heldout: float, text: str = "fine words here") -> Snapshot:
    responses = tuple(
        MeasuredResponse(
            prompt_id=f"{i}",
            cohort="from $5 to $10" if i % 2 else r"$\frac$ <b>",
            prompt=f"prompt {i} {SCRIPT}",
            text=f"{text} {i}",
            tokens=5 + i,
            finished=bool(i % 3),
            kl=float(step),
            judge_score=None if i == 3 else heldout,
            choice_mass=0.5,
            heldout_score=heldout + 0.01 * i,
        )
        for i in range(10)
    )
    return Snapshot(
        step=step,
        responses=responses,
        references=(MeasuredReference(prompt_id="r", cohort="facts", log_likelihood=-9.0, tokens=4),),
    )


def data(**changes: Any) -> ReportData:
    """A run of an early version of preceptor, which recorded less.

    Args:
        changes: of its summary.
    """
    before, later = snapshot(0, 0.2), snapshot(10, 0.7, text=SCRIPT)
    summary: dict[str, Any] = {
        "method": "direct RLAIF", "stages": {"training": 9.0},
        "status": "done", "wall_s": 12.0, "steps": 10, "stopped_early": None, "policy": "p", "judge": "j",
        "judge_is_policy": False, "seed": 0, "best_step": 10, "excluded_checkpoints": {"5": "KL 30.0 is above 20"},
        "constitution": {"name": "c", "version": "1", "hash": "abc", "summary": "s", "principles": [SCRIPT]},
        "prompts": {"training": 20, "held_out": 10, "skipped": 0},
        "evaluation": {"before": before.summary(), "after": later.summary()}, "best_checkpoint": "checkpoints/best",
        "heldout_change": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10},
        "curve": [before.summary(), later.summary()], "over_optimisation": {"detected": False},
        "judge_calls": 100, "judge_failures": 0, "judge_tokens": 5000, "judge_content_free_score": None,
        "calls": {"judge": {"calls": 100, "failures": 0, "tokens": 5000, "cost_usd": 0.25, "unpriced": 3}},
        "heldout_score_is": "VADER", "heldout_judge_trained": False, "reward_kind": "log_odds",
        "judge_score_is": "training judge's reward (log-odds)", "reward_processing": None,
        "answering": {"max_new_tokens": 32, "temperature": 0.9},
        **dict.fromkeys(("sft", "fine_tuning", "revision", "labels", "preferences", "reward_model", "best_of_n")),
        "ledger_hits": 1, "seconds": {"sampling": 1.0}, "environment": {"python": "3", "preceptor": "1"},
        "recipe": load_recipe("quickstart").model_dump(mode="json", by_alias=True),
    }  # fmt: skip
    metrics = [{"step": i, "reward": None if i == 2 else 0.1 * i, "kl": 0.1 * i, "abstained": 0} for i in range(1, 11)]
    return in_words(ReportData(RunSummary.model_validate(summary | changes), metrics, before, later))


def changed(run: ReportData, **changes: Any) -> ReportData:
    """The same run with other values in its summary."""
    facts = run.summary.model_dump(mode="json", by_alias=True) | changes
    return in_words(replace(run, summary=RunSummary.model_validate(facts)))


def in_words(run: ReportData) -> ReportData:
    """The run with what its method says of it."""
    recipe = schema_of(run.summary.method_name).model_validate(run.summary.recipe)
    return replace(run, words=words_of(recipe, run.summary))


def afterwards(**changes: Any) -> dict[str, Any]:
    """The evaluation of the run, with other measures after training."""
    evaluation = data().summary.evaluation.model_dump(mode="json", by_alias=True)
    return {"before": evaluation["before"], "after": evaluation["after"] | changes}


SPLIT = {"training": 20, "held_out": 10, "validation": 3, "test": 7, "skipped": 0}
OVER = {"detected": True, "step": 5, "reasons": ["r"]}
