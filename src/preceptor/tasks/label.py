"""Labelling: turns comparisons, or prompts and a policy, into a preference dataset that TRL trains on."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.backends.base import pace_in_words
from preceptor.backends.connection import Connection
from preceptor.backends.names import check_name
from preceptor.backends.resolve import check_batch, open_model
from preceptor.core.environment import environment
from preceptor.core.errors import UsageError
from preceptor.core.progress import Progress
from preceptor.core.types import JsonObject
from preceptor.core.validation import check_choice, check_count, check_share, settings_of
from preceptor.display.log import logged, source
from preceptor.display.progress import shown
from preceptor.judging.constitution import load_constitution
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.judges import Judges, judge_specs, shared_budget, shared_connection
from preceptor.judging.kept import keep_constitutions
from preceptor.judging.label import InputRow, label_rows
from preceptor.judging.outcome_counts import count_outcomes
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.specs import JudgeSpec, build_judge, check_prices
from preceptor.judging.steps import TrajectoryJudge
from preceptor.results.label import PARQUET, ConstitutionFacts, LabelPlan, LabelResult
from preceptor.store.batches import BatchFolder
from preceptor.store.calls import in_words
from preceptor.store.comparisons import ComparisonRow, Design, read_comparisons
from preceptor.store.files import content_of
from preceptor.store.for_people import FILE as FOR_PEOPLE
from preceptor.store.for_people import check_unlabelled, write_for_people
from preceptor.store.in_memory import name_of, remember
from preceptor.store.ledger import Ledger
from preceptor.store.outcomes import Outcomes
from preceptor.store.output import output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.pinned import pin
from preceptor.store.preferences import DatasetCard, write_card, write_parquet
from preceptor.store.rows import Malformed
from preceptor.store.tabular import Rows, rows_as_file
from preceptor.tasks.bill import plan
from preceptor.tasks.candidates import Sampling, candidate_rater, expected_comparisons, sampled_comparisons

PINNED = "label.json"
"""The file that records the settings of a folder of labels."""
_SHOWN = 3
"""How many unusable rows a note names."""


def label(
    rows: Rows,
    *,
    judges: Judges,
    out: str | Path | None = None,
    sampling: Sampling | Mapping[str, Any] | None = None,
    design: Design = "all",
    limit: int | None = None,
    strict: bool = False,
    max_failure_rate: float = 0.1,
    budget: float | None = None,
    steps: bool = False,
    retry_failed: bool = False,
    to_people: int = 0,
    connection: Connection | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> LabelResult:
    """Labels comparisons, or responses that a policy samples for prompts.

    To resume, call it again with the same rows, judges and folder.

    Args:
        rows: comparisons, or prompts with `sampling`; see `preceptor.store.comparisons` for the columns.
        judges: one judge, or several as an ensemble.
        out: folder of the dataset; a temporary one by default, which is deleted with the result.
        sampling: sample candidates for the prompts in `rows`; a `Sampling`, or a dict of its settings.
        design: which pairs are compared if a row has several responses.
        limit: how many rows to label, from the first; a later call may raise it.
        strict: refuse unusable rows instead of skipping them.
        max_failure_rate: stop when a larger share of comparisons fails, from 0 to 1.
        budget: the most dollars that all calls of this folder may cost; by default the judges' budget.
        steps: also score trajectories, as a whole and step by step, with the first judge's model and constitution.
        retry_failed: repeat the calls that got no answer.
        to_people: write this many of the comparisons on which the judges disagree most to `for_people.jsonl`; 0 leaves
            that file unchanged.
        connection: how model servers are reached; by default the judges' connection.
        progress: by default a bar on a terminal, and lines elsewhere.

    Raises: UsageError on faulty input or a folder that holds other work; PreceptorError when too many judgements fail,
        the budget is spent, a server cannot be used or the output cannot be written.
    """
    output, specs, begun, in_memory = output_folder(out), judge_specs(judges), time.perf_counter(), out is None
    out, connection = output.path, shared_connection(judges, connection)
    sampling, budget = settings_of("sampling", Sampling, sampling), shared_budget(judges, budget)
    _check(limit, design)
    check_share("max_failure_rate", max_failure_rate)
    check_count("to_people", to_people, 0)
    check_own(out, "labels")
    if to_people:
        check_unlabelled(out / FOR_PEOPLE)
    with shown(progress) as display:
        display.stage("reading the data")
        job = _LabelJob(_data(rows, out, sampling), specs, sampling, design, limit, strict, steps, budget, connection)
        census = take_census(job)
        if census.malformed:
            display.note(f"skipping {census.malformed} unusable rows: {census.described}")
        outcomes = Outcomes(out)
        path = out / "ledger.sqlite"
        settings = {**vars(job), "data": source(rows)}
        with working_in(out, "labels"), Ledger(path, budget) as ledger:
            display.stage("opening the models")
            models = open_models(job, ledger)
            _pin(out / PINNED, job, models)
            with logged(out, "label", settings, display, partial(in_words, path, budget)) as log:
                keep_constitutions(out, [load_constitution(spec.constitution) for spec in job.judges])
                if retry_failed:
                    outcomes.clear()  # answered calls come from the ledger
                log.stage("labelling")
                label_rows(
                    islice(models.rows(job), limit),
                    models.judge,
                    outcomes,
                    total=census.rows,
                    at_once=4 * max(member.model.model.concurrency for member in models.judge.members),
                    max_failure_rate=max_failure_rate,
                    progress=log,
                    trajectory_judge=models.trajectory_judge,
                )
                for words in dict.fromkeys(filter(None, (pace_in_words(each.model) for each in models.recorded))):
                    log.event(words)
                log.stage("writing the dataset")
                for_people = write_for_people(outcomes, out / FOR_PEOPLE, to_people) if to_people else None
                result = _result(job, models, ledger, outcomes, for_people, time.perf_counter() - begun)
        write_parquet(outcomes.preferences, out / PARQUET)
        saved = result.save(output)
        write_card(out, _card(result))
    if in_memory:
        remember(outcomes.preferences, "the labels given")
    return saved


def plan_label(
    rows: Rows,
    *,
    judges: Judges,
    sampling: Sampling | Mapping[str, Any] | None = None,
    design: Design = "all",
    limit: int | None = None,
    strict: bool = False,
    budget: float | None = None,
    steps: bool = False,
    connection: Connection | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> LabelPlan:
    """Estimates the calls that `label` would make, from the first row on, without calling judges or policy.

    Servers are not contacted: `assumed` says what is assumed about them. Tokens are extrapolated from the first
    comparisons; rationales and candidates count at their full length. Scores of trajectories are not counted.

    Args: as for `label`.
    Raises: UsageError on faulty input.
    """
    specs, scratch, connection = judge_specs(judges), output_folder(None), shared_connection(judges, connection)
    sampling, budget = settings_of("sampling", Sampling, sampling), shared_budget(judges, budget)
    _check(limit, design)
    with shown(progress) as display, Ledger(Path(":memory:")) as ledger:
        display.stage("reading the data")
        data = _as_file(rows, scratch.path, sampling)
        job = _LabelJob(data, specs, sampling, design, limit, strict, steps, budget, connection)
        census = take_census(job)
        display.stage("opening the models")
        models = open_models(job, ledger, unasked=True)
        usable = (row.comparison for row in job.expected_rows() if isinstance(row, ComparisonRow))
        policy = None if models.policy is None else models.policy.model
        return plan(usable, census.rows, census.malformed, models.judge.members, policy, sampling)


def _check(limit: int | None, design: str) -> None:
    """Raises: UsageError for a value out of bounds."""
    check_count("limit", limit)
    check_choice("design", design, Design)


@dataclass(frozen=True)
class _LabelJob:
    """The data, judges and settings of a labelling; see `label`."""

    data: Path
    judges: tuple[JudgeSpec, ...]
    sampling: Sampling | None
    design: Design
    limit: int | None
    strict: bool
    steps: bool
    budget: float | None
    connection: Connection | None

    def __post_init__(self) -> None:
        if self.sampling is not None:
            check_name(self.sampling.policy)

    def expected_rows(self) -> Iterator[InputRow]:
        """The rows up to the limit, as far as they are known without asking the policy."""
        if self.sampling is None:
            rows = read_comparisons(self.data, design=self.design)
        else:
            rows = expected_comparisons(self.data, self.sampling)
        return islice(rows, self.limit)


def _data(rows: Rows, out: Path, sampling: Sampling | None) -> Path:
    """The file of the rows; rows in memory are written to the folder of the labels."""
    if isinstance(rows, str | Path):
        return Path(rows)
    with working_in(out, "labels"):
        return _as_file(rows, out, sampling, begun=(out / PINNED).exists())


def _as_file(rows: Rows, folder: Path, sampling: Sampling | None, *, begun: bool = False) -> Path:
    return rows_as_file(rows, folder, text_column=None if sampling is None else "prompt", begun=begun)


@dataclass(frozen=True)
class Census:
    """Counts of the input's rows."""

    rows: int
    malformed: int
    examples: list[Malformed]
    """The first unusable rows."""

    @property
    def described(self) -> str:
        """The first unusable rows in words."""
        listed = "; ".join(f"{row.place}: {row.reason}" for row in self.examples)
        return f"{listed} ..." if self.malformed > len(self.examples) else listed


def take_census(job: _LabelJob) -> Census:
    """Reads the whole input once, so that its length is known and unusable rows are reported before any call.

    Raises: UsageError when there is nothing to label, and on an unusable row if the job is strict.
    """
    rows = malformed = 0
    examples: list[Malformed] = []
    for row in job.expected_rows():
        rows += 1
        if isinstance(row, Malformed):
            malformed += 1
            if len(examples) < _SHOWN:
                examples.append(row)
    if examples and (job.strict or malformed == rows):
        raise UsageError(f"{examples[0].place}: {examples[0].reason} ({malformed} unusable rows in all)")
    if rows == 0:
        raise UsageError(f"{name_of(job.data)}: there are no rows")
    return Census(rows, malformed, examples)


@dataclass(frozen=True)
class OpenModels:
    """The judges and the policy of a job."""

    judge: PreferenceJudge
    policy: RecordedModel | None
    trajectory_judge: TrajectoryJudge | None

    def rows(self, job: _LabelJob) -> Iterator[InputRow]:
        """The comparisons of a job; candidates are sampled when their comparisons are read."""
        if self.policy is None or job.sampling is None:
            return read_comparisons(job.data, design=job.design)
        return sampled_comparisons(job.data, self.policy, job.sampling)

    @property
    def recorded(self) -> list[RecordedModel]:
        """The models, whose calls go through the ledger."""
        recorded = [member.model for member in self.judge.members]
        recorded += [self.policy] if self.policy else []
        return recorded + (self.trajectory_judge.models if self.trajectory_judge else [])


def open_models(job: _LabelJob, ledger: Ledger, *, unasked: bool = False) -> OpenModels:
    """Opens every model of a job once.

    Args:
        unasked: contact no server.

    Raises: UsageError, PreceptorError when a model cannot be opened, or has no price and there is a budget.
    """
    names = [spec.model for spec in job.judges] + ([job.sampling.policy] if job.sampling else [])
    check_batch(job.connection, names)
    batches = BatchFolder.beside(ledger)
    models = {name: open_model(name, job.connection, unasked=unasked, batches=batches) for name in dict.fromkeys(names)}
    check_prices(job.budget, list(models.values()))
    judge = build_judge(job.judges, models, ledger)
    policy = trajectory_judge = None
    if job.sampling is not None:
        model = models[job.sampling.policy]
        policy = RecordedModel(model, ledger, candidate_rater(model.identity))
    if job.steps:
        first = job.judges[0]
        trajectory_judge = TrajectoryJudge(models[first.model], load_constitution(first.constitution), ledger)
    return OpenModels(judge, policy, trajectory_judge)


def _pin(path: Path, job: _LabelJob, models: OpenModels) -> None:
    """Records the settings of the folder, or compares them with the recorded ones.

    Raises: UsageError if they differ.
    """
    pinned: JsonObject = {
        "data": content_of(job.data),
        "judges": models.judge.rater.model_dump(mode="json"),
        "policy": models.policy and models.policy.model.identity,
        "sampling": job.sampling and job.sampling.model_dump(mode="json"),
        "design": job.design,
        "steps": job.steps,
    }
    pin(path, pinned, "labels")


def _result(
    job: _LabelJob, models: OpenModels, ledger: Ledger, outcomes: Outcomes, for_people: int | None, seconds: float
) -> LabelResult:
    """The result. Counts come from the files, so they do not depend on how many processes wrote them."""
    constitutions = {c.hash: c for c in (load_constitution(spec.constitution) for spec in job.judges)}
    counted = count_outcomes(outcomes)
    return LabelResult(
        data=str(job.data),
        judges=tuple(member.rater.model for member in models.judge.members),
        rater=models.judge.rater,
        constitutions=tuple(
            ConstitutionFacts(name=c.name, version=c.version, hash=c.hash, summary=c.summary)
            for c in constitutions.values()
        ),
        judge_warnings=counted.warnings,
        counts=counted.counts,
        conduct=counted.conducts,
        ledger=ledger.totals(),
        notes=tuple(ledger.notes()),
        ledger_hits=sum(model.hits for model in models.recorded),
        calls_in_this_process=sum(model.asked for model in models.recorded),
        environment=environment(),
        for_people=for_people,
        seconds=seconds,
    )


def _card(result: LabelResult) -> DatasetCard:
    counts = result.counts
    return DatasetCard(
        version=str(result.environment["preceptor"]),
        judges=result.judges,
        constitutions=result.constitutions,
        warnings=tuple(warning.sentence for warning in result.judge_warnings),
        preferences=counts.preferences,
        failures=counts.failures,
        malformed=counts.malformed,
        likeliest_ties=counts.likeliest_ties,
        undecided=counts.undecided,
        for_people=result.for_people,
    )
