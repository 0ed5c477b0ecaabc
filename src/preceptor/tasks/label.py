"""Labelling: turns comparisons, or prompts and a policy, into a preference dataset that TRL trains on."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.core.environment import environment
from preceptor.core.errors import UsageError
from preceptor.core.progress import Progress
from preceptor.core.types import JsonObject
from preceptor.core.validation import check_choice, check_count, check_share, settings_of
from preceptor.display.log import logged, source
from preceptor.display.progress import shown
from preceptor.judging.groups.design import PairDesign
from preceptor.judging.judges import Judges, judge_specs, shared_budget, shared_connection
from preceptor.judging.kept import keep_constitutions
from preceptor.judging.label import write_judged
from preceptor.judging.outcome_counts import count_outcomes
from preceptor.judging.rubrics.judge import RUBRIC
from preceptor.judging.specs import shown_constitutions
from preceptor.results.label import PARQUET, ConstitutionFacts, LabelPlan, LabelResult
from preceptor.store.calls import in_words
from preceptor.store.comparisons import ComparisonRow
from preceptor.store.files import content_of
from preceptor.store.for_people import FILE as FOR_PEOPLE
from preceptor.store.for_people import PeopleBy, check_unlabelled, write_for_people
from preceptor.store.hub.names import with_commit
from preceptor.store.in_memory import remember
from preceptor.store.ledger import Ledger
from preceptor.store.outcomes import Outcomes
from preceptor.store.output import output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.pinned import pin
from preceptor.store.preferences import DatasetCard, write_card, write_parquet
from preceptor.store.shards import LEDGER, absorb_shards
from preceptor.store.tabular import Rows, rows_as_file
from preceptor.tasks.bill import plan
from preceptor.tasks.canaries import Canaries
from preceptor.tasks.candidates import Sampling
from preceptor.tasks.label_job import (
    JobFacts,
    LabelJob,
    Labeller,
    OpenModels,
    in_this_process,
    open_models,
    take_census,
)

PINNED = "label.json"
"""The file that records the settings of a folder of labels."""


def label(
    rows: Rows,
    *,
    judges: Judges,
    out: str | Path | None = None,
    sampling: Sampling | Mapping[str, Any] | None = None,
    design: PairDesign = "all",
    limit: int | None = None,
    strict: bool = False,
    max_failure_rate: float = 0.1,
    budget: float | None = None,
    steps: bool = False,
    retry_failed: bool = False,
    to_people: int = 0,
    to_people_by: PeopleBy = "dispute",
    canary: int = 0,
    connection: Connection | Mapping[str, Any] | None = None,
    ray: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> LabelResult:
    """Labels comparisons, or responses that a policy samples for prompts.

    To resume, call it again with the same rows, judges and folder.

    Args:
        rows: comparisons, or prompts with `sampling`; see `preceptor.store.comparisons` for the columns.
        judges: one judge, or several as an ensemble.
        out: folder of the dataset; a temporary one by default, which is deleted with the result.
        sampling: sample candidates for the prompts in `rows`; a `Sampling`, or a dict of its settings.
        design: which pairs are compared if a row has several responses. `swiss` and `knockout` choose later pairs by
            earlier answers; every row is a comparison that the judge made.
        limit: how many rows to label, from the first; a later call may raise it.
        strict: refuse unusable rows instead of skipping them.
        max_failure_rate: stop when a larger share of comparisons fails, from 0 to 1.
        budget: the most dollars that all calls of this folder may cost; by default the judges' budget.
        steps: also score trajectories, as a whole and step by step, with the first judge's model and constitution.
        retry_failed: repeat the calls that got no answer.
        to_people: write this many of the comparisons that people are most needed for to `for_people.jsonl`; 0 leaves
            that file unchanged.
        to_people_by: "dispute" for those on which the judges disagree most; "gain" for those whose label would correct
            most, which trust the judge's probabilities: calibrate it first.
        canary: how many recorded questions of this folder to ask again first, and to stop if a judge's model no longer
            answers as it did; 0 for none.
        connection: how model servers are reached; by default the judges' connection. With `ray`, every worker has this
            concurrency, and they share the limits of calls and tokens a minute.
        ray: label with workers on a Ray cluster: its address ("HOST:PORT", "auto" for the one on this machine), or
            "local" to start one here. Workers see the same files; `out` is on a disk that all machines share.
        workers: how many; by default one for each GPU of the cluster if a judge needs one, else one for each core.
        progress: by default a bar on a terminal, and lines elsewhere.

    Raises: UsageError on faulty input or a folder that holds other work; PreceptorError when too many judgements fail,
        the budget is spent, a server cannot be used or the output cannot be written.
    """
    output, specs, begun, in_memory = output_folder(out), judge_specs(judges), time.perf_counter(), out is None
    out, connection = output.path, shared_connection(judges, connection)
    sampling, budget = settings_of("sampling", Sampling, sampling), shared_budget(judges, budget)
    _check(limit, design)
    check_count("workers", workers)
    check_share("max_failure_rate", max_failure_rate)
    check_count("to_people", to_people, 0)
    check_choice("to_people_by", to_people_by, PeopleBy)
    if to_people_by != "dispute" and not to_people:
        raise UsageError(f"to_people_by = {to_people_by}: chooses the rows that to_people writes; give their number")
    _check_canary(canary, ray)
    check_own(out, "labels")
    if to_people:
        check_unlabelled(out / FOR_PEOPLE)
    with shown(progress) as display:
        display.stage("reading the data")
        job = LabelJob(_data(rows, out, sampling), specs, sampling, design, limit, strict, steps, budget, connection)
        census = take_census(job)
        for note in census.notes:
            display.note(note)
        outcomes = Outcomes(out)
        path = out / LEDGER
        settings = {**vars(job), "data": source(rows)}
        with working_in(out, "labels"):
            absorb_shards(out)
            display.stage("opening the models")
            with _labeller(job, out, ray, workers) as labeller:
                _pin(out / PINNED, job, labeller.facts)
                with logged(out, "label", settings, display, partial(in_words, path, budget)) as log:
                    keep_constitutions(out, shown_constitutions(job.judges))
                    if isinstance(labeller, OpenModels):
                        Canaries(path, canary, budget).check_unchanged(labeller.judge, job.judges, log)
                    if retry_failed:
                        outcomes.clear()  # answered calls come from the ledger
                    log.stage("labelling")
                    done = outcomes.resume(labeller.facts.at_once)
                    with closing(labeller.judged(done, census.rows)) as judged:
                        write_judged(
                            judged,
                            outcomes,
                            done=done,
                            total=census.rows,
                            max_failure_rate=max_failure_rate,
                            progress=log,
                        )
                    for words in labeller.paces:
                        log.event(words)
                    log.stage("writing the dataset")
                    for_people = (
                        write_for_people(outcomes, out / FOR_PEOPLE, to_people, to_people_by) if to_people else None
                    )
            with Ledger(path) as ledger:
                result = _result(job, labeller, ledger, outcomes, for_people, time.perf_counter() - begun)
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
    design: PairDesign = "all",
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
        job = LabelJob(data, specs, sampling, design, limit, strict, steps, budget, connection)
        census = take_census(job)
        display.stage("opening the models")
        models = OpenModels.of(job, open_models(job, unasked=True), ledger)
        usable = (row.comparison for row in job.expected_rows() if isinstance(row, ComparisonRow))
        policy = None if models.policy is None else models.policy.model
        return plan(usable, census.rows, census.malformed, models.judge, policy, sampling)


def _labeller(job: LabelJob, out: Path, ray: str | None, workers: int | None) -> AbstractContextManager[Labeller]:
    """Who judges the rows. Raises: UsageError for workers without a cluster."""
    if ray is not None:
        from preceptor.tasks.label_ray import on_ray

        return on_ray(job, out, ray, workers)
    if workers is not None:
        raise UsageError(f'{workers} workers need a Ray cluster; name its address, or "local" for one on this machine')
    return in_this_process(job, out / LEDGER)


def _check(limit: int | None, design: str) -> None:
    """Raises: UsageError for a value out of bounds."""
    check_count("limit", limit)
    check_choice("design", design, PairDesign)


def _check_canary(count: int, ray: str | None) -> None:
    """Raises: UsageError for a value out of bounds, and with workers on a cluster, which open the models themselves."""
    check_count("canary", count, 0)
    if count and ray is not None:
        raise UsageError("canary questions are asked by this process, and workers on a Ray cluster hold the models")


def _data(rows: Rows, out: Path, sampling: Sampling | None) -> Path:
    """The file of the rows, or a dataset on the hub with its commit; rows in memory are written to the folder."""
    if isinstance(rows, str | Path):
        return Path(with_commit(str(rows)))
    with working_in(out, "labels"):
        return _as_file(rows, out, sampling, begun=(out / PINNED).exists())


def _as_file(rows: Rows, folder: Path, sampling: Sampling | None, *, begun: bool = False) -> Path:
    return rows_as_file(rows, folder, text_column=None if sampling is None else "prompt", begun=begun)


def _pin(path: Path, job: LabelJob, facts: JobFacts) -> None:
    """Records the settings of the folder, or compares them with the recorded ones.

    Raises: UsageError if they differ.
    """
    pinned: JsonObject = {
        "data": content_of(job.data),
        "judges": facts.rater.model_dump(mode="json"),
        "policy": facts.policy,
        "sampling": job.sampling and job.sampling.model_dump(mode="json"),
        "design": job.design,
        "steps": job.steps,
    }
    pin(path, pinned, "labels")


def _result(
    job: LabelJob, labeller: Labeller, ledger: Ledger, outcomes: Outcomes, for_people: int | None, seconds: float
) -> LabelResult:
    """The result. Counts come from the files, so they do not depend on how many processes wrote them."""
    constitutions = {c.hash: c for c in shown_constitutions(job.judges)}
    counted = count_outcomes(outcomes)
    return LabelResult(
        data=str(job.data),
        judges=labeller.facts.judges,
        rater=labeller.facts.rater,
        constitutions=tuple(
            ConstitutionFacts(name=c.name, version=c.version, hash=c.hash, summary=c.summary)
            for c in constitutions.values()
        ),
        judge_warnings=counted.warnings,
        counts=counted.counts,
        conduct=counted.conducts,
        ledger=ledger.totals(),
        notes=tuple(ledger.notes()),
        ledger_hits=labeller.hits,
        calls_in_this_process=labeller.asked,
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
        rubrics=RUBRIC in result.rater.constitution.split(" + "),
        warnings=tuple(warning.sentence for warning in result.judge_warnings),
        preferences=counts.preferences,
        failures=counts.failures,
        malformed=counts.malformed,
        likeliest_ties=counts.likeliest_ties,
        undecided=counts.undecided,
        for_people=result.for_people,
    )
