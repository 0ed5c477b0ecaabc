"""Writes a file of comparisons for people to label: those that no judge answers, and those that judges dispute most."""

import heapq
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

from preceptor.core.errors import UsageError
from preceptor.core.types import Comparison, Message
from preceptor.store.files import write_rows
from preceptor.store.outcomes import Outcomes
from preceptor.store.preference_row import NO_POLICY, UNSURE, PreferenceRow
from preceptor.store.rows import Malformed, Row, read_raw_rows
from preceptor.store.selection import DISPUTED, Selection, WrongSelectionError, read_selection

FILE = "for_people.jsonl"
PeopleBy: TypeAlias = Literal["dispute", "gain"]
"""What makes a comparison one that people are needed for."""
_MOST = 1.0
"""More than any standard deviation of probabilities."""


def write_for_people(outcomes: Outcomes, path: Path, most: int, by: PeopleBy = "dispute") -> int:
    """Writes the comparisons that people are most needed for, in that order. Those that no judge of a cascade was sure
    enough to answer come before all others, in the order of the data.

    By `dispute`, these are the comparisons on which the judges disagree most. By `gain`, those whose label of people
    would correct most: with a calibrated judge, a label of its own is wrong with the smaller of its two probabilities,
    which a label of people removes. One comparison of each prompt comes before the second of any, since two of one
    prompt teach less than two of different ones.

    Disagreement is the standard deviation of p_a among the judges, or among the presentations of a single judge. Among
    equally disputed comparisons, the one whose preference is nearer to one half comes first, then the one earlier in
    the data. Comparisons that people have labelled are left out. The file does not reveal the judges' verdicts; its
    ids are those of `preferences.jsonl`. Once a column `label` (a, b, tie) or `ratings` is added, `label` and `audit`
    can read the file. The column `selection` marks the rows as disputed, so they do not represent the others.

    Args:
        most: comparisons to write, all of which are held in memory.
        by: what makes a comparison needed.

    Returns: how many were written.
    Raises: UsageError when the existing file holds people's labels, PreceptorError when it cannot be written.
    """
    check_unlabelled(path)
    ranked = _ranked(outcomes) if by == "dispute" else _by_gain(outcomes)
    needed = heapq.nsmallest(most, ranked, key=lambda ranked: ranked[0])
    write_rows(path, [row for _, row in needed])
    return len(needed)


def check_unlabelled(path: Path) -> None:
    """Checks that the file can be replaced without losing labels.

    Raises: UsageError when it contains people's labels or cannot be read.
    """
    if not path.exists():
        return
    for place, row in read_raw_rows(path):
        if isinstance(row, Malformed) or row.get("label") is not None or row.get("ratings") is not None:
            held = row.reason if isinstance(row, Malformed) else "people's labels"
            raise UsageError(f"{place}: {held}; move the file away before a new one is written, or ask for none")


def _ranked(outcomes: Outcomes) -> Iterator[tuple[tuple[float, float, int], Row]]:
    yield from _unsure(outcomes)
    for row in outcomes.preference_rows():
        if row.human_p_chosen is None:
            yield (-row.disagreement, row.p_chosen, row.row), question(row, DISPUTED)


def _unsure(outcomes: Outcomes) -> Iterator[tuple[tuple[float, float, int], Row]]:
    """The comparisons that no judge of a cascade was sure enough to answer, before all others."""
    for failed in outcomes.failure_rows():
        if (comparison := failed.comparison()) is not None and failed.reason == UNSURE:
            yield (-_MOST, 0.5, failed.row), as_question(comparison, None, DISPUTED)


def _by_gain(outcomes: Outcomes) -> Iterator[tuple[tuple[float, float, int], Row]]:
    """Rows by how many of their prompt's are needed more, and by how probably the judge's own label is wrong."""
    best: dict[str, list[tuple[float, int]]] = {}
    for row in outcomes.preference_rows():
        if row.human_p_chosen is None:
            best.setdefault(row.prompt_id, []).append((-_chance_of_error(row), row.row))
    place = {number: rank for listed in best.values() for rank, (_, number) in enumerate(sorted(listed))}
    yield from _unsure(outcomes)
    for row in outcomes.preference_rows():
        if row.human_p_chosen is None:
            yield (float(place[row.row]), -_chance_of_error(row), row.row), question(row, DISPUTED)


def _chance_of_error(row: PreferenceRow) -> float:
    return min(row.p_chosen, 1.0 - row.p_chosen)


def selections(path: Path) -> dict[str, Selection]:
    """How the comparisons of a file for people were chosen, by their ids; empty if there is no such file."""
    by_id: dict[str, Selection] = {}
    for _, row in read_raw_rows(path) if path.is_file() else ():
        if not isinstance(row, Malformed) and "id" in row:
            with suppress(WrongSelectionError):
                by_id[str(row["id"])] = read_selection(row)
    return by_id


def question(row: PreferenceRow, selection: Selection) -> Row:
    """The comparison of a preference row, without the preference, and how it was chosen."""
    return as_question(row.comparison(), row.category, selection)


def as_question(comparison: Comparison, category: str | None, selection: Selection) -> Row:
    """A comparison as a row for people, and how it was chosen."""
    prompt, a, b = comparison.prompt, comparison.a, comparison.b
    columns: Row = {
        "id": comparison.id,
        "prompt": text_or_messages(prompt.conversation, "user"),
        "response_a": text_or_messages(a.messages, "assistant"),
        "response_b": text_or_messages(b.messages, "assistant"),
        "cohort": prompt.cohort,
        "category": category,
        "reference": prompt.reference,
        "metadata": prompt.metadata or None,
        "policy_a": a.policy,
        "policy_b": b.policy,
        **selection.columns,
    }
    return {name: value for name, value in columns.items() if value not in (None, NO_POLICY)}


def text_or_messages(messages: Sequence[Message], role: str) -> Any:
    """The text of a single plain message, which is easier to read; in all other cases the messages."""
    [first, *rest] = (message.wire() for message in messages)
    plain = not rest and first.keys() == {"role", "content"} and first["role"] == role
    return first["content"] if plain else [first, *rest]
