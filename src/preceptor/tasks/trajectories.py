"""A study of a judge of whole trajectories, from a folder of labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.types import Message
from preceptor.evaluation.policies.trajectories import (
    TrajectoryFindings,
    TrajectoryPair,
    trajectory_findings,
    trajectory_pair,
)
from preceptor.judging.steps import GOOD_STEP
from preceptor.reports.trajectories import render_markdown, render_trajectories
from preceptor.results.base import Result
from preceptor.results.trajectories import MARKDOWN, TrajectoriesResult
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.files import write_text
from preceptor.store.in_memory import name_of
from preceptor.store.output import Output, output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.preference_row import MALFORMED, PreferenceRow
from preceptor.store.rows import Malformed, read_raw_rows
from preceptor.store.selection import DISPUTED
from preceptor.store.tabular import Rows, rows_as_file

Success = Mapping[str, Mapping[str, bool]]
"""Whether each response succeeded, by comparison and then by the response's content."""


def trajectories(
    labels: str | Path | Result,
    data: "Rows | None" = None,
    *,
    good_step: float = GOOD_STEP,
    out: str | Path | None = None,
) -> TrajectoriesResult:
    """Studies a judge of trajectories: does it prefer those that succeeded, and do good steps make a good whole?

    Args:
        labels: the result of `label`, its folder, or its `preferences.jsonl` or `.parquet`.
        data: the comparisons with known success: `success_a` and `success_b` in the metadata, else the label. By
            default the label that the comparisons had when they were judged.
        good_step: the lowest score of a good step, 1 to 10.
        out: folder for `trajectories.json`, `report.html` and `trajectories.md`; by default nothing is written.

    Raises: UsageError if there are no trajectories, or no row of `data` matches them.
    """
    if not 1.0 <= good_step <= 10.0:
        raise UsageError(f"good_step {good_step:g}: expected a score from 1 to 10")
    folder = labels.path if isinstance(labels, Result) else Path(labels)
    if out is not None:
        check_own(Path(out), "trajectories")
    scratch = output_folder(None)
    known = None if data is None else rows_as_file(data, scratch.path, given="the rows given as data")
    result = TrajectoriesResult.of(_findings(folder, known, good_step))
    return result if out is None else _written(result, output_folder(out), folder)


def _findings(labels: Path, data: Path | None, good_step: float) -> TrajectoryFindings:
    known = None if data is None else _successes(data)
    file = labels / "preferences.jsonl" if (labels / "preferences.jsonl").is_file() else labels
    pairs: list[TrajectoryPair] = []
    rows = matched = disputed = 0
    for place, raw in read_raw_rows(file):
        row = PreferenceRow.read(raw, place)
        rows += 1
        disputed += row.selection == DISPUTED.how
        matched += known is not None and row.id in known
        if (pair := trajectory_pair(row, None if known is None else _success(row, known))) is not None:
            pairs.append(pair)
    if not rows:
        raise UsageError(f"{name_of(file)}: there are no rows")
    if not pairs:
        raise UsageError(
            f"{name_of(file)}: {rows} rows but no trajectory; expected labels of comparisons whose responses have "
            "several messages each"
        )
    if data is not None and not matched:
        raise UsageError(
            f"{name_of(data)}: none of its comparisons has the id of a row in {name_of(file)}; give the rows that were "
            "labelled"
        )
    findings = trajectory_findings(pairs, plain=rows - len(pairs), failures=_failures(labels), good_step=good_step)
    return findings.model_copy(update={"disputed": disputed})


def _successes(data: Path) -> Success:
    """The known success by comparison; empty for a comparison of which nothing is known."""
    by_comparison: dict[str, dict[str, bool]] = {}
    for row in read_comparisons(data):
        if isinstance(row, Malformed):
            raise UsageError(f"{row.place}: {row.reason}")
        contents = [_content(response.messages) for response in (row.comparison.a, row.comparison.b)]
        by_comparison[row.comparison.id] = {
            content: succeeded
            for content, succeeded in zip(contents, _known_success(row), strict=True)
            if succeeded is not None
        }
    return by_comparison


def _known_success(row: ComparisonRow) -> tuple[bool | None, bool | None]:
    """Whether a and b succeeded, from the metadata or else from the label."""
    metadata = row.comparison.prompt.metadata
    if "success_a" in metadata or "success_b" in metadata:
        return _said(row, "success_a"), _said(row, "success_b")
    return (None, None) if row.preferred is None else (row.preferred == "a", row.preferred == "b")


def _said(row: ComparisonRow, name: str) -> bool | None:
    """Whether a response succeeded, according to the metadata."""
    succeeded = row.comparison.prompt.metadata.get(name)
    if succeeded is not None and not isinstance(succeeded, bool):
        raise UsageError(f"{row.place}: metadata.{name}: expected true or false, got {succeeded!r}")
    return succeeded


def _success(row: PreferenceRow, known: Success) -> tuple[bool | None, bool | None]:
    """Whether a and b of a row succeeded; matched by content, since another file may have them in the other order."""
    of_content = known.get(row.id, {})
    a, b = (of_content.get(_content(messages)) for messages in row.responses)
    return a, b


def _content(messages: Sequence[Message]) -> str:
    return content_hash([message.wire() for message in messages])


def _failures(labels: Path) -> dict[str, int]:
    """Comparisons without a verdict, by reason, if the folder says so."""
    file = labels / "failures.jsonl"
    reasons = Counter(
        str(row["reason"])
        for _, row in (read_raw_rows(file) if file.is_file() else ())
        if not isinstance(row, Malformed) and row.get("reason") != MALFORMED
    )
    return dict(reasons)


def _written(result: TrajectoriesResult, output: Output, labels: Path) -> TrajectoriesResult:
    with working_in(output.path, "trajectories"):
        saved = result.save(output)
        write_text(output.path / MARKDOWN, render_markdown(saved, labels.name))
        write_text(saved.report, render_trajectories(saved, labels.name))
    return saved
