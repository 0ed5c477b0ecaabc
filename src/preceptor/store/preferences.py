"""Preference datasets: rows that TRL trains on as they are, in JSON lines and Parquet, with a dataset card."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.raters import ConstitutionFacts
from preceptor.core.types import Frozen
from preceptor.store.files import write_text, writing
from preceptor.store.rows import Malformed, read_raw_rows

BLOCK_BYTES = 1 << 22
"""Approximate bytes of JSON lines that are converted at once and become a row group."""
_MESSAGE_COLUMNS = ("prompt", "chosen", "rejected")
_RUBRIC_FIELD = re.compile(rb'"rubric_hash"\s*:')
_THOUGHT_FIELD = re.compile(rb'"chosen_thought"\s*:')
_OFFERED_FIELD = re.compile(rb'"tools"\s*:')
_TOOL_FIELD = re.compile(rb'"(?:tool_calls|tool_call_id|name)"\s*:')
"""A key that occurs only in messages: inside a text, its quotation marks would be escaped."""


class DatasetCard(Frozen):
    """What the card of a preference dataset says."""

    version: str
    """Of preceptor."""
    judges: tuple[str, ...]
    """Identities of the judges' models."""
    constitutions: tuple[ConstitutionFacts, ...]
    rubrics: bool = False
    """Whether a judge went by the rubrics of the prompts."""
    warnings: tuple[str, ...] = ()
    """Reasons to doubt the judges, each a sentence without its full stop."""
    preferences: int
    failures: int
    """Comparisons without a preference."""
    malformed: int
    likeliest_ties: int = 0
    undecided: int = 0
    for_people: int | None = None
    """Comparisons for people to label; None where none were asked for."""


def write_parquet(jsonl: Path, parquet: Path, block_bytes: int = BLOCK_BYTES) -> None:
    """Converts a file of preference rows, a batch at a time. The Parquet file is complete or absent.

    Messages are structs of role and content, or of all fields of a message if any row has tool calls or their results.

    Args:
        block_bytes: whole JSON lines of about this many bytes are converted at a time.

    Raises: UsageError when the JSON lines cannot be read, PreceptorError when a row is not a preference row or the
        file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(
        calls=_has(jsonl, _TOOL_FIELD),
        rubrics=_has(jsonl, _RUBRIC_FIELD),
        thoughts=_has(jsonl, _THOUGHT_FIELD),
        tools=_has(jsonl, _OFFERED_FIELD),
    )
    partial = parquet.with_name(parquet.name + ".partial")
    with writing(parquet):
        try:
            with partial.open("wb") as stream:
                with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
                    for table in _tables(jsonl, schema, block_bytes):
                        writer.write_table(table)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(parquet)
        except pa.ArrowException as error:
            fault = _malformed(jsonl) or f"{jsonl}: a row does not fit the columns of a preference dataset: {error}"
            raise PreceptorError(fault) from error
        finally:
            partial.unlink(missing_ok=True)


def write_card(folder: Path, card: DatasetCard) -> None:
    """Writes `README.md`, the dataset card, which makes `preferences.parquet` the training split."""
    from preceptor.store.documents import document

    write_text(folder / "README.md", document("preceptor.store", "dataset_card.md.jinja", card=card))


def _has(jsonl: Path, field: re.Pattern[bytes]) -> bool:
    """Whether a row has a field that most files lack."""
    try:
        with jsonl.open("rb") as stream:
            return any(map(field.search, stream))
    except OSError as error:
        raise UsageError(f"{jsonl}: cannot be read: {error.strerror or error}") from error


def _tables(jsonl: Path, schema: Any, block_bytes: int) -> Iterator[Any]:
    """The rows as Arrow tables, parsed directly from bytes: Python objects would take several times as long."""
    import pyarrow as pa
    from pyarrow.json import ParseOptions, ReadOptions, read_json

    parse = ParseOptions(schema, unexpected_field_behavior="error")
    with jsonl.open("rb") as stream:
        while lines := stream.readlines(block_bytes):
            block = b"".join(lines)
            yield read_json(pa.BufferReader(block), ReadOptions(use_threads=False, block_size=len(block)), parse)


def _malformed(jsonl: Path) -> str | None:
    """What is wrong with the first line that is not a JSON object; None if all lines are."""
    rows = read_raw_rows(jsonl)
    return next((f"{place}: {row.reason}" for place, row in rows if isinstance(row, Malformed)), None)


def _schema(*, calls: bool, rubrics: bool, thoughts: bool, tools: bool) -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    message = [("role", text), ("content", text)]
    if calls:
        call = pa.struct([("id", text), ("type", text), ("function", pa.struct([("name", text), ("arguments", text)]))])
        message += [("tool_calls", pa.list_(call)), ("tool_call_id", text), ("name", text)]
    messages = pa.list_(pa.struct(message))
    scores = (("score", number), ("steps", pa.list_(number)))
    by_rubric = [("rubric_hash", text), ("rubric_score", number), ("items", pa.list_(number))]
    verdict = pa.struct(
        [
            *((name, text) for name in ("judge", "constitution_hash")),
            *(("order", text), ("p_a", number), ("p_tie", number), ("sample", pa.int64())),
            *(("principles", pa.list_(pa.int64())), ("choice_mass", number), ("votes", pa.int64())),
            ("rationale", text),
            *(by_rubric if rubrics else []),
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
            *((name, text) for name in ("chosen_thought", "rejected_thought") if thoughts),
            *([("tools", text)] if tools else []),
        ]
    )
