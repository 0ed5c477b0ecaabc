"""Auditing step judges: do they find the first wrong step of solutions that people marked?"""

import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.backends.resolve import check_batch, open_model
from preceptor.core.errors import UsageError
from preceptor.core.progress import Progress
from preceptor.core.types import Score
from preceptor.core.validation import check_choice, check_count
from preceptor.display.log import logged, source
from preceptor.display.progress import shown
from preceptor.evaluation.judges.benchmarks.steps import JudgedSolution, StepJudgeScores, score_steps
from preceptor.judging.constitution import load_constitution
from preceptor.judging.judges import Judges, judge_specs, shared_budget, shared_connection
from preceptor.judging.kept import keep_constitutions
from preceptor.judging.specs import JudgeSpec, check_prices, check_single
from preceptor.judging.steps import StepJudge
from preceptor.reports.audit.steps import render_step_audit
from preceptor.results.step_audit import StepAuditResult
from preceptor.store.batches import BatchFolder
from preceptor.store.benchmarks.steps import StepBenchmarkName, StepRow, step_rows
from preceptor.store.calls import in_words
from preceptor.store.files import write_text
from preceptor.store.in_memory import name_of
from preceptor.store.ledger import Ledger
from preceptor.store.output import output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.rows import Malformed
from preceptor.store.tabular import Rows, rows_as_file


def audit_steps(
    rows: Rows,
    *,
    judges: Judges,
    format: StepBenchmarkName,
    out: str | Path | None = None,
    limit: int | None = None,
    strict: bool = False,
    budget: float | None = None,
    connection: Connection | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> StepAuditResult:
    """Measures judges of single steps on a benchmark, as its authors publish it. Resumes what an earlier process left.

    Each judge scores every step by what was known before it, from 1 to 10, by its constitution's principles. Writes
    `step_audit.json` and `report.html`.

    Args:
        rows: the benchmark's file or folder, or its rows.
        judges: one judge or several.
        format: the benchmark that the rows are.
        out: folder of the audit; give it again to resume. A temporary folder by default.
        limit: use only this many solutions, from the first.
        strict: refuse unusable rows instead of skipping them.
        budget: the most dollars that all calls of this folder may cost; by default the judges' budget.
        connection: how model servers are reached; by default the judges' connection.
        progress: by default a bar on a terminal, and lines elsewhere.

    Raises: UsageError on faulty input; PreceptorError when a model cannot be asked or the budget is spent.
    """
    specs, connection = judge_specs(judges), shared_connection(judges, connection)
    budget = shared_budget(judges, budget)
    check_count("limit", limit)
    check_choice("format", format, StepBenchmarkName)
    check_single(specs, "an audit")
    output = output_folder(out)
    check_own(output.path, "step audit")
    path = output.path / "ledger.sqlite"
    settings = {"data": source(rows), "judges": specs, "limit": limit, "budget": budget, "connection": connection}
    with shown(progress) as display, working_in(output.path, "step audit"):
        data = rows_as_file(rows, output.path)
        solutions, unusable = _read(data, format, limit, strict)
        with (
            logged(output.path, "step audit", settings, display, partial(in_words, path, budget)) as log,
            Ledger(path, budget) as ledger,
        ):
            keep_constitutions(output.path, [load_constitution(spec.constitution) for spec in specs])
            judged = _all_judged(specs, solutions, ledger, connection, log)
            result = StepAuditResult(format=format, judges=tuple(judged), unusable=unusable).save(output)
            facts = {"data": data.name, "read as": format, "solutions": len(solutions), "unusable rows": unusable}
            write_text(result.report, render_step_audit(result, facts))
            return result


def _read(data: Path, format: StepBenchmarkName, limit: int | None, strict: bool) -> tuple[list[StepRow], int]:
    """The usable solutions, and the number of unusable rows.

    Raises: UsageError when none is usable, and on an unusable row if `strict`.
    """
    read = list(step_rows(data, format, limit))
    malformed = [row for row in read if isinstance(row, Malformed)]
    solutions = [row for row in read if not isinstance(row, Malformed)]
    if malformed and (strict or not solutions):
        raise UsageError(f"{malformed[0].place}: {malformed[0].reason} ({len(malformed)} unusable rows in all)")
    if not solutions:
        raise UsageError(f"{name_of(data)}: there are no rows")
    return solutions, len(malformed)


def _all_judged(
    specs: Sequence[JudgeSpec],
    solutions: Sequence[StepRow],
    ledger: Ledger,
    connection: Connection | None,
    progress: Progress,
) -> list[StepJudgeScores]:
    """Every judge's scores, in the judges' order. Each model is opened once."""
    check_batch(connection, [spec.model for spec in specs])
    found: dict[int, StepJudgeScores] = {}
    names = _names(specs)
    for name in dict.fromkeys(spec.model for spec in specs):
        progress.stage(f"opening {Path(name).name}")
        model = open_model(name, connection, batches=BatchFolder.beside(ledger))
        check_prices(ledger.budget, [model])
        for place, spec in enumerate(specs):
            if spec.model == name:
                progress.stage(f"{Path(name).name}, {spec.constitution}")
                judge = StepJudge(model, load_constitution(spec.constitution), ledger, spec.resolved().scoring)
                judged = _judged(judge, solutions, 4 * model.concurrency, progress)
                found[place] = score_steps(names[place], judge.rater.constitution, judged)
        del model
        gc.collect()  # the next model needs the memory
    for note in ledger.notes():
        progress.note(note)
    return [found[place] for place in range(len(specs))]


def _judged(judge: StepJudge, solutions: Sequence[StepRow], at_once: int, progress: Progress) -> list[JudgedSolution]:
    judged: list[JudgedSolution] = []
    for start in range(0, len(solutions), at_once):
        chunk = solutions[start : start + at_once]
        for solution, scores in zip(chunk, judge.score([(row.prompt, row.response) for row in chunk]), strict=True):
            values = [score.expectation if isinstance(score, Score) else None for score in scores]
            judged.append(JudgedSolution(solution.prompt.id, solution.subset, solution.first_error, values))
        progress.advance(len(judged), len(solutions))
    return judged


def _names(specs: Sequence[JudgeSpec]) -> list[str]:
    """A name for each judge: its model, with constitution and way of asking where several have the same model."""
    models = Counter(spec.model for spec in specs)
    return [
        spec.model if models[spec.model] == 1 else f"{spec.model} · {spec.constitution} · {spec.way}" for spec in specs
    ]
