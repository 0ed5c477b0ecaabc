"""An evaluation in progress: responses, judgements, rubrics, statistics. Each part keeps its own ledger, so that its
cost can be reported separately.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from preceptor.backends.connection import Connection
from preceptor.backends.names import same_model
from preceptor.backends.resolve import open_model
from preceptor.core.environment import environment
from preceptor.core.errors import UsageError
from preceptor.core.progress import Progress
from preceptor.core.types import Prompt
from preceptor.evaluation.judges.judge_audit import JudgeAudit
from preceptor.evaluation.policies.compute import EvaluationData, TextMeasure, compute_evaluation
from preceptor.evaluation.policies.cost import HUMAN_USD_PER_LABEL, cost
from preceptor.evaluation.policies.judged_comparisons import JudgedComparison
from preceptor.evaluation.policies.result import CostPart, Evaluation
from preceptor.evaluation.policies.rubric_items import rubric_measures as rubric_item_measures
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.label import label_rows
from preceptor.judging.specs import (
    JudgeSpec,
    build_judge,
    check_prices,
    model_names,
    shown_constitutions,
    single_judges,
)
from preceptor.store.batches import BatchFolder
from preceptor.store.calls import JUDGE, calls_by_role, notes_of
from preceptor.store.comparisons import ComparisonRow
from preceptor.store.files import writing
from preceptor.store.ledger import Ledger
from preceptor.store.outcomes import Outcomes
from preceptor.store.pinned import pin
from preceptor.tasks.candidates import Answering
from preceptor.tasks.evaluate.comparisons import judged_comparisons, pair_responses
from preceptor.tasks.evaluate.facts import audit_of, cost_part, judge_facts, policy_facts
from preceptor.tasks.evaluate.policies import EvaluatedPolicy
from preceptor.tasks.evaluate.prompts import prompt_owner
from preceptor.tasks.evaluate.responses import PolicyResponses, all_responses, collect_responses, write_responses
from preceptor.tasks.evaluate.rubrics import rubric_answers
from preceptor.tasks.evaluate.text_measures import CORRECT, Answer, rubric_measures, rule_measures, with_references
from preceptor.tasks.evaluate.training_judge import (
    chosen_on,
    related_policies,
    trained_on,
    training_models,
    without_tools,
)

LEDGERS = ("responses.sqlite", "judged/ledger.sqlite", "training_judge/ledger.sqlite", "rubrics.sqlite")


@dataclass(frozen=True)
class EvaluationJob:
    """The policies, prompts and judges of an evaluation."""

    policies: tuple[EvaluatedPolicy, ...]
    """The baseline first."""
    prompts: tuple[str, ...]
    """As in `read_evaluation_prompts`."""
    out: Path
    judges: tuple[JudgeSpec, ...]
    """Several judges form an ensemble."""
    answering: Answering = field(default_factory=Answering)
    against_first: bool = False
    """Compare each policy with the baseline only."""
    ask_training_judge: bool = True
    """Also ask the judge that trained a run among the policies, to see how often the two disagree."""
    rubrics: tuple[str, ...] = ()
    """Constitutions by whose rubrics the first judge's model scores every response."""
    suite: str | None = None
    """The suite whose constitutions are among the rubrics, and why these."""
    grade: bool = False
    """Let the first judge's model also grade responses against the prompts' reference answers."""
    limit: int | None = None
    """How many prompts of each file to use, from the first."""
    max_failure_rate: float = 0.1
    human_usd_per_label: float = HUMAN_USD_PER_LABEL
    budget: float | None = None
    connection: Connection | None = None


class EvaluationWork:
    """One evaluation in progress."""

    def __init__(
        self, job: EvaluationJob, prompts: list[Prompt], trainer: JudgeSpec | None, progress: Progress
    ) -> None:
        self.job = job
        self.prompts = prompts
        self.trainer = trainer
        self.progress = progress
        self.parts: list[CostPart] = []
        self.comparisons: list[JudgedComparison] = []
        """Every comparison with its verdicts, once they are known."""

    def evaluate(self, audits: Sequence[JudgeAudit]) -> Evaluation:
        """Runs all parts in order."""
        job = self.job
        responses = self._responses()
        rows = pair_responses(self.prompts, responses, against_first=job.against_first)
        if not rows:
            raise UsageError("no two policies have responses to the same prompt, so there is nothing to compare")
        judge, outcomes, audit = self._judged("judged", "judging", job.judges, rows, responses, audits)
        training = (
            self._judged("training_judge", "training judge", [self.trainer], rows, responses) if self.trainer else None
        )
        answers = list(all_responses(responses, self.prompts))
        rubrics, unscored = self._rubrics(judge, answers)
        judging_models = [member.model.model.identity for member in judge.members]
        trainers = training_models(job.policies)
        names = [policy.name for policy in job.policies]
        facts = judge_facts(judge, job.judges, outcomes)
        constitutions = shown_constitutions(job.judges)
        principles = {constitution.hash: constitution.principles for constitution in constitutions}
        self.comparisons = judged_comparisons(rows, outcomes, training and training[1], principles)
        return compute_evaluation(
            EvaluationData(
                title=f"{names[1]} against {names[0]}" if len(names) == 2 else ", ".join(names),
                policies=tuple(policy_facts(policy, responses[policy.name]) for policy in job.policies),
                judge=facts,
                training_judge=judge_facts(training[0], [self.trainer], training[1])
                if training and self.trainer
                else None,
                judge_trained=any(same_model(one, other) for one in judging_models for other in trainers),
                judge_is_policy=tuple(
                    name
                    for name, of_policy in responses.items()
                    if any(same_model(of_policy.identity, model) for model in judging_models)
                ),
                judge_related=related_policies(single_judges(job.judges), job.policies),
                trained_on=trained_on(job.policies, self.prompts),
                chosen_on=chosen_on(job.policies, self.prompts),
                without_tools=without_tools(job.policies),
                comparisons=self.comparisons,
                measures=[
                    *rule_measures(answers),
                    *rubric_item_measures(rubric_answers(rows, outcomes.preference_rows())),
                    *rubrics,
                ],
                audit=audit,
                cost=cost([part for part in self.parts if part.calls], facts.compared, job.human_usd_per_label),
                facts=self._facts(unscored),
            )
        )

    def _responses(self) -> dict[str, PolicyResponses]:
        """The responses of every policy, by its name."""
        job, responses, begun = self.job, dict[str, PolicyResponses](), time.perf_counter()
        with self._ledger("responses.sqlite") as ledger:
            for policy in job.policies:
                self.progress.stage(f"responses of {policy.name}")
                of_policy = collect_responses(
                    policy, self.prompts, job.answering, ledger, job.connection, self.progress
                )
                of_policy.check(policy.name, job.max_failure_rate)
                responses[policy.name] = of_policy
        calls = sum(of_policy.calls for of_policy in responses.values())
        self._record_cost("responses", "responses.sqlite", "policy", calls, time.perf_counter() - begun)
        write_responses(job.out / "responses", responses, self.prompts)
        return responses

    def _judged(
        self,
        folder: str,
        part: str,
        specs: Sequence[JudgeSpec],
        rows: Sequence[ComparisonRow],
        responses: Mapping[str, PolicyResponses],
        audits: Sequence[JudgeAudit] = (),
    ) -> tuple[PreferenceJudge, Outcomes, JudgeAudit | None]:
        """Judges every comparison in a separate folder, and finds this judge's audit."""
        path, job = self.job.out / folder, self.job
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        self.progress.stage("opening the judge" if part == "judging" else "opening the training judge")
        with self._ledger(f"{folder}/ledger.sqlite") as ledger:
            names, batches = model_names(specs), BatchFolder.beside(ledger)
            models = {name: open_model(name, job.connection, batches=batches) for name in names}
            check_prices(job.budget, list(models.values()))
            judge = build_judge(specs, models, ledger)
            audit = audit_of(judge, specs, audits)
            identities = [[name, of_policy.identity] for name, of_policy in responses.items()]
            pin(
                path / "judged.json",
                {"judges": judge.rater.model_dump(mode="json"), "policies": identities},
                "judgements",
            )
            outcomes = Outcomes(path)
            self.progress.stage(part)
            begun = time.perf_counter()
            label_rows(
                iter(rows),
                judge,
                outcomes,
                total=len(rows),
                at_once=4 * max(member.model.model.concurrency for member in judge.members),
                max_failure_rate=job.max_failure_rate,
                progress=self.progress,
            )
        calls = sum(member.model.asked for member in judge.members)
        self._record_cost(part, f"{folder}/ledger.sqlite", JUDGE, calls, time.perf_counter() - begun)
        return judge, outcomes, audit

    def _rubrics(self, judge: PreferenceJudge, answers: Sequence[Answer]) -> tuple[list[TextMeasure], dict[str, int]]:
        """Scores of every response by every rubric, and how many responses have no score, by constitution."""
        sets = [(name, answers) for name in self.job.rubrics]
        if self.job.grade and (graded := with_references(answers)):
            sets.append((CORRECT, graded))
        if not sets:
            return [], {}
        self.progress.stage(f"scoring by {', '.join(name for name, _ in sets)}")
        begun, model = time.perf_counter(), judge.members[0].model.model
        with self._ledger("rubrics.sqlite") as ledger:
            measures, failures, calls = rubric_measures(sets, model, ledger, self.job.max_failure_rate, self.progress)
        self._record_cost("rubrics", "rubrics.sqlite", JUDGE, calls, time.perf_counter() - begun)
        return measures, failures

    def _ledger(self, name: str) -> Ledger:
        """A part's ledger, with the budget that the other parts have left."""
        path, budget = self.job.out / name, self.job.budget
        if budget is not None:
            others = [self.job.out / other for other in LEDGERS if other != name]
            spent = sum(c.cost_usd for other in others if other.exists() for c in calls_by_role([other]).values())
            budget = max(0.0, budget - spent)
        return Ledger(path, budget)

    def _record_cost(self, part: str, ledger: str, role: str, calls: int, seconds: float) -> None:
        for note in notes_of(self.job.out / ledger):
            self.progress.note(f"{part}: {note}")
        self.parts.append(cost_part(part, self.job.out / ledger, role, calls, seconds))

    def _facts(self, unscored: Mapping[str, int]) -> dict[str, JsonValue]:
        named = ", ".join(self.job.prompts)
        return {
            "prompts": named or f"those of {prompt_owner(self.job.policies).source}",
            "answering": self.job.answering.model_dump(mode="json"),
            **({"suite": self.job.suite} if self.job.suite else {}),
            **({"responses without a score": dict(unscored)} if unscored else {}),
            "versions": dict(environment()),
        }
