"""Evaluating policies against each other: responses, a judge that did not train them, statistics, a report."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.backends.names import same_model
from preceptor.backends.resolve import open_model
from preceptor.core.environment import environment
from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.progress import Progress
from preceptor.core.types import Prompt
from preceptor.display.progress import shown
from preceptor.evaluation.assemble import Material, TextMeasure, assemble
from preceptor.evaluation.cost import HUMAN_USD_PER_LABEL, cost
from preceptor.evaluation.judge_audit import JudgeAudit
from preceptor.evaluation.result import CostPart, Evaluation
from preceptor.judging.constitution import load_constitution
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.label import label
from preceptor.judging.specs import JudgeSpec, build_judge, check_judges, check_prices
from preceptor.reports.evaluation.page import render_evaluation, render_markdown
from preceptor.runs.directory import RunDirectory
from preceptor.runs.inputs import check_split, read_inputs
from preceptor.store.calls import JUDGE, calls_by_role, notes_of
from preceptor.store.comparisons import ComparisonRow
from preceptor.store.files import content_of, write_json, write_text, writing
from preceptor.store.ledger import Ledger
from preceptor.store.outcomes import Outcomes
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.pinned import pin
from preceptor.store.prompt_sets import check_unique, read_prompt_sets
from preceptor.store.prompts import split_held_out
from preceptor.store.responses import read_responses
from preceptor.tasks.candidates import Answering
from preceptor.tasks.evaluate.contestants import Answers, Contestant, answers_of, as_run
from preceptor.tasks.evaluate.contests import asked_at, comparisons, contests, responses_of
from preceptor.tasks.evaluate.facts import (
    audit_of,
    cost_part,
    judge_facts,
    policy_facts,
    read_audits,
    write_responses,
)
from preceptor.tasks.evaluate.text_measures import CORRECT, Answer, rubric_measures, rule_measures, with_references
from preceptor.tasks.evaluate.training_judge import chosen_on, trained_on, training_judge, training_models

HELD_OUT = "held-out"
"""Names, among prompt files, the prompts that a policy brings."""
LEDGERS = ("responses.sqlite", "judged/ledger.sqlite", "training_judge/ledger.sqlite", "rubrics.sqlite")


@dataclass(frozen=True)
class EvaluateJob:
    """Which policies are evaluated, on what, by whom."""

    policies: tuple[Contestant, ...]
    """The baseline first."""
    prompts: tuple[str, ...]
    """Prompt files, `COHORT=FILE` to put all of a file's prompts into a cohort; `held-out` for the held-out prompts of
    the first run among the policies, or the prompts of the first file of responses. That alone when empty."""
    out: Path
    judges: tuple[JudgeSpec, ...]
    """Several are an ensemble."""
    answering: Answering = field(default_factory=Answering)
    against_first: bool = False
    """Compare each policy with the baseline alone."""
    ask_training_judge: bool = True
    """Ask the judge that trained a run among the policies as well, for the rate of disagreement."""
    rubrics: tuple[str, ...] = ()
    """Constitutions by whose rubrics the first judge's model scores every response."""
    grade: bool = False
    """Let the first judge's model grade responses against the prompts' reference answers too."""
    audit: Path | None = None
    """An `audit.json` with an audit of the judge."""
    limit: int | None = None
    """Prompts of each file to use, from the first."""
    max_failure_rate: float = 0.1
    human_usd_per_label: float = HUMAN_USD_PER_LABEL
    budget: float | None = None
    connection: Connection | None = None


def run_evaluate(job: EvaluateJob, progress: Progress | None = None) -> Evaluation:
    """Evaluates policies, from wherever an earlier process left it.

    Writes `evaluation.json`, `report.html`, `report.md`, the policies' `responses/`, and what judges said in `judged/`
    and `training_judge/`.

    Raises: UsageError on faulty input or a folder that holds other work; PreceptorError when a policy or a judge fails
        too often, a model cannot be asked or the budget is spent.
    """
    with shown(progress) as display:
        return _evaluate(job, display)


def _evaluate(job: EvaluateJob, progress: Progress) -> Evaluation:
    trainer = training_judge(job.policies) if job.ask_training_judge else None
    check_evaluation(job, trainer)
    check_own(job.out, "evaluation")
    audits = read_audits(job.audit)
    progress.stage("reading the prompts")
    prompts = read_evaluation_prompts(job)
    for prompt in prompts:
        asked_at(prompt)
    with working_in(job.out, "evaluation"):
        pin(job.out / "evaluate.json", _pinned(job, prompts), "an evaluation")
        evaluation = _Work(job, prompts, trainer, progress).evaluate(audits)
    write_json(job.out / "evaluation.json", evaluation.model_dump(mode="json"))
    write_text(job.out / "report.md", render_markdown(evaluation))
    write_text(job.out / "report.html", render_evaluation(evaluation))
    return evaluation


def check_evaluation(job: EvaluateJob, trainer: JudgeSpec | None) -> None:
    """Checks names and settings without opening a model.

    Raises: UsageError.
    """
    check_judges([*job.judges, *([trainer] if trainer else [])])
    for spec in job.judges:
        settings = spec.resolved()
        if settings.order == "single" and settings.shown == "together":
            raise UsageError(f"{spec.way}: an evaluation shows both orders, or the judge's favourite place decides")
    for name in job.rubrics:
        load_constitution(name)
    if job.grade and CORRECT in job.rubrics:
        raise UsageError(f"--grade asks by {CORRECT} already, with the reference answers; leave out --rubric {CORRECT}")


def _pinned(job: EvaluateJob, prompts: Sequence[Prompt]) -> dict[str, Any]:
    return {
        "prompts": content_hash([prompt.model_dump(mode="json") for prompt in prompts])[:16],
        "policies": [[p.name, p.source, content_of(Path(p.source)) if p.is_file else ""] for p in job.policies],
        "answering": job.answering.model_dump(mode="json"),
        "judges": [spec.model_dump(mode="json") for spec in job.judges],
        "against_first": job.against_first,
    }


def read_evaluation_prompts(job: EvaluateJob) -> list[Prompt]:
    """The prompts of a job.

    Raises: UsageError where none are named and no policy has any.
    """
    named = [text for text in job.prompts if text != HELD_OUT]
    own = _own_prompts(job.policies)[: job.limit] if len(named) < len(job.prompts) or not named else []
    return check_unique([*own, *read_prompt_sets(named, job.limit)])


def _own_prompts(policies: Sequence[Contestant]) -> list[Prompt]:
    owner = _owner(policies)
    run = as_run(owner.source)
    return held_out_prompts(run) if run else [prompt for prompt, _ in read_responses(Path(owner.source))]


def _owner(policies: Sequence[Contestant]) -> Contestant:
    """The policy that brings the prompts: the first run, else the first file of responses."""
    for brings in (lambda policy: as_run(policy.source) is not None, lambda policy: policy.is_file):
        for policy in policies:
            if brings(policy):
                return policy
    raise UsageError("no prompts: give --prompts FILE, or a run or a file of responses among the policies")


class _Work:
    """One evaluation under way. Each of its parts has a ledger of its own, so that what it took can be told."""

    def __init__(self, job: EvaluateJob, prompts: list[Prompt], trainer: JudgeSpec | None, progress: Progress) -> None:
        self.job = job
        self.prompts = prompts
        self.trainer = trainer
        self.progress = progress
        self.parts: list[CostPart] = []

    def evaluate(self, audits: Sequence[JudgeAudit]) -> Evaluation:
        """Everything, in order."""
        job = self.job
        answers = self._answers()
        entries = comparisons(self.prompts, answers, against_first=job.against_first)
        if not entries:
            raise UsageError("no two policies have responses to the same prompt, so there is nothing to compare")
        judge, outcomes, audit = self._judged("judged", "judging", job.judges, entries, answers, audits)
        training = (
            self._judged("training_judge", "training judge", [self.trainer], entries, answers) if self.trainer else None
        )
        listed = list(responses_of(answers, self.prompts))
        rubrics, unscored = self._rubrics(judge, listed)
        models = [member.model.model.identity for member in judge.members]
        trainers = training_models(job.policies)
        names = [policy.name for policy in job.policies]
        facts = judge_facts(judge, job.judges, outcomes)
        constitutions = [load_constitution(spec.constitution) for spec in job.judges]
        return assemble(
            Material(
                title=f"{names[1]} against {names[0]}" if len(names) == 2 else ", ".join(names),
                policies=tuple(policy_facts(policy, answers[policy.name]) for policy in job.policies),
                judge=facts,
                training_judge=judge_facts(training[0], [self.trainer], training[1])
                if training and self.trainer
                else None,
                judge_trained=any(same_model(one, other) for one in models for other in trainers),
                judge_is_policy=tuple(n for n, a in answers.items() if any(same_model(a.identity, m) for m in models)),
                trained_on=trained_on(job.policies, self.prompts),
                chosen_on=chosen_on(job.policies, self.prompts),
                contests=contests(
                    entries, outcomes, training and training[1], {each.hash: each.principles for each in constitutions}
                ),
                measures=[*rule_measures(listed), *rubrics],
                audit=audit,
                cost=cost([part for part in self.parts if part.calls], facts.compared, job.human_usd_per_label),
                facts=self._facts(unscored),
            )
        )

    def _answers(self) -> dict[str, Answers]:
        """Every policy's responses, by its name."""
        job, found, begun = self.job, dict[str, Answers](), time.perf_counter()
        with self._ledger("responses.sqlite") as ledger:
            for policy in job.policies:
                self.progress.stage(f"responses of {policy.name}")
                answers = answers_of(policy, self.prompts, job.answering, ledger, job.connection, self.progress)
                answers.check(policy.name, job.max_failure_rate)
                found[policy.name] = answers
        asked = sum(answers.asked for answers in found.values())
        self._took("responses", "responses.sqlite", "policy", asked, time.perf_counter() - begun)
        write_responses(job.out / "responses", found, self.prompts)
        return found

    def _judged(
        self,
        folder: str,
        part: str,
        specs: Sequence[JudgeSpec],
        entries: Sequence[ComparisonRow],
        answers: Mapping[str, Answers],
        audits: Sequence[JudgeAudit] = (),
    ) -> tuple[PreferenceJudge, Outcomes, JudgeAudit | None]:
        """Judges every comparison, into a folder of its own. The audit is that of this very judge."""
        path, job = self.job.out / folder, self.job
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        self.progress.stage("opening the judge" if part == "judging" else "opening the training judge")
        models = {name: open_model(name, job.connection) for name in dict.fromkeys(spec.model for spec in specs)}
        check_prices(job.budget, list(models.values()))
        with self._ledger(f"{folder}/ledger.sqlite") as ledger:
            judge = build_judge(specs, models, ledger)
            audit = audit_of(judge, specs, audits)
            identities = [[name, given.identity] for name, given in answers.items()]
            pin(
                path / "judged.json",
                {"judges": judge.rater.model_dump(mode="json"), "policies": identities},
                "judgements",
            )
            outcomes = Outcomes(path)
            self.progress.stage(part)
            begun = time.perf_counter()
            label(
                iter(entries),
                judge,
                outcomes,
                at_once=4 * max(member.model.model.concurrency for member in judge.members),
                max_failure_rate=job.max_failure_rate,
                on_chunk=lambda done, tally: self.progress.advance(done, len(entries), f"{tally.failed} failed"),
            )
        asked = sum(member.model.asked for member in judge.members)
        self._took(part, f"{folder}/ledger.sqlite", JUDGE, asked, time.perf_counter() - begun)
        return judge, outcomes, audit

    def _rubrics(self, judge: PreferenceJudge, answers: Sequence[Answer]) -> tuple[list[TextMeasure], dict[str, int]]:
        """Every response by every rubric, and how many have no score, by constitution."""
        sets = [(name, answers) for name in self.job.rubrics]
        if self.job.grade and (graded := with_references(answers)):
            sets.append((CORRECT, graded))
        if not sets:
            return [], {}
        self.progress.stage(f"scoring by {', '.join(name for name, _ in sets)}")
        begun, model = time.perf_counter(), judge.members[0].model.model
        with self._ledger("rubrics.sqlite") as ledger:
            measures, failures, asked = rubric_measures(sets, model, ledger, self.job.max_failure_rate, self.progress)
        self._took("rubrics", "rubrics.sqlite", JUDGE, asked, time.perf_counter() - begun)
        return measures, failures

    def _ledger(self, name: str) -> Ledger:
        """A part's ledger, with what the other parts leave of the budget."""
        path, budget = self.job.out / name, self.job.budget
        if budget is not None:
            others = (self.job.out / each for each in LEDGERS if each != name)
            budget -= sum(c.cost_usd for each in others if each.exists() for c in calls_by_role([each]).values())
            budget = max(0.0, budget)
        return Ledger(path, budget)

    def _took(self, part: str, ledger: str, role: str, asked: int, seconds: float) -> None:
        for note in notes_of(self.job.out / ledger):
            self.progress.note(f"{part}: {note}")
        self.parts.append(cost_part(part, self.job.out / ledger, role, asked, seconds))

    def _facts(self, unscored: dict[str, int]) -> dict[str, Any]:
        return {
            "prompts": ", ".join(self.job.prompts) or f"those of {_owner(self.job.policies).source}",
            "answering": self.job.answering.model_dump(mode="json"),
            **({"responses without a score": unscored} if unscored else {}),
            "versions": environment(),
        }


def held_out_prompts(run: RunDirectory) -> list[Prompt]:
    """The prompts that a run neither trained on nor chose its checkpoint by; where its policy's window is known, those
    that fit it. Of a run that an earlier version began, all that it did not train on: `chosen_on` counts them.
    """
    inputs, kept = read_inputs(run.recipe), run.stage_result("prompts")
    fits = None if kept is None else set(kept["usable"])
    usable = [prompt for prompt in inputs.prompts if fits is None or prompt.id in fits]
    if not run.has_test_prompts:
        return split_held_out(usable, run.recipe.evaluation.heldout_share)[1]
    return check_split(usable, run.recipe).test
