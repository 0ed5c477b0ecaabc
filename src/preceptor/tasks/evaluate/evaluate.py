"""Evaluating policies against each other: responses, a judge that took no part in training, statistics, a report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from preceptor.backends.connection import Connection
from preceptor.backends.resolve import check_batch
from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.progress import Progress
from preceptor.core.types import Prompt
from preceptor.core.validation import check_count, check_dollars, check_keywords, check_share, settings_of
from preceptor.display.progress import shown
from preceptor.evaluation.judges.judge_audit import Audit, JudgeAudit
from preceptor.evaluation.policies.cost import HUMAN_USD_PER_LABEL
from preceptor.evaluation.policies.examples import every_example
from preceptor.judging.constitution import load_constitution
from preceptor.judging.judges import Judges, judge_specs, shared_budget, shared_connection
from preceptor.judging.kept import keep_constitutions
from preceptor.judging.specs import JudgeSpec, check_judges, model_names, shown_constitutions
from preceptor.reports.evaluation.page import render_evaluation, render_markdown
from preceptor.results.evaluation import EvaluationResult
from preceptor.store.files import content_of, write_text
from preceptor.store.output import Output, output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.pinned import pin
from preceptor.tasks.candidates import Answering
from preceptor.tasks.evaluate.comparisons import asked_at
from preceptor.tasks.evaluate.facts import read_audits
from preceptor.tasks.evaluate.inputs import PolicySource, PromptSource, evaluated_policies, prompt_names
from preceptor.tasks.evaluate.policies import check_policies
from preceptor.tasks.evaluate.prompts import read_evaluation_prompts
from preceptor.tasks.evaluate.rubrics import can_judge, check_prompts
from preceptor.tasks.evaluate.suites import evaluators_of
from preceptor.tasks.evaluate.text_measures import CORRECT
from preceptor.tasks.evaluate.training_judge import training_judge
from preceptor.tasks.evaluate.work import EvaluationJob, EvaluationWork


def evaluate(
    policies: Mapping[str, PolicySource] | None = None,
    /,
    *,
    judge: Judges,
    prompts: "PromptSource | None" = None,
    out: str | Path | None = None,
    answering: Answering | Mapping[str, Any] | None = None,
    against_first: bool = False,
    ask_training_judge: bool = True,
    rubrics: str | Sequence[str] = (),
    suite: str | None = None,
    grade: bool = False,
    audit: Audit | str | Path | None = None,
    limit: int | None = None,
    max_failure_rate: float = 0.1,
    human_usd_per_label: float = HUMAN_USD_PER_LABEL,
    budget: float | None = None,
    connection: Connection | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **named: PolicySource,
) -> EvaluationResult:
    """Compares policies by a judge that took no part in training: win rates, length control, cohorts, regressions.

    To resume, call it again with the same policies, prompts, judge and folder. It writes `evaluation.json`,
    `report.html`, `report.md`, the policies' `responses/`, and the judgements in `judged/` and `training_judge/`.

    Examples:
        >>> result = evaluate(
        ...     brief=["Because.", "No."],
        ...     full=["Rayleigh scattering.", "No, a whale is a mammal."],
        ...     prompts=["Why is the sky blue?", "Is a whale a fish?"],
        ...     judge="scripted:random",
        ... )
        >>> result.win_rate.policy, result.win_rate.against, result.prompts
        ('full', 'brief', 2)

    Args:
        policies: by name, the baseline first; for names that are, or nearly are, keywords of this function. A policy is
            a model string, a run, a file of responses, or the responses themselves (see `PolicySource`). A single run
            stands for its untrained policy ("base") and its result ("tuned").
        named: policies as keywords, as in `evaluate(base="embedded", tuned=run, judge=other)`.
        judge: one judge, or several as an ensemble.
        prompts: see `PromptSource`. The default is the test prompts of the first run among the policies, which were
            used neither for training nor to choose its checkpoint; without a run, the prompts of the first file of
            responses; else the test prompts of the run that a checkpoint belongs to. `"held-out"` names the same.
        out: folder of the evaluation; by default a temporary one, which is deleted with the result.
        answering: how a model's responses are sampled (an `Answering`, or a dict of its settings); one response of at
            most 256 tokens by default.
        against_first: compare each policy with the baseline only, not every pair of policies.
        ask_training_judge: also ask the judge that trained a run among the policies, to see how often the two disagree.
        rubrics: constitutions by whose score rubrics the first judge's model scores every response. To judge by the
            rubrics that prompts carry, name a judge with the variant `rubric`.
        suite: also score by the evaluators that this suite names: "rlaif" chooses those for what the constitution that
            trained a policy leaves open, such as needless refusals after training for harmlessness; all if none is
            known.
        grade: let the first judge's model also grade responses against the prompts' reference answers.
        audit: an audit of the judge, or the folder or the file of one; the report then says how far the judge agrees
            with people.
        limit: how many prompts of each file to use, from the first.
        max_failure_rate: stop when a larger share of responses or judgements fails, from 0 to 1.
        human_usd_per_label: the price of a human label that the cost is compared with.
        budget: the most dollars that all calls of this folder may cost; by default the judges' budget.
        connection: how model servers are reached; by default the judges' connection.
        progress: by default a bar on a terminal, and lines elsewhere.

    Raises: UsageError on faulty input or a folder that holds other work; PreceptorError when a policy or a judge fails
        too often, a model cannot be asked or the budget is spent.
    """
    check_keywords(named, evaluate, "A policy of such a name is given in a dict, as the first argument.")
    output, judges = output_folder(out), judge_specs(judge)
    check_count("limit", limit)
    check_share("max_failure_rate", max_failure_rate)
    check_dollars("human_usd_per_label", human_usd_per_label)
    check_own(output.path, "evaluation")
    files = prompt_names(prompts, output.path)
    job = EvaluationJob(
        policies=check_policies(evaluated_policies({**(policies or {}), **named}, files, output.path, limit)),
        prompts=files,
        out=output.path,
        judges=judges,
        answering=settings_of("answering", Answering, answering) or Answering(),
        against_first=against_first,
        ask_training_judge=ask_training_judge,
        rubrics=(rubrics,) if isinstance(rubrics, str) else tuple(rubrics),
        suite=suite,
        grade=grade,
        limit=limit,
        max_failure_rate=max_failure_rate,
        human_usd_per_label=human_usd_per_label,
        budget=shared_budget(judge, budget),
        connection=shared_connection(judge, connection),
    )
    asked = model_names(judges) + [policy.model for policy in job.policies if policy.model]
    check_batch(job.connection, asked)
    audits = list(audit.judges) if isinstance(audit, Audit) else read_audits(audit)
    with shown(progress) as display:
        return _evaluate(job, audits, output, display)


def _evaluate(job: EvaluationJob, audits: Sequence[JudgeAudit], output: Output, progress: Progress) -> EvaluationResult:
    known_trainer = training_judge(job.policies)
    trainer = known_trainer if job.ask_training_judge else None
    _check(job, trainer)
    progress.stage("reading the prompts")
    prompts = read_evaluation_prompts(job.policies, job.prompts, job.limit)
    job = _with_suite(job, known_trainer, prompts)
    for prompt in prompts:
        asked_at(prompt)
    check_prompts(job.judges, prompts)
    trainer = can_judge(trainer, prompts, progress)
    if job.grade and all(prompt.reference is None for prompt in prompts):
        raise UsageError("grade: no prompt has a reference answer to grade by; leave it out, or add references")
    with working_in(job.out, "evaluation"):
        pin(job.out / "evaluate.json", _pinned(job, prompts), "an evaluation")
        keep_constitutions(job.out, shown_constitutions(job.judges))
        work = EvaluationWork(job, prompts, trainer, progress)
        evaluation = work.evaluate(audits)
    result = EvaluationResult.of(evaluation, output).save(output)
    write_text(job.out / "report.md", render_markdown(result))
    write_text(result.report, render_evaluation(result, every_example(work.comparisons)))
    return result


def _with_suite(job: EvaluationJob, trainer: JudgeSpec | None, prompts: Sequence[Prompt]) -> EvaluationJob:
    """The job with the constitutions of its suite among its rubrics."""
    if job.suite is None:
        return job
    context = any("context" in prompt.metadata for prompt in prompts)
    chosen, reason = evaluators_of(job.suite, trainer.constitution if trainer else None, context=context)
    return replace(job, rubrics=tuple(dict.fromkeys((*job.rubrics, *chosen))), suite=f"{job.suite}: {reason}")


def _check(job: EvaluationJob, trainer: JudgeSpec | None) -> None:
    """Checks names and settings before any model is opened."""
    check_judges([*job.judges, *([trainer] if trainer else [])])
    for spec in job.judges:
        settings = spec.resolved()
        if settings.order == "single" and settings.shown == "together":
            raise UsageError(f"{spec.way}: an evaluation must show both orders, or the judge's position bias decides")
    for name in job.rubrics:
        load_constitution(name)
    if job.grade and CORRECT in job.rubrics:
        raise UsageError(f"grading uses {CORRECT} already, with the reference answers; leave it out of the rubrics")


def _named(spec: JudgeSpec) -> JudgeSpec:
    """The judge with its variant written out, so that the same judge is the same however it was given."""
    return spec if spec.settings is not None else spec.model_copy(update={"variant": spec.way})


def _pinned(job: EvaluationJob, prompts: Sequence[Prompt]) -> dict[str, JsonValue]:
    """What must be the same when an evaluation is resumed."""
    return {
        "prompts": content_hash([prompt.model_dump(mode="json") for prompt in prompts])[:16],
        "policies": [[p.name, p.source, content_of(Path(p.source)) if p.is_file else ""] for p in job.policies],
        "answering": job.answering.model_dump(mode="json"),
        "judges": [_named(spec).model_dump(mode="json") for spec in job.judges],
        "against_first": job.against_first,
    }
