"""Auditing judges: measures and compares every judge's preferences on comparisons labelled by people."""

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from preceptor.backends.base import LanguageModel
from preceptor.backends.connection import Connection
from preceptor.backends.resolve import check_batch, open_model
from preceptor.core.environment import environment
from preceptor.core.errors import UsageError
from preceptor.core.progress import Progress
from preceptor.core.types import JsonObject, JudgeFailure, Preference, Rater, total_usage
from preceptor.core.validation import check_choice, check_count
from preceptor.display.log import logged, source
from preceptor.display.progress import shown
from preceptor.evaluation.judges import judge_audit
from preceptor.evaluation.judges.benchmarks.score import score_benchmark
from preceptor.evaluation.judges.cascade_audit import as_cascade, audit_cascade
from preceptor.evaluation.judges.judge_audit import Judged, JudgeRun
from preceptor.judging import calibration
from preceptor.judging.constitution import load_constitution
from preceptor.judging.ensemble import PreferenceJudge, ensemble_rater, mean_preference
from preceptor.judging.judges import Judges, judge_specs, shared_budget, shared_connection
from preceptor.judging.kept import keep_constitutions
from preceptor.judging.label import Tally
from preceptor.judging.learnt import learnt_by, was_learnt
from preceptor.judging.specs import JudgeSpec, check_prices, check_single, make_judge
from preceptor.reports.audit.page import render_audit
from preceptor.results.audit import AuditResult
from preceptor.runs.inputs import data_path
from preceptor.store.batches import BatchFolder
from preceptor.store.benchmarks.parts import Part
from preceptor.store.benchmarks.read import RATED_BY_MODEL, BenchmarkName, benchmark_rows
from preceptor.store.benchmarks.steps import StepBenchmarkName
from preceptor.store.calls import in_words
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.files import write_rows, write_text
from preceptor.store.hub.names import is_on_hub, with_commit
from preceptor.store.in_memory import name_of
from preceptor.store.ledger import Ledger
from preceptor.store.output import Output, output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.preference_row import FailureRow, PreferenceRow
from preceptor.store.rows import Malformed
from preceptor.store.tabular import Rows, rows_as_file
from preceptor.tasks import licences
from preceptor.tasks.attacks import AttackPlan, attack_judge, attacks_of, read_plan, write_hard_negatives
from preceptor.tasks.audit_files import check_files, check_unseen, save_fitted, write_cascade
from preceptor.tasks.canaries import Canaries

UNREACHED = 0.1
"""An audit stops when more than this share of comparisons gets no answer: it would measure the server instead."""
REMEDY = "Fix the cause and start the same work again: answered calls are not repeated"


def audit(
    rows: Rows,
    *,
    judges: Judges,
    out: str | Path | None = None,
    ensemble: bool = False,
    cascade: bool = False,
    agreement: float = 0.8,
    certainty: float = 0.9,
    limit: int | None = None,
    strict: bool = False,
    budget: float | None = None,
    save_calibration: str | Path | None = None,
    save_bias: str | Path | None = None,
    method: calibration.Method = "platt",
    save_cascade: str | Path | None = None,
    canary: int = 0,
    attack: str | Path | None = None,
    attack_rows: int = 50,
    attack_search: int = 0,
    licence: str | Path | None = None,
    format: BenchmarkName | None = None,
    connection: Connection | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> AuditResult:
    """Measures judges against people, one model at a time. Resumes what an earlier process left in the folder.

    Examples:
        >>> rows = [{"prompt": f"q{i}", "response_a": "x", "response_b": "yes", "label": "a"} for i in range(20)]
        >>> result = audit(rows, judges=["scripted:first", "scripted:random"])
        >>> result.recommended is None
        True

    Args:
        rows: comparisons with people's `label` or `ratings`, or a packaged set; for their columns see
            `preceptor.store.comparisons`.
        judges: one judge or several.
        out: folder of the audit; give it again to resume. A temporary folder by default.
        ensemble: also measure the ensemble of all judges.
        cascade: also calibrate the judges as a cascade, in the order given, and measure it. The thresholds are
            certified on half of the prompts, and measured on the other half.
        agreement: the share of the cascade's answers that is to agree with what most people say, between 0 and 1.
        certainty: the probability with which the labels are to guarantee that, between 0 and 1.
        limit: use only this many rows, from the first.
        strict: refuse unusable rows instead of skipping them.
        budget: the most dollars that all calls of this folder may cost; by default the judges' budget.
        save_calibration: file for a calibration of a single judge, fitted on all labels.
        save_bias: file for what a single judge prefers in excess of people, which training can take off its reward.
        method: the calibration method.
        save_cascade: file for the cascade, if one can be certified, which judges are then named by.
        canary: how many recorded questions of this folder to ask again first, to see whether each judge's model is
            still the one that answered them; 0 for none.
        attack: also attack the judges with responses that should never win: "all", the name of an attack, or a file of
            attacks that fooled a judge earlier (`hard_negatives.jsonl`), which are made again.
        attack_rows: on how many rows, chosen by a hash.
        attack_search: also edit responses that people like less, until the judge prefers them or so many comparisons
            are spent on each; 0 for no search.
        licence: a .toml file for what the audit shows of a single judge, which recipes can ask for before it trains.
        format: the benchmark that the rows are, as its authors publish it; the judges are then also scored as the
            authors do. `limit` counts the benchmark's items, which may be several comparisons each.
        connection: how model servers are reached; by default the judges' connection.

    Raises: UsageError on faulty input; PreceptorError when a model cannot be asked or the budget is spent.
    """
    specs, connection = judge_specs(judges), shared_connection(judges, connection)
    budget = shared_budget(judges, budget)
    check_count("limit", limit)
    check_count("canary", canary, 0)
    check_count("attack_rows", attack_rows)
    check_count("attack_search", attack_search, 0)
    plan = read_plan(attack, attack_rows, attack_search)
    check_choice("method", method, calibration.Method)
    _check_format(format, licence is not None)
    _check_cascade(specs, cascade or save_cascade is not None, agreement, certainty)
    rows = data_path(str(rows)) if isinstance(rows, str | Path) else rows
    output = output_folder(out)
    check_own(output.path, "audit")
    fitted = {"save_calibration": save_calibration, "save_bias": save_bias}
    check_files(specs, {**fitted, "save_cascade": save_cascade, "licence": licence})
    with shown(progress) as display:
        display.stage("reading the data")
        read = _read(Path(rows), limit, strict, format) if isinstance(rows, str | Path) else None
        path = output.path / "ledger.sqlite"
        settings = {"data": source(rows), "judges": specs, "limit": limit, "budget": budget, "connection": connection}
        with ExitStack() as held:
            held.enter_context(working_in(output.path, "audit"))
            data = rows_as_file(rows, output.path)
            labelled, unusable, parts = read or _read(data, limit, strict, format)
            log = held.enter_context(logged(output.path, "audit", settings, display, partial(in_words, path, budget)))
            ledger = held.enter_context(Ledger(path, budget))
            log.event(f"{len(labelled)} labelled rows, {len(unusable)} unusable")
            keep_constitutions(output.path, [load_constitution(spec.constitution) for spec in specs])
            check_unseen(
                {**fitted, "licence": licence, "cascade": cascade or save_cascade},
                [_learnt(spec, labelled) for spec in specs],
            )
            extras = _Extras(Canaries(path, canary, budget), plan)
            runs = _all_judged(specs, labelled, ledger, connection, log, ensemble, extras)
            log.stage("measuring")
            measured = judge_audit.audit(runs, [row.selection for row in labelled])
            if cascade or save_cascade is not None:
                singles = runs[: len(specs)]
                names = [judge.label for judge in measured.judges[: len(specs)]]
                certified = audit_cascade(singles, names, agreement=agreement, certainty=certainty)
                measured = measured.model_copy(update={"cascade": certified})
                write_cascade(save_cascade, as_cascade(certified, singles), log)
            if format is not None:
                scored = [(judge.label, run.rows) for judge, run in zip(measured.judges, runs, strict=True)]
                measured = measured.model_copy(update={"benchmark": score_benchmark(format, scored, parts)})
            save_fitted(fitted, runs[0], specs[0], method, log)
            attacks = attacks_of(measured.judges, runs)
            write_hard_negatives(output.path, [each for run in runs for each in (*run.attacked, *run.won)], plan.file)
            if licence is not None:
                licences.write(Path(licence), runs[0], measured.judges[0], attacks, data, path)
            facts = {
                "data": with_commit(str(data)) if is_on_hub(data) else data.name,
                "rows": len(labelled),
                "unusable rows": len(unusable),
                **({} if format is None else {"read as": format}),
            }
            drift = tuple(run.drift for run in runs if run.drift is not None)
            return _written(AuditResult(**dict(measured), drift=drift, attacks=attacks), output, runs, facts)


@dataclass(frozen=True)
class _Extras:
    """What each judge is asked besides the rows."""

    canaries: Canaries
    attacks: AttackPlan


def _all_judged(
    specs: Sequence[JudgeSpec],
    rows: Sequence[ComparisonRow],
    ledger: Ledger,
    connection: Connection | None,
    progress: Progress,
    ensemble: bool,
    extras: "_Extras",
) -> list[JudgeRun]:
    """Every judge's answers for the rows, in the judges' order. Each model is opened once."""
    check_batch(connection, [spec.model for spec in specs])
    runs: dict[int, JudgeRun] = {}
    raters: dict[int, Rater] = {}
    for name in dict.fromkeys(spec.model for spec in specs):
        progress.stage(f"opening {Path(name).name}")
        model = open_model(name, connection, batches=BatchFolder.beside(ledger))
        check_prices(ledger.budget, [model])
        for position, spec in enumerate(specs):
            if spec.model == name:
                progress.stage(f"{Path(name).name}, {spec.constitution}, {spec.way}")
                judge = make_judge(spec, model, ledger)
                raters[position] = judge.rater
                [drift] = extras.canaries.checked(judge, [spec], progress) or [None]
                run = _run(judge, spec, model, rows, progress)
                answers = {judged.comparison.id: judged.outcome for judged in run.rows}
                made = attack_judge(judge, extras.attacks, rows, answers, progress)
                attacks = {"attacked": made.attacked, "search": made.search, "won": made.won}
                runs[position] = replace(run, rater=judge.rater, drift=drift, **attacks)
        del model
        gc.collect()  # the next model needs the memory
    for note in ledger.notes():
        progress.note(note)
    ordered = [runs[position] for position in range(len(specs))]
    if ensemble:
        ordered.append(_ensemble(specs, [raters[position] for position in range(len(specs))], ordered))
    return ordered


def read_labelled(
    data: Path, limit: int | None = None, strict: bool = False
) -> tuple[list[ComparisonRow], list[Malformed]]:
    """The comparisons labelled by people, and the rows that cannot be used, including those without a label.

    Raises: UsageError when there is none, and on an unusable row if `strict`.
    """
    rows: list[ComparisonRow] = []
    malformed: list[Malformed] = []
    for row in islice(read_comparisons(data), limit):
        if isinstance(row, Malformed):
            malformed.append(row)
        elif row.human is None:
            malformed.append(Malformed(row.number, row.place, 'no "label" and no "ratings" of people'))
        else:
            rows.append(row)
    _check_usable(data, len(rows), malformed, strict)
    return rows, malformed


def _read(
    data: Path, limit: int | None, strict: bool, format: BenchmarkName | None
) -> tuple[list[ComparisonRow], list[Malformed], list[Part]]:
    """The same, and each comparison's place in the score of the benchmark that the data are."""
    if format is None:
        rows, unusable = read_labelled(data, limit, strict)
        return rows, unusable, []
    read = list(benchmark_rows(data, format, limit))
    malformed = [row for row in read if isinstance(row, Malformed)]
    usable = [row for row in read if not isinstance(row, Malformed)]
    _check_usable(data, len(usable), malformed, strict)
    return [each.row for each in usable], malformed, [each.part for each in usable]


def _check_usable(data: Path, usable: int, malformed: Sequence[Malformed], strict: bool) -> None:
    """Raises: UsageError when no row is usable, and on an unusable row if `strict`."""
    if malformed and (strict or not usable):
        raise UsageError(f"{malformed[0].place}: {malformed[0].reason} ({len(malformed)} unusable rows in all)")
    if not usable:
        raise UsageError(f"{name_of(data)}: there are no rows")


def _run(
    judge: PreferenceJudge,
    spec: JudgeSpec,
    model: LanguageModel,
    rows: Sequence[ComparisonRow],
    progress: Progress,
) -> JudgeRun:
    """Runs one judge on all rows.

    Raises: PreceptorError when more than the share `UNREACHED` of calls gets no answer.
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
        variant=spec.corrected_way,
        combine=spec.resolved().combine,
        spec=spec,
        learnt=_learnt(spec, rows),
    )


def _learnt(spec: JudgeSpec, rows: Sequence[ComparisonRow]) -> int:
    """Rows on whose prompts the judge's model was taught to judge."""
    learnt = learnt_by(spec.model)
    return sum(was_learnt(row.comparison.prompt, learnt) for row in rows)


def _judged(rows: Sequence[ComparisonRow], outcomes: Sequence[Preference | JudgeFailure]) -> list[Judged]:
    judged: list[Judged] = []
    for row, outcome in zip(rows, outcomes, strict=True):
        assert row.human is not None  # read_labelled
        judged.append(Judged(row.comparison, row.human, outcome, row.category))
    return judged


def _ensemble(specs: Sequence[JudgeSpec], raters: Sequence[Rater], runs: Sequence[JudgeRun]) -> JudgeRun:
    """The ensemble of all judges, from their answers."""
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
        learnt=max(run.learnt for run in runs),
        cost=sum(costs) if len(costs) == len(runs) else None,
    )


def _check_format(format: str | None, licence: bool) -> None:
    """Raises: UsageError for an unknown format, for one of single steps, and for a licence by ratings of a model."""
    if format in get_args(StepBenchmarkName):
        raise UsageError(f'format = "{format}" is a benchmark of single steps: use `audit_steps`')
    if format is not None:
        check_choice("format", format, BenchmarkName)
    if licence and format in RATED_BY_MODEL:
        raise UsageError(
            f'format = "{format}": a model gave its ratings, and a licence says how far a judge agrees with people; '
            "audit the judge on labels of people"
        )


def _check_cascade(specs: Sequence[JudgeSpec], asked_for: bool, agreement: float, certainty: float) -> None:
    """Raises: UsageError for a cascade among the judges; for a new one of one judge or with an impossible guarantee."""
    check_single(specs, "an audit")
    if not asked_for:
        return
    if len(specs) < 2:
        raise UsageError("a cascade has at least two judges, the cheapest first; one is named")
    for name, value in (("agreement", agreement), ("certainty", certainty)):
        if not 0.0 < value < 1.0:
            raise UsageError(f"{name} = {value:g}: expected a share between 0 and 1, such as 0.9")


def _written(result: AuditResult, output: Output, runs: Sequence[JudgeRun], facts: dict[str, str | int]) -> AuditResult:
    """Writes `audit.json`, `report.html`, and every judgement beside people's labels."""
    result = result.save(output)
    write_rows(output.path / "judgements.jsonl", [row for run in runs for row in _rows_of(run)])
    drift = [check.sentence for check in result.drift]
    write_text(result.report, render_audit(result, {**facts, "versions": environment()}, runs, drift, result.attacks))
    return result


def _rows_of(run: JudgeRun) -> Iterator[JsonObject]:
    for number, judged in enumerate(run.rows):
        who = {"judge": run.judge, "constitution": run.constitution, "variant": run.variant}
        row = ComparisonRow(number, judged.comparison.id, judged.comparison, judged.human, judged.category)
        if isinstance(judged.outcome, JudgeFailure):
            yield FailureRow.of(row, judged.outcome).wire() | who
        else:
            yield PreferenceRow.of(row, judged.outcome).wire() | who
