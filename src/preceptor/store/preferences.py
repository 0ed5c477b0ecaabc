"""Preference datasets: rows that TRL trains on as they are, in JSON lines and Parquet, with a dataset card."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.hashing import canonical_json
from preceptor.core.types import (
    JudgeFailure,
    Preference,
    Presentation,
    Rater,
    Response,
    Score,
    TrajectoryScore,
)
from preceptor.store.comparisons import ComparisonRow, Unanswered
from preceptor.store.files import write_text, writing
from preceptor.store.rows import Malformed, read_raw_rows

_BLOCK = 1 << 22
"""Bytes of whole JSON lines, about, that are converted at once and become a row group."""
_MESSAGE_COLUMNS = ("prompt", "chosen", "rejected")
_TOOL_FIELD = re.compile(rb'"(?:tool_calls|tool_call_id|name)"\s*:')
"""A key that messages alone have: within a text, its quotation marks are escaped."""
MALFORMED = "malformed"
"""The reason why a row of the input that cannot be used has no preference."""


def preference_row(
    row: ComparisonRow, preference: Preference, scores: tuple[TrajectoryScore, TrajectoryScore] | None = None
) -> dict[str, Any]:
    """The row of a preference dataset: what TRL trains on, and all that is known of how the label came about.

    Args:
        scores: of responses a and b, where they are trajectories that were scored as well.
    """
    comparison, rater, human = preference.comparison, preference.rater, row.human
    a_is_chosen = preference.p_a >= 0.5
    chosen, rejected = (comparison.a, comparison.b) if a_is_chosen else (comparison.b, comparison.a)
    raw = preference.uncalibrated_p_a
    columns: dict[str, Any] = {
        "row": row.number,
        "id": comparison.id,
        "prompt_id": comparison.prompt.id,
        "cohort": comparison.prompt.cohort,
        "category": row.category,
        "prompt": [message.wire() for message in comparison.prompt.conversation],
        "chosen": _messages(chosen),
        "rejected": _messages(rejected),
        "chosen_policy": chosen.policy,
        "rejected_policy": rejected.policy,
        "chosen_is": "a" if a_is_chosen else "b",
        "chosen_finished": chosen.finished,
        "rejected_finished": rejected.finished,
        "p_chosen": max(preference.p_a, 1.0 - preference.p_a),
        "p_tie": preference.p_tie,
        "likeliest": preference.likeliest,
        "uncalibrated_p_chosen": None if raw is None else raw if a_is_chosen else 1.0 - raw,
        "disagreement": preference.disagreement,
        "rationale": next((p.verdict.rationale for p in preference.presentations if p.verdict.rationale), ""),
        "human_p_chosen": None if human is None else human.p_a if a_is_chosen else 1.0 - human.p_a,
        "selection": row.selection.how,
        "selection_probability": row.selection.probability,
        "judge": rater.model,
        "constitution": rater.constitution,
        "constitution_hash": rater.constitution_hash,
        "settings": canonical_json(rater.settings),
        "verdicts": [_verdict(m.rater, p) for m in preference.members or (preference,) for p in m.presentations],
    }
    for name, score in zip(("chosen", "rejected"), _in_place(scores, a_is_chosen=a_is_chosen), strict=True):
        columns[f"{name}_score"] = None if score is None else _expectation(score.whole)
        columns[f"{name}_steps"] = None if score is None else [_expectation(step) for step in score.steps]
    return columns


def failure_row(row: ComparisonRow | Malformed | Unanswered, failure: JudgeFailure | None = None) -> dict[str, Any]:
    """The row of `failures.jsonl`: why there is no preference. A malformed row has the reason `malformed`."""
    if isinstance(row, Malformed):
        return {"row": row.number, "place": row.place, "id": None, "reason": MALFORMED, "detail": row.reason}
    found = row.failure if isinstance(row, Unanswered) else failure
    assert found is not None
    comparison_id = row.id if isinstance(row, Unanswered) else row.comparison.id
    return {
        "row": row.number,
        "place": row.place,
        "id": comparison_id,
        "reason": found.reason,
        "detail": found.detail,
    }


def write_parquet(jsonl: Path, parquet: Path) -> None:
    """Converts a file of preference rows, a batch at a time. The Parquet file is there whole or not at all.

    Messages are structs of role and content; where any row has tool calls or their results, of all fields a message
    can have.

    Raises: UsageError when the JSON lines cannot be read, PreceptorError when a row is no preference row or the file
        cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(tools=_uses_tools(jsonl))
    partial = parquet.with_name(parquet.name + ".partial")
    with writing(parquet):
        try:
            with partial.open("wb") as stream:
                with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
                    for table in _tables(jsonl, schema):
                        writer.write_table(table)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(parquet)
        except pa.ArrowException as error:
            fault = _malformed(jsonl) or f"{jsonl}: a row does not fit the columns of a preference dataset: {error}"
            raise PreceptorError(fault) from error
        finally:
            partial.unlink(missing_ok=True)


def write_card(folder: Path, summary: dict[str, Any]) -> None:
    """Writes `README.md`, the dataset card, which makes `preferences.parquet` the training split.

    Args:
        summary: `judges` (identities), `constitutions` (each with name, version, hash, summary), `counts` (preferences,
            failures, malformed) and `environment` (preceptor: its version).
    """
    from preceptor.store.documents import document

    write_text(folder / "README.md", document("preceptor.store", "dataset_card.md.jinja", s=summary))


def _messages(response: Response) -> list[dict[str, Any]]:
    return [message.wire() for message in response.messages]


def _verdict(rater: Rater, presentation: Presentation) -> dict[str, Any]:
    return {
        "judge": rater.model,
        "constitution_hash": rater.constitution_hash,
        "order": presentation.order,
        "p_a": presentation.p_a,
        "p_tie": presentation.p_tie,
        "sample": presentation.sample,
        "principles": list(presentation.principles),
        "choice_mass": presentation.verdict.choice_mass,
        "votes": presentation.verdict.votes,
        "rationale": presentation.verdict.rationale,
    }


def _in_place(
    scores: tuple[TrajectoryScore, TrajectoryScore] | None, *, a_is_chosen: bool
) -> tuple[TrajectoryScore | None, TrajectoryScore | None]:
    """The scores of the chosen and of the rejected response."""
    if scores is None:
        return None, None
    return scores if a_is_chosen else (scores[1], scores[0])


def _expectation(score: Score | JudgeFailure) -> float | None:
    return None if isinstance(score, JudgeFailure) else score.expectation


def _uses_tools(jsonl: Path) -> bool:
    """Whether a message has more fields than role and content."""
    try:
        with jsonl.open("rb") as stream:
            return any(map(_TOOL_FIELD.search, stream))
    except OSError as error:
        raise UsageError(f"{jsonl}: cannot be read: {error.strerror or error}") from error


def _tables(jsonl: Path, schema: Any) -> Iterator[Any]:
    """The rows as Arrow tables, straight from their bytes: Python objects of them would take several times as long."""
    import pyarrow as pa
    from pyarrow.json import ParseOptions, ReadOptions, read_json

    parse = ParseOptions(schema, unexpected_field_behavior="error")
    with jsonl.open("rb") as stream:
        while lines := stream.readlines(_BLOCK):
            block = b"".join(lines)
            yield read_json(pa.BufferReader(block), ReadOptions(use_threads=False, block_size=len(block)), parse)


def _malformed(jsonl: Path) -> str | None:
    """What is wrong with the first line that is no JSON object; None where all are."""
    rows = read_raw_rows(jsonl)
    return next((f"{place}: {row.reason}" for place, row in rows if isinstance(row, Malformed)), None)


def _schema(*, tools: bool) -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    message = [("role", text), ("content", text)]
    if tools:
        call = pa.struct([("id", text), ("type", text), ("function", pa.struct([("name", text), ("arguments", text)]))])
        message += [("tool_calls", pa.list_(call)), ("tool_call_id", text), ("name", text)]
    messages = pa.list_(pa.struct(message))
    scores = (("score", number), ("steps", pa.list_(number)))
    verdict = pa.struct(
        [
            *((name, text) for name in ("judge", "constitution_hash")),
            *(("order", text), ("p_a", number), ("p_tie", number), ("sample", pa.int64())),
            *(("principles", pa.list_(pa.int64())), ("choice_mass", number), ("votes", pa.int64())),
            ("rationale", text),
        ]
    )
    return pa.schema(
        [
            ("row", pa.int64()),
            *((name, text) for name in ("id", "prompt_id", "cohort", "category")),
            *((name, messages) for name in _MESSAGE_COLUMNS),
            *((name, text) for name in ("chosen_policy", "rejected_policy", "chosen_is")),
            *((name, pa.bool_()) for name in ("chosen_finished", "rejected_finished")),
            *((name, number) for name in ("p_chosen", "p_tie")),
            ("likeliest", text),
            *((name, number) for name in ("uncalibrated_p_chosen", "disagreement")),
            ("rationale", text),
            ("human_p_chosen", number),
            ("selection", text),
            ("selection_probability", number),
            *((name, text) for name in ("judge", "constitution", "constitution_hash", "settings")),
            ("verdicts", pa.list_(verdict)),
            *((f"{name}_{what}", kind) for name in ("chosen", "rejected") for what, kind in scores),
        ]
    )
