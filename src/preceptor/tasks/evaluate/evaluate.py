"""Evaluating policies against each other: responses, a judge that did not train them, statistics, a report."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.progress import Progress
from preceptor.core.types import Prompt
from preceptor.display.progress import shown
from preceptor.evaluation.result import Evaluation
from preceptor.judging.constitution import load_constitution
from preceptor.judging.specs import JudgeSpec, check_judges
from preceptor.reports.evaluation.page import render_evaluation, render_markdown
from preceptor.store.files import content_of, write_json, write_text
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.pinned import pin
from preceptor.tasks.evaluate.comparisons import asked_at
from preceptor.tasks.evaluate.facts import read_audits
from preceptor.tasks.evaluate.prompts import read_evaluation_prompts
from preceptor.tasks.evaluate.text_measures import CORRECT
from preceptor.tasks.evaluate.training_judge import training_judge
from preceptor.tasks.evaluate.work import EvaluationJob, EvaluationWork


def run_evaluation(job: EvaluationJob, audit: Path | None = None, progress: Progress | None = None) -> Evaluation:
    """Evaluates policies, continuing from wherever an earlier process stopped.

    Writes `evaluation.json`, `report.html`, `report.md`, the policies' `responses/`, and what judges said in `judged/`
    and `training_judge/`.

    Args:
        audit: an `audit.json` with an audit of the judge.

    Raises: UsageError on faulty input or a folder that holds other work; PreceptorError when a policy or a judge fails
        too often, a model cannot be asked or the budget is spent.
    """
    with shown(progress) as display:
        return _evaluate(job, audit, display)


def _evaluate(job: EvaluationJob, audit: Path | None, progress: Progress) -> Evaluation:
    trainer = training_judge(job.policies) if job.ask_training_judge else None
    _check(job, trainer)
    check_own(job.out, "evaluation")
    audits = read_audits(audit)
    progress.stage("reading the prompts")
    prompts = read_evaluation_prompts(job.policies, job.prompts, job.limit)
    for prompt in prompts:
        asked_at(prompt)
    with working_in(job.out, "evaluation"):
        pin(job.out / "evaluate.json", _pinned(job, prompts), "an evaluation")
        evaluation = EvaluationWork(job, prompts, trainer, progress).evaluate(audits)
    write_json(job.out / "evaluation.json", evaluation.model_dump(mode="json"))
    write_text(job.out / "report.md", render_markdown(evaluation))
    write_text(job.out / "report.html", render_evaluation(evaluation))
    return evaluation


def _check(job: EvaluationJob, trainer: JudgeSpec | None) -> None:
    """Checks names and settings before any model is opened."""
    check_judges([*job.judges, *([trainer] if trainer else [])])
    for spec in job.judges:
        settings = spec.resolved()
        if settings.order == "single" and settings.shown == "together":
            raise UsageError(f"{spec.way}: an evaluation shows both orders, or the judge's favourite place decides")
    for name in job.rubrics:
        load_constitution(name)
    if job.grade and CORRECT in job.rubrics:
        raise UsageError(f"--grade asks by {CORRECT} already, with the reference answers; leave out --rubric {CORRECT}")


def _pinned(job: EvaluationJob, prompts: Sequence[Prompt]) -> dict[str, JsonValue]:
    """What an evaluation is continued with only if it is the same."""
    return {
        "prompts": content_hash([prompt.model_dump(mode="json") for prompt in prompts])[:16],
        "policies": [[p.name, p.source, content_of(Path(p.source)) if p.is_file else ""] for p in job.policies],
        "answering": job.answering.model_dump(mode="json"),
        "judges": [spec.model_dump(mode="json") for spec in job.judges],
        "against_first": job.against_first,
    }
