"""Which comparisons people should label: those on which the judges disagree, as a file that is ready for a label."""

import heapq
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from preceptor.core.errors import UsageError
from preceptor.core.types import Response
from preceptor.store.files import write_rows
from preceptor.store.outcomes import Outcomes
from preceptor.store.rows import Malformed, Row, read_raw_rows
from preceptor.store.selection import DISPUTED, Selection, WrongSelectionError, read_selection

FILE = "for_people.jsonl"
_NO_POLICY = Response.model_fields["policy"].default


def write_for_people(outcomes: Outcomes, path: Path, most: int) -> int:
    """Writes the comparisons on which the judges disagree most, the most disputed first.

    Disagreement is the standard deviation of p_a among the judges, or among the presentations of a single one. Between
    equals the one whose preference is nearer to one half comes first, then the one earlier in the data. Comparisons
    that people labelled already are left out. Nothing in the file tells what the judges think; `id` is that of
    `preferences.jsonl`. It is what `label` and `audit` read, once a column `label` (a, b, tie) or `ratings` is added.
    `selection` says that the rows are disputed ones, which are no sample of the rest.

    Args:
        most: comparisons to write. Memory holds so many.

    Returns: how many were written.
    Raises: UsageError when the file there holds labels of people, PreceptorError when it cannot be written.
    """
    check_unlabelled(path)
    disputed = heapq.nsmallest(most, _ranked(outcomes), key=lambda ranked: ranked[0])
    write_rows(path, [row for _, row in disputed])
    return len(disputed)


def check_unlabelled(path: Path) -> None:
    """Checks that rewriting the file loses no labels.

    Raises: UsageError when people's labels are in it, or it cannot be read.
    """
    if not path.exists():
        return
    for place, row in read_raw_rows(path):
        if isinstance(row, Malformed) or row.get("label") is not None or row.get("ratings") is not None:
            held = row.reason if isinstance(row, Malformed) else "people's labels"
            raise UsageError(f"{place}: {held}; move the file away before it is written anew, or ask for none")


def _ranked(outcomes: Outcomes) -> Iterator[tuple[tuple[float, float, int], Row]]:
    for row in outcomes.kept():
        if row["human_p_chosen"] is None:
            yield (-row["disagreement"], row["p_chosen"], row["row"]), question(row, DISPUTED)


def selections(path: Path) -> dict[str, Selection]:
    """How the comparisons of a file for people were chosen, by their ids; nothing where there is no such file."""
    found: dict[str, Selection] = {}
    for _, row in read_raw_rows(path) if path.is_file() else ():
        if not isinstance(row, Malformed) and "id" in row:
            with suppress(WrongSelectionError):
                found[str(row["id"])] = read_selection(row)
    return found


def question(row: Row, selection: Selection) -> Row:
    """The comparison of a preference row, without the preference, and how it was chosen."""
    a, b = ("chosen", "rejected") if row["chosen_is"] == "a" else ("rejected", "chosen")
    columns: Row = {
        "id": row["id"],
        "prompt": _text_or_messages(row["prompt"], "user"),
        "response_a": _text_or_messages(row[a], "assistant"),
        "response_b": _text_or_messages(row[b], "assistant"),
        "cohort": row["cohort"],
        "category": row["category"],
        **{f"policy_{place}": row[f"{of}_policy"] for place, of in (("a", a), ("b", b))},
        **selection.columns,
    }
    return {name: value for name, value in columns.items() if value not in (None, _NO_POLICY)}


def _text_or_messages(messages: list[dict[str, Any]], role: str) -> Any:
    """The text of a single plain message, which is easier to read; all messages where there is more to them."""
    [first, *rest] = messages
    return messages if rest or first.keys() != {"role", "content"} or first["role"] != role else first["content"]
