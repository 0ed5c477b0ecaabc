"""Preference datasets: rows that TRL trains on as they are, in JSON lines and Parquet, with a dataset card."""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from preceptor.core.errors import PreceptorError
from preceptor.core.hashing import canonical_json
from preceptor.core.types import JudgeFailure, Message, Preference, Presentation, Response
from preceptor.store.comparisons import ComparisonRow
from preceptor.store.files import write_text, writing
from preceptor.store.rows import Malformed, read_raw_rows

_BATCH = 256
_MESSAGE_COLUMNS = ("prompt", "chosen", "rejected")


StepScores = list[float | None]
"""Expected score of each step of a trajectory, 1 to 10; None where the judge failed on it."""


def preference_row(
    number: int, row: ComparisonRow, preference: Preference, steps: tuple[StepScores, StepScores] | None = None
) -> dict[str, Any]:
    """The row of a preference dataset: what TRL trains on, and all that is known of how the label came about.

    Args:
        number: the number of the outcome, see `Outcomes`.
        steps: scores of the steps of responses a and b, where they are trajectories that were judged so.
    """
    comparison, rater, human = preference.comparison, preference.rater, row.human
    a_is_chosen = preference.p_a >= 0.5
    chosen, rejected = (comparison.a, comparison.b) if a_is_chosen else (comparison.b, comparison.a)
    human_p_chosen = None if human is None else human.p_a if a_is_chosen else 1.0 - human.p_a
    return {
        "row": number,
        "id": comparison.id,
        "prompt_id": comparison.prompt.id,
        "cohort": comparison.prompt.cohort,
        "category": row.category,
        "prompt": [message.wire() for message in comparison.prompt.conversation],
        "chosen": _messages(chosen),
        "rejected": _messages(rejected),
        "chosen_is": "a" if a_is_chosen else "b",
        "p_chosen": max(preference.p_a, 1.0 - preference.p_a),
        "p_tie": preference.p_tie,
        "disagreement": preference.disagreement,
        "rationale": next((p.verdict.rationale for p in preference.presentations if p.verdict.rationale), ""),
        "human_p_chosen": human_p_chosen,
        "judge": rater.model,
        "constitution": rater.constitution,
        "constitution_hash": rater.constitution_hash,
        "settings": canonical_json(rater.settings),
        "chosen_steps": steps and (steps[0] if a_is_chosen else steps[1]),
        "rejected_steps": steps and (steps[1] if a_is_chosen else steps[0]),
        "verdicts": [_verdict(presentation) for presentation in preference.presentations],
    }


def failure_row(number: int, row: ComparisonRow | Malformed, failures: Sequence[JudgeFailure] = ()) -> dict[str, Any]:
    """The row of `failures.jsonl`: why there is no preference. A malformed row has the reason `malformed`."""
    if isinstance(row, Malformed):
        found = [{"reason": "malformed", "detail": row.reason}]
    else:
        found = [failure.model_dump(mode="json") for failure in failures]
    comparison_id = row.comparison.id if isinstance(row, ComparisonRow) else None
    return {"row": number, "place": row.place, "id": comparison_id, "failures": found}


def write_parquet(jsonl: Path, parquet: Path) -> None:
    """Converts a file of preference rows, a batch at a time. The Parquet file is there whole or not at all.

    Messages are structs of role and content; where any row has tool calls or their results, of all fields a message
    can have.

    Raises: UsageError when the JSON lines cannot be read, PreceptorError when a row is no preference row or the file
        cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(tools=any(_uses_tools(row) for row in _rows(jsonl)))
    rows = _rows(jsonl)
    partial = parquet.with_name(parquet.name + ".partial")
    with writing(parquet):
        try:
            with partial.open("wb") as stream:
                with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
                    while batch := list(islice(rows, _BATCH)):
                        writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(parquet)
        except pa.ArrowException as error:
            raise PreceptorError(f"{jsonl}: a row does not fit the columns of a preference dataset: {error}") from error
        finally:
            partial.unlink(missing_ok=True)


def write_card(folder: Path, summary: dict[str, Any]) -> None:
    """Writes `README.md`, the dataset card, which makes `preferences.parquet` the training split.

    Args:
        summary: `judges` (identities), `constitutions` (each with name, version, hash, summary), `counts` (preferences,
            failures, malformed) and `environment` (preceptor: its version).
    """
    environment = Environment(
        loader=PackageLoader("preceptor.store", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    write_text(folder / "README.md", environment.get_template("dataset_card.md.jinja").render(s=summary))


def _messages(response: Response) -> list[dict[str, Any]]:
    messages = response.trajectory or (Message(role="assistant", content=response.text),)
    return [message.wire() for message in messages]


def _verdict(presentation: Presentation) -> dict[str, Any]:
    return {
        "order": presentation.order,
        "p_a": presentation.p_a,
        "p_tie": presentation.p_tie,
        "sample": presentation.sample,
        "principles": list(presentation.principles),
        "choice_mass": presentation.verdict.choice_mass,
        "votes": presentation.verdict.votes,
        "rationale": presentation.verdict.rationale,
    }


def _rows(jsonl: Path) -> Iterator[dict[str, Any]]:
    for place, row in read_raw_rows(jsonl):
        if isinstance(row, Malformed):
            raise PreceptorError(f"{place}: {row.reason}")
        yield row


def _uses_tools(row: dict[str, Any]) -> bool:
    return any(message.keys() - {"role", "content"} for column in _MESSAGE_COLUMNS for message in row.get(column, []))


def _schema(*, tools: bool) -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    message = [("role", text), ("content", text)]
    if tools:
        call = pa.struct([("id", text), ("type", text), ("function", pa.struct([("name", text), ("arguments", text)]))])
        message += [("tool_calls", pa.list_(call)), ("tool_call_id", text), ("name", text)]
    messages = pa.list_(pa.struct(message))
    verdict = pa.struct(
        [
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
            ("chosen_is", text),
            *((name, number) for name in ("p_chosen", "p_tie", "disagreement")),
            ("rationale", text),
            ("human_p_chosen", number),
            *((name, text) for name in ("judge", "constitution", "constitution_hash", "settings")),
            *((name, pa.list_(number)) for name in ("chosen_steps", "rejected_steps")),
            ("verdicts", pa.list_(verdict)),
        ]
    )
