"""Evaluating policies against each other: responses, a judge that did not train them, statistics, a report."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.backends.names import same_model
from preceptor.backends.resolve import open_model
from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.types import Prompt
from preceptor.evaluation.assemble import Material, TextMeasure, assemble
from preceptor.evaluation.cost import HUMAN_USD_PER_LABEL, cost
from preceptor.evaluation.judge_audit import JudgeAudit
from preceptor.evaluation.result import CostPart, Evaluation, JudgeFacts
from preceptor.judging.constitution import load_constitution
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.label import label
from preceptor.recipes import judges
from preceptor.recipes.candidates import Answering
from preceptor.recipes.contestants import Answers, Contestant, answers_of, as_run
from preceptor.recipes.contests import Entry, comparisons, contests, responses_of
from preceptor.recipes.environment import environment
from preceptor.recipes.evaluation_facts import (
    audit_of,
    cost_part,
    judge_facts,
    policy_facts,
    read_audits,
    write_responses,
)
from preceptor.recipes.inputs import read_inputs
from preceptor.recipes.judges import JudgeSpec, check_judges, check_prices
from preceptor.recipes.pinned import pin
from preceptor.recipes.prompt_sets import read_prompt_sets
from preceptor.recipes.run_directory import RunDirectory
from preceptor.recipes.text_measures import Answer, rubric_measures, rule_measures
from preceptor.recipes.training_judge import training_judge, training_models
from preceptor.reports.evaluation import render_evaluation, render_markdown
from preceptor.store.calls import JUDGE
from preceptor.store.files import write_json, write_text, writing
from preceptor.store.ledger import Ledger
from preceptor.store.lock import exclusive
from preceptor.store.outcomes import Outcomes
from preceptor.store.prompts import split_held_out
from preceptor.store.responses import read_responses

Stage = Callable[[str], None]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class EvaluateJob:
    """Which policies are evaluated, on what, by whom."""

    policies: tuple[Contestant, ...]
    """The baseline first."""
    prompts: tuple[str, ...]
    """Prompt files, `COHORT=FILE` to put all of a file's prompts into a cohort; the held-out prompts of the first run
    among the policies when empty, or the prompts of the first file of responses."""
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
    audit: Path | None = None
    """An `audit.json` with an audit of the judge."""
    limit: int | None = None
    """Prompts of each file to use, from the first."""
    max_failure_rate: float = 0.1
    human_usd_per_label: float = HUMAN_USD_PER_LABEL
    budget: float | None = None
    connection: Connection | None = None


def run_evaluate(job: EvaluateJob, on_stage: Stage, on_progress: Progress) -> Evaluation:
    """Evaluates policies, from wherever an earlier process left it.

    Writes `evaluation.json`, `report.html`, `report.md`, `responses.jsonl`, and the judge's preferences in `judged/`.

    Raises: UsageError on faulty input or a folder that holds other work; PreceptorError when too many judgements fail,
        a model cannot be asked or the budget is spent.
    """
    check_judges(job.judges)
    for name in job.rubrics:
        load_constitution(name)
    audits = read_audits(job.audit)
    on_stage("reading the prompts")
    prompts = read_evaluation_prompts(job)
    with writing(job.out):
        job.out.mkdir(parents=True, exist_ok=True)
    with exclusive(job.out), Ledger(job.out / "ledger.sqlite", job.budget) as ledger:
        work = _Work(job, prompts, ledger, on_stage, on_progress)
        answers = work.answers()
        evaluation = work.judged(answers, audits)
    write_json(job.out / "evaluation.json", evaluation.model_dump(mode="json"))
    write_text(job.out / "report.md", render_markdown(evaluation))
    write_text(job.out / "report.html", render_evaluation(evaluation))
    return evaluation


def read_evaluation_prompts(job: EvaluateJob) -> list[Prompt]:
    """The prompts of a job.

    Raises: UsageError where none are named and no policy has any.
    """
    return read_prompt_sets(job.prompts, job.limit) if job.prompts else _own_prompts(job.policies)[: job.limit]


def _own_prompts(policies: Sequence[Contestant]) -> list[Prompt]:
    for policy in policies:
        if (run := as_run(policy.source)) is not None:
            return held_out_prompts(run)
    for policy in policies:
        if policy.is_file:
            return [prompt for prompt, _ in read_responses(Path(policy.source))]
    raise UsageError("no prompts: give --prompts FILE, or a run or a file of responses among the policies")


class _Work:
    """One evaluation under way."""

    def __init__(
        self, job: EvaluateJob, prompts: list[Prompt], ledger: Ledger, on_stage: Stage, on_progress: Progress
    ) -> None:
        self.job = job
        self.prompts = prompts
        self.ledger = ledger
        self.on_stage = on_stage
        self.on_progress = on_progress
        self.seconds: dict[str, float] = {}

    def answers(self) -> dict[str, Answers]:
        """Every policy's responses, by its name."""
        found: dict[str, Answers] = {}
        begun = time.perf_counter()
        for policy in self.job.policies:
            self.on_stage(f"responses of {policy.name}")
            found[policy.name] = answers_of(
                policy,
                self.prompts,
                self.job.answering,
                self.ledger,
                self.job.connection,
                lambda done, total: self.on_progress(done, total, ""),
            )
        self.seconds["responses"] = time.perf_counter() - begun
        write_responses(self.job.out / "responses.jsonl", found, self.prompts)
        return found

    def judged(self, answers: Mapping[str, Answers], audits: Sequence[JudgeAudit]) -> Evaluation:
        """The evaluation of these responses."""
        job = self.job
        entries = comparisons(self.prompts, answers, against_first=job.against_first)
        if not entries:
            raise UsageError("no two policies have responses to the same prompt, so there is nothing to compare")
        judge, outcomes = self._judge("judged", "judging", job.judges, self.ledger, entries, answers)
        trained, by_training = self._by_training_judge(entries, answers)
        listed = list(responses_of(answers, self.prompts))
        measures = rule_measures(listed) + self._rubrics(judge, listed)
        models = [member.model.model.identity for member in judge.members]
        constitution = load_constitution(job.judges[0].constitution)
        names = [policy.name for policy in job.policies]
        return assemble(
            Material(
                title=" against ".join((*names[1:2], names[0])) if len(names) == 2 else ", ".join(names),
                policies=tuple(policy_facts(policy, answers[policy.name]) for policy in job.policies),
                judge=judge_facts(judge, job.judges, outcomes),
                training_judge=trained,
                judge_trained=any(same_model(one, other) for one in models for other in training_models(job.policies)),
                judge_is_policy=tuple(n for n, a in answers.items() if any(same_model(a.identity, m) for m in models)),
                contests=contests(entries, outcomes, by_training, constitution.principles),
                measures=measures,
                audit=audit_of(judge, audits),
                cost=cost(self._parts(), sum(1 for _ in outcomes.kept()), job.human_usd_per_label),
                facts=self._facts(),
            )
        )

    def _judge(
        self,
        folder: str,
        part: str,
        specs: Sequence[JudgeSpec],
        ledger: Ledger,
        entries: Sequence[Entry],
        answers: Mapping[str, Answers],
    ) -> tuple[PreferenceJudge, Outcomes]:
        """Judges every comparison, into a folder of its own."""
        path = self.job.out / folder
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        self.on_stage("opening the judge" if part == "judging" else "opening the training judge")
        models = {name: open_model(name, self.job.connection) for name in dict.fromkeys(spec.model for spec in specs)}
        check_prices(self.job.budget, list(models.values()))
        judge = judges.assemble(specs, models, ledger)
        pin(path / "judged.json", self._pinned(judge, answers), "judgements")
        outcomes = Outcomes(path)
        self.on_stage(part)
        begun = time.perf_counter()
        label(
            iter(entries),
            judge,
            outcomes,
            at_once=4 * max(member.model.model.concurrency for member in judge.members),
            max_failure_rate=self.job.max_failure_rate,
            on_chunk=lambda done, tally: self.on_progress(done, len(entries), f"{tally.failed} failed"),
        )
        if not any(member.model.hits for member in judge.members):
            self.seconds[part] = time.perf_counter() - begun
        return judge, outcomes

    def _pinned(self, judge: PreferenceJudge, answers: Mapping[str, Answers]) -> dict[str, Any]:
        return {
            "prompts": content_hash([prompt.model_dump(mode="json") for prompt in self.prompts])[:16],
            "policies": {name: given.identity for name, given in answers.items()},
            "answering": self.job.answering.model_dump(mode="json"),
            "judges": judge.rater.model_dump(mode="json"),
            "against_first": self.job.against_first,
        }

    def _by_training_judge(
        self, entries: Sequence[Entry], answers: Mapping[str, Answers]
    ) -> tuple[JudgeFacts | None, Outcomes | None]:
        spec = training_judge(self.job.policies) if self.job.ask_training_judge else None
        if spec is None:
            return None, None
        with Ledger(self._training_ledger, self.job.budget) as ledger:
            judge, outcomes = self._judge("training_judge", "training judge", [spec], ledger, entries, answers)
        return judge_facts(judge, [spec], outcomes), outcomes

    @property
    def _training_ledger(self) -> Path:
        return self.job.out / "training_judge.sqlite"

    def _rubrics(self, judge: PreferenceJudge, answers: Sequence[Answer]) -> list[TextMeasure]:
        if not self.job.rubrics:
            return []
        self.on_stage("scoring by rubrics")
        begun, recorded = time.perf_counter(), judge.members[0].model
        measures, failures = rubric_measures(
            self.job.rubrics, answers, recorded.model, self.ledger, lambda d, t: self.on_progress(d, t, "")
        )
        self.seconds["rubrics"] = time.perf_counter() - begun
        for name, count in failures.items():
            self.on_stage(f"{count} responses have no score by {name}; they are in no measure")
        return measures

    def _parts(self) -> list[CostPart]:
        """What each part took; seconds where none of its calls was answered from the ledger."""
        own = self.job.out / "ledger.sqlite"
        judging = self.seconds.get("judging")
        parts = [
            cost_part("responses", own, "policy", self.seconds.get("responses")),
            cost_part("judging", own, JUDGE, None if judging is None else judging + self.seconds.get("rubrics", 0.0)),
        ]
        if self._training_ledger.exists():
            parts.append(cost_part("training judge", self._training_ledger, JUDGE, self.seconds.get("training judge")))
        return [part for part in parts if part.calls]

    def _facts(self) -> dict[str, Any]:
        return {
            "prompts": ", ".join(self.job.prompts) or "the held-out prompts of the run, or those of the responses",
            "answering": self.job.answering.model_dump(mode="json"),
            "versions": environment(),
        }


def held_out_prompts(run: RunDirectory) -> list[Prompt]:
    """The prompts that a run never trained on; where its policy's window is known, those that fit it."""
    inputs, kept = read_inputs(run.recipe), run.stage_result("prompts")
    usable = [p for p in inputs.prompts if kept is None or p.id in set(kept["usable"])]
    return split_held_out(usable, run.recipe.evaluation.heldout_share)[1]
