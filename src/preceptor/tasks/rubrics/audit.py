"""Auditing rubrics: what their items tell apart, and whether scores by them prefer what people prefer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from preceptor.backends.connection import Connection
from preceptor.backends.names import check_name
from preceptor.backends.resolve import check_batch, open_model
from preceptor.core.environment import environment
from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.progress import Progress
from preceptor.core.rubric import Rubric, RubricItem
from preceptor.core.types import JsonObject, JudgeFailure, Prompt, Response
from preceptor.core.validation import check_count, check_dollars, settings_of
from preceptor.display.progress import shown
from preceptor.evaluation.judges.rubric_audit import LabelledPair, Scored
from preceptor.evaluation.judges.rubric_audit import audit_rubrics as measure
from preceptor.judging.rubrics.aggregate import ItemJudgement
from preceptor.judging.rubrics.items import check_rubrics
from preceptor.judging.rubrics.judge import RubricJudge
from preceptor.judging.settings import RubricSettings
from preceptor.judging.specs import check_prices
from preceptor.judging.trajectory import response_text
from preceptor.results.rubrics import JUDGEMENTS, RubricAuditResult
from preceptor.store.batches import BatchFolder
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.files import write_rows
from preceptor.store.in_memory import name_of
from preceptor.store.ledger import Ledger
from preceptor.store.output import output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.prompts import read_prompt_rows
from preceptor.store.rows import Malformed
from preceptor.store.tabular import Rows
from preceptor.tasks.rubrics.cases import placed

SEEN = ("written from contrast", "written from responses")
"""Tags of items whose writer saw responses."""


def audit_rubrics(
    rows: Rows,
    *,
    judge: str = "embedded",
    rubrics: "Rows | None" = None,
    out: str | Path | None = None,
    settings: RubricSettings | Mapping[str, Any] | None = None,
    limit: int | None = None,
    budget: float | None = None,
    connection: Connection | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> RubricAuditResult:
    """Measures rubrics on responses: discrimination, agreement with people, effects of length and order, abstentions.

    The folder's ledger records every call, so calling this again resumes the work. Writes `rubric_audit.json` and
    `judgements.jsonl` (each response's score and what became of each item).

    Args:
        rows: comparisons whose prompts have rubrics; with people's `label` or `ratings` for the agreement.
        judge: the model that judges the items.
        rubrics: prompts with the rubrics to use instead of those in `rows`, for instance the `rubrics.jsonl` of prompts
            that were written without any response; matched by the prompts' conversations.
        out: folder of the output; a temporary one by default, which is deleted with the result.
        settings: how items are judged; `RubricSettings`, or a dict of them. With criteria = "one_call", each response
            is judged a second time with the items in reverse order. By default a failed item is left out and counted.
        limit: how many rows to use, from the first.
        budget: the most dollars that all calls of this folder may cost.
        connection: how model servers are reached.
        progress: by default a bar on a terminal, and lines elsewhere.

    Raises: UsageError on faulty input, or when no row's prompt has a rubric; PreceptorError when the judge cannot be
        asked or the budget is spent.
    """
    check_name(judge)
    check_count("limit", limit)
    check_dollars("budget", budget)
    settings = settings_of("settings", RubricSettings, settings) or RubricSettings(failed_items="leave_out")
    if settings.aggregation == "implicit":
        raise UsageError('settings: aggregation = "implicit" judges no items; an audit needs "explicit"')
    connection = settings_of("connection", Connection, connection)
    output = output_folder(out)
    check_own(output.path, "rubric audit")
    given = None if rubrics is None else placed(rubrics, output.path, "rubric audit", name="rubrics.jsonl")
    comparisons, left_out, malformed = _with_rubrics(placed(rows, output.path, "rubric audit"), given, limit)
    check_rubrics([row.comparison.prompt for row in comparisons])
    with (
        shown(progress) as display,
        working_in(output.path, "rubric audit"),
        Ledger(output.path / "ledger.sqlite", budget) as ledger,
    ):
        display.stage("opening the judge")
        check_batch(connection, [judge])
        model = open_model(judge, connection, batches=BatchFolder.beside(ledger))
        check_prices(budget, [model])
        judging = RubricJudge(model, ledger, settings)
        display.stage("judging")
        scored = _scored(judging, comparisons, 4 * model.concurrency, display)
        write_rows(output.path / JUDGEMENTS, [_judgement(one, response) for response, one in scored.values()])
        pairs = [
            LabelledPair(scored[_key(c.prompt, c.a)][1], scored[_key(c.prompt, c.b)][1], row.human)
            for row in comparisons
            if row.human is not None and _key((c := row.comparison).prompt, c.a) != _key(c.prompt, c.b)
        ]
        measured = measure([one for _, one in scored.values()], pairs)
        result = RubricAuditResult(
            **dict(measured),
            judge=judging.rater,
            without_rubric=left_out,
            malformed=malformed,
            written_from_responses=_written_from_responses(comparisons),
            ledger=ledger.totals(),
            notes=tuple(ledger.notes()),
            environment=environment(),
        )
        return result.save(output)


def _with_rubrics(data: Path, rubrics: Path | None, limit: int | None) -> tuple[list[ComparisonRow], int, int]:
    """The comparisons whose prompts have rubrics, the number of those without, and that of unusable rows.

    Raises: UsageError when there is none.
    """
    known = None if rubrics is None else _by_conversation(rubrics)
    found: list[ComparisonRow] = []
    malformed: list[Malformed] = []
    without = 0
    for number, row in enumerate(read_comparisons(data)):
        if limit is not None and number >= limit:
            break
        if isinstance(row, Malformed):
            malformed.append(row)
            continue
        prompt = row.comparison.prompt
        rubric = prompt.rubric if known is None else known.get(_conversation(prompt))
        if rubric is None:
            without += 1
            continue
        with_it = prompt.model_copy(update={"rubric": rubric})
        found.append(replace(row, comparison=row.comparison.model_copy(update={"prompt": with_it})))
    if not found:
        first = f"{malformed[0].place}: {malformed[0].reason}" if malformed else f"{name_of(data)}: no rubric"
        lacking = f" ({without} have none)" if without else ""
        raise UsageError(f"{first}; expected comparisons whose prompts have rubrics{lacking}")
    return found, without, len(malformed)


def _by_conversation(rubrics: Path) -> dict[str, Rubric]:
    prompts = [row for row in read_prompt_rows(rubrics) if isinstance(row, Prompt)]
    return {_conversation(prompt): prompt.rubric for prompt in prompts if prompt.rubric is not None}


def _conversation(prompt: Prompt) -> str:
    return content_hash([message.wire() for message in prompt.conversation])


def _key(prompt: Prompt, response: Response) -> tuple[str, str]:
    assert prompt.rubric is not None
    return f"{_conversation(prompt)} {prompt.rubric.hash}", response.content_hash


_Scores = dict[tuple[str, str], tuple[Response, Scored]]


def _scored(judge: RubricJudge, rows: Sequence[ComparisonRow], at_once: int, progress: Progress) -> _Scores:
    """Every different response with its score."""
    asked = {
        _key(row.comparison.prompt, response): (row.comparison.prompt, response)
        for row in rows
        for response in (row.comparison.a, row.comparison.b)
    }
    items, results = list(asked.items()), _Scores()
    for start in range(0, len(items), at_once):
        chunk = [pair for _, pair in items[start : start + at_once]]
        scores = judge.score(chunk)
        backwards = (
            judge.score([(_reversed(p), r) for p, r in chunk]) if judge.settings.criteria == "one_call" else None
        )
        for i, ((key, (prompt, response)), score) in enumerate(zip(items[start:], scores, strict=False)):
            length, back = len(response_text(response)), None if backwards is None else backwards[i]
            results[key] = (response, Scored(prompt, length, score, back))
        progress.advance(len(results), len(items))
    return results


def _reversed(prompt: Prompt) -> Prompt:
    assert prompt.rubric is not None
    return prompt.model_copy(update={"rubric": prompt.rubric.model_copy(update={"items": prompt.rubric.items[::-1]})})


def _written_from_responses(rows: Sequence[ComparisonRow]) -> int:
    """Different items whose writer saw responses to their prompt."""
    rubrics = {_conversation(p): p.rubric for row in rows if (p := row.comparison.prompt).rubric is not None}
    return sum(any(tag in SEEN for tag in item.tags) for rubric in rubrics.values() if rubric for item in rubric.items)


def _judgement(one: Scored, response: Response) -> JsonObject:
    """A response's line in the file of judgements."""
    row: JsonObject = {"prompt": one.prompt.id, "policy": response.policy, "response": response_text(response)}
    if isinstance(one.score, JudgeFailure):
        return row | {"score": None, "reason": one.score.reason, "detail": one.score.detail}
    row["score"] = one.score.expectation
    row["items"] = [_line(item, judged) for item, judged in one.items]
    return row


def _line(item: RubricItem, judged: ItemJudgement) -> JsonValue:
    line: JsonObject = {"criterion": item.criterion, "points": item.points, "met": judged.met}
    return line if judged.failure is None else line | {"failure": judged.failure.detail}
