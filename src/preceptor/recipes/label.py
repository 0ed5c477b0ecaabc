"""Labelling a dataset: comparisons, or prompts and a policy, to a preference dataset that TRL trains on."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.backends.names import check_name
from preceptor.backends.resolve import open_model
from preceptor.core.errors import UsageError
from preceptor.judging.ask import request_tokens
from preceptor.judging.constitution import load_constitution
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.label import Tally, label
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.steps import StepJudge
from preceptor.recipes.candidates import Sampling, candidate_rater, expected_comparisons, sampled_comparisons
from preceptor.recipes.environment import environment
from preceptor.recipes.judges import JudgeSpec, check_judges, check_prices, open_judge
from preceptor.store.comparisons import ComparisonRow, Design, read_comparisons
from preceptor.store.files import read_json, write_json, writing
from preceptor.store.ledger import Ledger
from preceptor.store.lock import exclusive
from preceptor.store.outcomes import Outcomes
from preceptor.store.preferences import write_card, write_parquet
from preceptor.store.rows import Malformed, read_raw_rows

ESTIMATED_ON = 200
"""Comparisons whose tokens a dry run counts; it extrapolates from them."""


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
    """Score trajectories step by step as well, with the first judge's model and constitution."""
    retry_failed: bool = False
    """Ask once more about comparisons whose calls did not get through."""
    connection: Connection | None = None


Rows = Iterator[ComparisonRow | Malformed]


@dataclass(frozen=True)
class Census:
    """What the input holds."""

    rows: int
    malformed: int
    examples: list[Malformed]
    """The first malformed rows."""


def run_label(
    job: LabelJob, on_stage: Callable[[str], None], on_progress: Callable[[int, int, Tally], None]
) -> dict[str, Any]:
    """Labels a dataset, from wherever an earlier process left it.

    Args:
        on_progress: told the rows done, all rows, and the tally of this process.

    Returns: the summary, as in `summary.json`.
    Raises: UsageError on faulty input or a folder that holds other work; PreceptorError when too many judgements fail,
        the budget is spent, a server cannot be used or the disk does not take the output.
    """
    begun = time.perf_counter()
    check_job(job)
    on_stage("reading the data")
    census = take_census(job)
    if census.malformed:
        shown = "; ".join(f"{row.place}: {row.reason}" for row in census.examples)
        on_stage(f"skipping {census.malformed} malformed rows: {shown}{' ...' if census.malformed > 3 else ''}")
    with writing(job.out):
        job.out.mkdir(parents=True, exist_ok=True)
    with exclusive(job.out), Ledger(job.out / "ledger.sqlite", job.budget) as ledger:
        _pin(job)
        on_stage("opening the judge")
        judge = open_judge(job.judges, ledger, job.connection)
        check_prices(job.budget, [member.model.model for member in judge.members])
        outcomes = Outcomes(job.out)
        if job.retry_failed:
            outcomes.clear()  # everything that was answered comes from the ledger
        on_stage("labelling")
        tally = label(
            _rows(job, ledger),
            judge,
            outcomes,
            at_once=4 * max(member.model.model.concurrency for member in judge.members),
            max_failure_rate=job.max_failure_rate,
            step_judge=_step_judge(job, judge, ledger) if job.steps else None,
            on_chunk=lambda done, tally: on_progress(done, census.rows, tally),
        )
        on_stage("writing the dataset")
        summary = _summary(job, judge, ledger, outcomes)
    summary["seconds"] = time.perf_counter() - begun
    summary["rows_in_this_process"] = tally.labelled + tally.failed + tally.malformed
    write_parquet(outcomes.preferences, job.out / "preferences.parquet")
    write_json(job.out / "summary.json", summary)
    write_card(job.out, summary)
    return summary


def dry_run(job: LabelJob, on_stage: Callable[[str], None]) -> dict[str, Any]:
    """Counts what labelling would ask, without asking: calls, tokens and dollars, for all rows from the first.

    Tokens are those of the first comparisons, extrapolated; rationales are counted at their full length. Where
    candidates are yet to be sampled their texts are counted at full length too.
    """
    check_job(job)
    on_stage("reading the data")
    census = take_census(job)
    on_stage("opening the judge")
    with Ledger(Path(":memory:")) as ledger:
        judge = open_judge(job.judges, ledger, job.connection)
        members = judge.members
        comparisons = [row.comparison for row in islice(_usable(job), ESTIMATED_ON)]
        calls = prompt_tokens = completion_tokens = 0
        cost: float | None = 0.0
        for member in members:
            asked = [question for c in comparisons for question in member.questions(c)]
            reasoning = member.settings.reasoning
            usages = [request_tokens(member.model.model, question, reasoning) for question in asked]
            calls += len(asked) * (1 if reasoning is None else 2)
            prompt_tokens += sum(usage.prompt_tokens for usage in usages)
            completion_tokens += sum(usage.completion_tokens for usage in usages)
            price = member.model.model.price
            cost = None if price is None or cost is None else cost + sum(price.cost(usage) for usage in usages)
    usable = census.rows - census.malformed
    scale = usable / max(1, len(comparisons))
    return {
        "rows": census.rows,
        "malformed": census.malformed,
        "calls": round(calls * scale),
        "prompt_tokens": round(prompt_tokens * scale),
        "completion_tokens": round(completion_tokens * scale),
        "cost_usd": None if cost is None else cost * scale,
        "estimated_on": len(comparisons),
    }


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


def _usable(job: LabelJob) -> Iterator[ComparisonRow]:
    return (row for row in islice(_unsampled(job), job.limit) if isinstance(row, ComparisonRow))


def _rows(job: LabelJob, ledger: Ledger) -> Rows:
    if job.sampling is None:
        return islice(read_comparisons(job.data, design=job.design), job.limit)
    model = open_model(job.sampling.policy, job.connection)
    policy = RecordedModel(model, ledger, candidate_rater(model.identity))
    return islice(sampled_comparisons(job.data, policy, job.sampling), job.limit)


def _step_judge(job: LabelJob, judge: PreferenceJudge, ledger: Ledger) -> StepJudge:
    return StepJudge(judge.members[0].model.model, load_constitution(job.judges[0].constitution), ledger)


def _pin(job: LabelJob) -> None:
    """Writes down what the folder is for, or compares it with what it was for.

    Raises: UsageError where they differ.
    """
    path = job.out / "label.json"
    pinned = {
        "data": content_of(job.data),
        "judges": [spec.model_dump(mode="json") for spec in job.judges],
        "constitutions": [load_constitution(spec.constitution).hash for spec in job.judges],
        "sampling": None if job.sampling is None else job.sampling.model_dump(mode="json"),
        "design": job.design,
        "steps": job.steps,
    }
    if not path.exists():
        write_json(path, pinned)
        return
    before = read_json(path)
    if changed := [key for key in pinned if before.get(key) != pinned[key]]:
        raise UsageError(
            f"{job.out}: holds labels made with other {' and '.join(changed)}; choose another --out, or give the "
            "command that it was begun with"
        )


def content_of(path: Path) -> str:
    """A hash of a file, or of the files of a folder."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def _summary(job: LabelJob, judge: PreferenceJudge, ledger: Ledger, outcomes: Outcomes) -> dict[str, Any]:
    """All of it from the files, so that it is the same however many processes wrote them."""
    constitutions = {c.hash: c for c in (load_constitution(spec.constitution) for spec in job.judges)}
    return {
        "data": str(job.data),
        "judges": [member.rater.model for member in judge.members],
        "rater": judge.rater.model_dump(mode="json"),
        "constitutions": [
            {"name": c.name, "version": c.version, "hash": c.hash, "summary": c.summary} for c in constitutions.values()
        ],
        "counts": count_outcomes(outcomes),
        "ledger": ledger.totals(),
        "ledger_hits": sum(member.model.hits for member in judge.members),
        "calls_in_this_process": sum(member.model.asked for member in judge.members),
        "environment": environment(),
    }


def count_outcomes(outcomes: Outcomes) -> dict[str, Any]:
    """Counts over the outcome files, read a line at a time."""
    preferences = first = showings = swapped = both = 0
    certainty = disagreement = 0.0
    for _, row in read_raw_rows(outcomes.preferences) if outcomes.preferences.exists() else ():
        assert isinstance(row, dict)
        preferences += 1
        certainty += row["p_chosen"]
        disagreement += row["disagreement"]
        for verdict in row["verdicts"]:
            showings += 1
            first += (verdict["p_a"] > 0.5) == (verdict["order"] == "ab")
        sides = {order: [v["p_a"] for v in row["verdicts"] if v["order"] == order] for order in ("ab", "ba")}
        if all(sides.values()):
            both += 1
            swapped += (mean(sides["ab"]) > 0.5) != (mean(sides["ba"]) > 0.5)
    reasons: Counter[str] = Counter()
    for _, row in read_raw_rows(outcomes.failures) if outcomes.failures.exists() else ():
        assert isinstance(row, dict)
        reasons.update({failure["reason"] for failure in row["failures"]})
    malformed = reasons.pop("malformed", 0)
    return {
        "preferences": preferences,
        "failures": sum(reasons.values()),
        "malformed": malformed,
        "failures_by_reason": dict(reasons),
        "mean_p_chosen": certainty / preferences if preferences else None,
        "mean_disagreement": disagreement / preferences if preferences else None,
        "first_position_rate": first / showings if showings else None,
        "position_bias": swapped / both if both else None,
    }
