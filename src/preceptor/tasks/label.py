"""Labelling a dataset: comparisons, or prompts and a policy, to a preference dataset that TRL trains on."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.backends.base import LanguageModel
from preceptor.backends.connection import Connection
from preceptor.backends.names import check_name
from preceptor.backends.resolve import open_model
from preceptor.core.environment import environment
from preceptor.core.errors import UsageError
from preceptor.core.progress import Progress
from preceptor.core.types import Comparison, Usage
from preceptor.display.progress import shown
from preceptor.judging.constitution import load_constitution
from preceptor.judging.ensemble import MemberJudge, PreferenceJudge
from preceptor.judging.label import label
from preceptor.judging.outcome_counts import count_outcomes
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.specs import JudgeSpec, build_judge, check_judges, check_prices
from preceptor.judging.steps import TrajectoryJudge
from preceptor.store.comparisons import ComparisonRow, Design, Unanswered, pairs_of, read_comparisons
from preceptor.store.files import content_of, write_json
from preceptor.store.for_people import FILE as FOR_PEOPLE
from preceptor.store.for_people import check_unlabelled, write_for_people
from preceptor.store.ledger import Ledger
from preceptor.store.outcomes import Outcomes
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.pinned import pin
from preceptor.store.preferences import write_card, write_parquet
from preceptor.store.rows import Malformed
from preceptor.tasks.candidates import Sampling, candidate_rater, expected_comparisons, sampled_comparisons

ESTIMATED_ON = 200
"""Comparisons whose tokens a dry run counts; it extrapolates from them."""


ASSUMED = (
    "no server was asked: each is taken to answer conversations with log-probabilities; one without them is asked "
    "several times for each call"
)
"""What a dry run takes for granted."""


@dataclass(frozen=True)
class LabelJob:
    """What is to be labelled, by whom, and under which conditions."""

    data: Path
    out: Path
    judges: tuple[JudgeSpec, ...]
    sampling: Sampling | None = None
    """Sample candidates for the prompts in `data`; None where it holds comparisons."""
    design: Design = "all"
    """Which pairs of k responses are compared, where a row has several."""
    limit: int | None = None
    """Rows to label, from the first; a later call may raise it."""
    strict: bool = False
    """Refuse malformed rows instead of skipping them."""
    max_failure_rate: float = 0.1
    budget: float | None = None
    """Most dollars that all calls of this folder may cost."""
    steps: bool = False
    """Score trajectories as well, as a whole and step by step, with the first judge's model and constitution."""
    retry_failed: bool = False
    """Ask once more about comparisons whose calls did not get through."""
    to_people: int = 0
    """Write so many of the comparisons that the judges dispute to `for_people.jsonl`; 0 leaves that file alone."""
    connection: Connection | None = None


Rows = Iterator[ComparisonRow | Malformed | Unanswered]


@dataclass(frozen=True)
class Census:
    """What the input holds."""

    rows: int
    malformed: int
    examples: list[Malformed]
    """The first malformed rows."""


def run_label(job: LabelJob, progress: Progress | None = None) -> dict[str, Any]:
    """Labels a dataset, from wherever an earlier process left it.

    Returns: the summary, as in `summary.json`.
    Raises: UsageError on faulty input or a folder that holds other work; PreceptorError when too many judgements fail,
        the budget is spent, a server cannot be used or the disk does not take the output.
    """
    with shown(progress) as display:
        return _label(job, display)


def _label(job: LabelJob, progress: Progress) -> dict[str, Any]:
    begun = time.perf_counter()
    check_job(job)
    check_own(job.out, "labels")
    if job.to_people:
        check_unlabelled(job.out / FOR_PEOPLE)
    progress.stage("reading the data")
    census = take_census(job)
    if census.malformed:
        shown = "; ".join(f"{row.place}: {row.reason}" for row in census.examples)
        progress.note(f"skipping {census.malformed} malformed rows: {shown}{' ...' if census.malformed > 3 else ''}")
    outcomes = Outcomes(job.out)
    with working_in(job.out, "labels"), Ledger(job.out / "ledger.sqlite", job.budget) as ledger:
        progress.stage("opening the models")
        crew = open_crew(job, ledger)
        _pin(job, crew)
        if job.retry_failed:
            outcomes.clear()  # everything that was answered comes from the ledger
        progress.stage("labelling")
        label(
            islice(crew.rows(job), job.limit),
            crew.judge,
            outcomes,
            at_once=4 * max(member.model.model.concurrency for member in crew.judge.members),
            max_failure_rate=job.max_failure_rate,
            trajectory_judge=crew.trajectory_judge,
            on_chunk=lambda done, tally: progress.advance(done, census.rows, f"{tally.failed} failed"),
        )
        progress.stage("writing the dataset")
        for_people = write_for_people(outcomes, job.out / FOR_PEOPLE, job.to_people) if job.to_people else None
        summary = _summary(job, crew, ledger, outcomes) | {
            "for_people": for_people,
            "seconds": time.perf_counter() - begun,
        }
    write_parquet(outcomes.preferences, job.out / "preferences.parquet")
    write_json(job.out / "summary.json", summary)
    write_card(job.out, summary)
    return summary


@dataclass(frozen=True)
class Crew:
    """Everything that asks a model."""

    judge: PreferenceJudge
    policy: RecordedModel | None
    trajectory_judge: TrajectoryJudge | None

    def rows(self, job: LabelJob) -> Rows:
        """The comparisons of a job; those of sampled candidates are sampled as they are taken."""
        if self.policy is None or job.sampling is None:
            return read_comparisons(job.data, design=job.design)
        return sampled_comparisons(job.data, self.policy, job.sampling)

    @property
    def recorded(self) -> list[RecordedModel]:
        """The models, each as one of the crew asks it."""
        asked = [member.model for member in self.judge.members]
        asked += [self.policy] if self.policy else []
        return asked + (self.trajectory_judge.models if self.trajectory_judge else [])


def open_crew(job: LabelJob, ledger: Ledger, *, unasked: bool = False) -> Crew:
    """Opens every model of a job, each once; `unasked`: no server is contacted.

    Raises: UsageError, PreceptorError when a model cannot be opened, or has no price and there is a budget.
    """
    names = [spec.model for spec in job.judges] + ([job.sampling.policy] if job.sampling else [])
    models = {name: open_model(name, job.connection, unasked=unasked) for name in dict.fromkeys(names)}
    check_prices(job.budget, list(models.values()))
    judge = build_judge(job.judges, models, ledger)
    policy = None
    if job.sampling is not None:
        model = models[job.sampling.policy]
        policy = RecordedModel(model, ledger, candidate_rater(model.identity))
    first, trajectory_judge = job.judges[0], None
    if job.steps:
        trajectory_judge = TrajectoryJudge(models[first.model], load_constitution(first.constitution), ledger)
    return Crew(judge, policy, trajectory_judge)


def dry_run(job: LabelJob, progress: Progress | None = None) -> dict[str, Any]:
    """Counts what labelling would ask of judges and policy, for all rows from the first, without asking either. Servers
    are not probed: `assumed` says what they are assumed to do.

    Tokens are those of the first comparisons, extrapolated; rationales and candidates count at their full length.
    Scores of trajectories are not counted, nor that a server without log-probabilities is asked for several votes.
    """
    with shown(progress) as display:
        return _dry_run(job, display)


def _dry_run(job: LabelJob, progress: Progress) -> dict[str, Any]:
    check_job(job)
    progress.stage("reading the data")
    census = take_census(job)
    progress.stage("opening the models")
    with Ledger(Path(":memory:")) as ledger:
        crew = open_crew(job, ledger, unasked=True)
        rows = islice(_unsampled(job), job.limit)
        usable = (row.comparison for row in rows if isinstance(row, ComparisonRow))
        comparisons = list(islice(usable, ESTIMATED_ON))
        bills = [_bill(member, comparisons) for member in crew.judge.members]
        if job.sampling is not None and crew.policy is not None:
            bills.append(_sampling_bill(crew.policy.model, job.sampling, comparisons))
    scale = (census.rows - census.malformed) / max(1, len(comparisons))
    costs = [bill.cost for bill in bills if bill.cost is not None]
    return {
        "rows": census.rows,
        "malformed": census.malformed,
        "calls": round(scale * sum(bill.calls for bill in bills)),
        "prompt_tokens": round(scale * sum(bill.usage.prompt_tokens for bill in bills)),
        "completion_tokens": round(scale * sum(bill.usage.completion_tokens for bill in bills)),
        "cost_usd": scale * sum(costs) if len(costs) == len(bills) else None,
        "estimated_on": len(comparisons),
        "assumed": ASSUMED if any(spec.model.startswith("openai:") for spec in job.judges) else None,
    }


@dataclass(frozen=True)
class Bill:
    """What asking one model about some comparisons takes."""

    calls: float
    usage: Usage
    cost: float | None


def _bill(judge: MemberJudge, comparisons: Sequence[Comparison]) -> Bill:
    demand, price = judge.demand(comparisons), judge.model.model.price
    return Bill(demand.calls, demand.usage, price and price.cost(demand.usage))


def _sampling_bill(policy: LanguageModel, sampling: Sampling, comparisons: Sequence[Comparison]) -> Bill:
    """Of a prompt's candidates, an equal share for each of its comparisons."""
    share = sampling.samples / len(pairs_of(sampling.samples, sampling.design))
    prompt_tokens = sum(policy.count_tokens(comparison.prompt.conversation) for comparison in comparisons)
    usage = Usage(
        prompt_tokens=round(share * prompt_tokens),
        completion_tokens=round(share * sampling.max_new_tokens * len(comparisons)),
    )
    return Bill(share * len(comparisons), usage, policy.price and policy.price.cost(usage))


def check_job(job: LabelJob) -> None:
    """Checks names and settings without opening anything.

    Raises: UsageError.
    """
    check_judges(job.judges)
    if job.sampling is not None:
        check_name(job.sampling.policy)


def take_census(job: LabelJob) -> Census:
    """Reads the whole input once, so that its length is known and a malformed row is reported before any call.

    Raises: UsageError when there is nothing to label, and on a malformed row where the job is strict.
    """
    rows = malformed = 0
    examples: list[Malformed] = []
    for row in islice(_unsampled(job), job.limit):
        rows += 1
        if isinstance(row, Malformed):
            malformed += 1
            if len(examples) < 3:
                examples.append(row)
    if examples and (job.strict or malformed == rows):
        raise UsageError(f"{examples[0].place}: {examples[0].reason} ({malformed} malformed rows in all)")
    if rows == 0:
        raise UsageError(f"{job.data}: holds no rows")
    return Census(rows, malformed, examples)


def _unsampled(job: LabelJob) -> Rows:
    """The rows as far as they are known without asking the policy."""
    if job.sampling is None:
        return read_comparisons(job.data, design=job.design)
    return expected_comparisons(job.data, job.sampling)


def _pin(job: LabelJob, crew: Crew) -> None:
    """Writes down what the folder is for, or compares it with what it was for.

    Raises: UsageError where they differ.
    """
    pinned: dict[str, Any] = {
        "data": content_of(job.data),
        "judges": crew.judge.rater.model_dump(mode="json"),
        "policy": crew.policy and crew.policy.model.identity,
        "sampling": job.sampling and job.sampling.model_dump(mode="json"),
        "design": job.design,
        "steps": job.steps,
    }
    pin(job.out / "label.json", pinned, "labels")


def _summary(job: LabelJob, crew: Crew, ledger: Ledger, outcomes: Outcomes) -> dict[str, Any]:
    """Counts come from the files, so that they are the same however many processes wrote them."""
    constitutions = {c.hash: c for c in (load_constitution(spec.constitution) for spec in job.judges)}
    counted = count_outcomes(outcomes)
    return {
        "data": str(job.data),
        "judges": [member.rater.model for member in crew.judge.members],
        "rater": crew.judge.rater.model_dump(mode="json"),
        "constitutions": [
            {"name": c.name, "version": c.version, "hash": c.hash, "summary": c.summary} for c in constitutions.values()
        ],
        "judge_warnings": [warning.model_dump(mode="json") for warning in counted.warnings],
        "counts": counted.counts,
        "conduct": [{"judge": judge, **found.model_dump(mode="json")} for judge, found in counted.conducts],
        "ledger": ledger.totals(),
        "notes": ledger.notes(),
        "ledger_hits": sum(model.hits for model in crew.recorded),
        "calls_in_this_process": sum(model.asked for model in crew.recorded),
        "environment": environment(),
    }
