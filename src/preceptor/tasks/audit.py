"""Auditing judges: every judge's preferences on comparisons that people labelled, measured and compared."""

import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.backends.base import LanguageModel
from preceptor.backends.connection import Connection
from preceptor.backends.resolve import open_model
from preceptor.core.environment import environment
from preceptor.core.errors import UsageError
from preceptor.core.progress import Progress
from preceptor.core.types import JudgeFailure, Preference, Rater, total_usage
from preceptor.display.progress import shown
from preceptor.evaluation.judge_audit import Audit, Judged, JudgeRun, audit
from preceptor.judging import calibration
from preceptor.judging.ensemble import PreferenceJudge, ensemble_rater, mean_preference
from preceptor.judging.label import Tally
from preceptor.judging.specs import JudgeSpec, check_judges, check_prices, make_judge
from preceptor.reports.audit.page import render_audit
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.files import write_json, write_rows, write_text, writing
from preceptor.store.ledger import Ledger
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.preferences import failure_row, preference_row
from preceptor.store.rows import Malformed

UNREACHED = 0.1
"""Share of comparisons whose calls may not get through before an audit stops: it would measure the server."""


REMEDY = "Mend the cause and give the same command again: what is answered is not asked again"


@dataclass(frozen=True)
class AuditJob:
    """Which judges are audited, on what, and under which conditions."""

    data: Path
    out: Path
    judges: tuple[JudgeSpec, ...]
    ensemble: bool = False
    """Audit the ensemble of all judges too."""
    limit: int | None = None
    strict: bool = False
    budget: float | None = None
    save_calibration: Path | None = None
    """Where to save a calibration of the one judge, fitted on all labels."""
    method: calibration.Method = "platt"
    connection: Connection | None = None


def run_audit(job: AuditJob, progress: Progress | None = None) -> dict[str, Any]:
    """Audits judges, one model at a time, from wherever an earlier process left it.

    Returns: the audit as in `audit.json`.
    Raises: UsageError on faulty input; PreceptorError when a model cannot be asked or the budget is spent.
    """
    with shown(progress) as display:
        return _audit(job, display)


def _audit(job: AuditJob, progress: Progress) -> dict[str, Any]:
    check_judges(job.judges)
    if job.save_calibration is not None and len(job.judges) != 1:
        raise UsageError(f"--save-calibration is for one judge; {len(job.judges)} are named")
    check_own(job.out, "audit")
    if job.save_calibration is not None:
        calibration.check_replaceable(job.save_calibration)
    progress.stage("reading the data")
    rows, malformed = read_labelled(job)
    runs: dict[int, JudgeRun] = {}
    raters: dict[int, Rater] = {}
    with working_in(job.out, "audit"), Ledger(job.out / "ledger.sqlite", job.budget) as ledger:
        for name in dict.fromkeys(spec.model for spec in job.judges):
            progress.stage(f"opening {Path(name).name}")
            model = open_model(name, job.connection)
            check_prices(job.budget, [model])
            for position, spec in enumerate(job.judges):
                if spec.model == name:
                    progress.stage(f"{Path(name).name}, {spec.constitution}, {spec.way}")
                    judge = make_judge(spec, model, ledger)
                    raters[position] = judge.rater
                    runs[position] = _run(judge, spec, model, rows, progress)
            del model
            gc.collect()  # the next model needs the memory
        for note in ledger.notes():
            progress.note(note)
    ordered = [runs[position] for position in range(len(job.judges))]
    if job.ensemble:
        ordered.append(_ensemble(job.judges, [raters[position] for position in range(len(job.judges))], ordered))
    progress.stage("measuring")
    result = audit(ordered, [row.selection for row in rows])
    if job.save_calibration is not None:
        _save_calibration(job.save_calibration, ordered[0], job.method)
    _write(job, result, ordered, malformed)
    return result.model_dump(mode="json")


def read_labelled(job: AuditJob) -> tuple[list[ComparisonRow], list[Malformed]]:
    """The comparisons that people labelled, and the rows that cannot be used, those without a label among them.

    Raises: UsageError when there is none, and on a malformed row where the job is strict.
    """
    rows: list[ComparisonRow] = []
    malformed: list[Malformed] = []
    for row in islice(read_comparisons(job.data), job.limit):
        if isinstance(row, Malformed):
            malformed.append(row)
        elif row.human is None:
            malformed.append(Malformed(row.number, row.place, 'no "label" and no "ratings" of people'))
        else:
            rows.append(row)
    if malformed and (job.strict or not rows):
        raise UsageError(f"{malformed[0].place}: {malformed[0].reason} ({len(malformed)} unusable rows in all)")
    if not rows:
        raise UsageError(f"{job.data}: holds no rows")
    return rows, malformed


def _run(
    judge: PreferenceJudge,
    spec: JudgeSpec,
    model: LanguageModel,
    rows: Sequence[ComparisonRow],
    progress: Progress,
) -> JudgeRun:
    """One judge on all rows.

    Raises: PreceptorError when more calls than `UNREACHED` do not get through.
    """
    began, outcomes, tally = time.perf_counter(), list[Preference | JudgeFailure](), Tally()
    at_once = 4 * model.concurrency
    for start in range(0, len(rows), at_once):
        chunk = judge.compare([row.comparison for row in rows[start : start + at_once]])
        for outcome in chunk:
            if isinstance(outcome, JudgeFailure) and outcome.transient:
                tally.add(outcome.reason, outcome.detail)
            else:
                tally.labelled += 1
        tally.check(UNREACHED, at_end=start + at_once >= len(rows), remedy=REMEDY)
        outcomes += chunk
        progress.advance(len(outcomes), len(rows))
    usage = total_usage(outcome.usage for outcome in outcomes if isinstance(outcome, Preference))
    return JudgeRun(
        judge=judge.rater.model,
        constitution=judge.rater.constitution,
        rows=_judged(rows, outcomes),
        seconds=time.perf_counter() - began,
        asked=sum(member.model.asked for member in judge.members),
        ledger_hits=sum(member.model.hits for member in judge.members),
        usage=usage,
        cost=None if model.price is None else model.price.cost(usage),
        variant=spec.way + (", calibrated" if spec.calibration else ""),
        combine=spec.resolved().combine,
    )


def _judged(rows: Sequence[ComparisonRow], outcomes: Sequence[Preference | JudgeFailure]) -> list[Judged]:
    judged: list[Judged] = []
    for row, outcome in zip(rows, outcomes, strict=True):
        assert row.human is not None  # read_labelled
        judged.append(Judged(row.comparison, row.human, outcome, row.category))
    return judged


def _ensemble(specs: Sequence[JudgeSpec], raters: Sequence[Rater], runs: Sequence[JudgeRun]) -> JudgeRun:
    """All judges as one, from what each of them said."""
    weights = [spec.weight for spec in specs]
    rater = ensemble_rater(raters, weights)
    by_row = zip(*(run.rows for run in runs), strict=True)
    costs = [run.cost for run in runs if run.cost is not None]
    return JudgeRun(
        judge="ensemble of all",
        constitution=rater.constitution,
        rows=[replace(same[0], outcome=mean_preference([j.outcome for j in same], weights, rater)) for same in by_row],
        seconds=sum(run.seconds for run in runs),
        asked=sum(run.asked for run in runs),
        ledger_hits=sum(run.ledger_hits for run in runs),
        usage=total_usage(run.usage for run in runs),
        cost=sum(costs) if len(costs) == len(runs) else None,
    )


def _save_calibration(path: Path, run: JudgeRun, method: calibration.Method) -> None:
    pairs = [(judged.outcome, judged.human) for judged in run.rows if isinstance(judged.outcome, Preference)]
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    calibration.save(calibration.fit(pairs, method), path)


def _write(job: AuditJob, result: Audit, runs: Sequence[JudgeRun], malformed: Sequence[Malformed]) -> None:
    """`audit.json`, `report.html`, and every judgement beside what people said."""
    write_json(job.out / "audit.json", result.model_dump(mode="json"))
    write_rows(job.out / "judgements.jsonl", [row for run in runs for row in _rows_of(run)])
    facts = {
        "data": job.data.name,
        "rows": len(runs[0].rows),
        "unusable rows": len(malformed),
        "versions": environment(),
    }
    write_text(job.out / "report.html", render_audit(result, facts))


def _rows_of(run: JudgeRun) -> Iterator[dict[str, Any]]:
    for number, judged in enumerate(run.rows):
        who = {"judge": run.judge, "constitution": run.constitution, "variant": run.variant}
        row = ComparisonRow(number, judged.comparison.id, judged.comparison, judged.human, judged.category)
        if isinstance(judged.outcome, JudgeFailure):
            yield failure_row(row, judged.outcome) | who
        else:
            yield preference_row(row, judged.outcome) | who
