"""Ratings: an answer is on disk before its rater is told so, exactly once however often it is sent."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen
from preceptor.studio.database import Database, now
from preceptor.studio.people.assign import Assignment

Side = Literal["a", "b", "tie"]
LONGEST_REASON = 4000


class Choice(Frozen):
    """An answer about two responses, or none about any row."""

    choice: Literal["a", "b", "tie", "cannot_tell", "skip"]
    """`cannot_tell`: the rater has looked and cannot decide. `skip`: the row goes to somebody else."""


class Ranking(Frozen):
    """An answer about several responses."""

    ranks: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=2)]
    """The rank of each response, in the order of the row; 1 is the best, and equal ranks are ties."""


Answer = Choice | Ranking
_ANSWER: TypeAdapter[Answer] = TypeAdapter(Choice | Ranking)


@dataclass(frozen=True)
class Remarks:
    """What a rater may add to an answer."""

    reason: str = ""
    confidence: int | None = None
    """1 (a guess) to 3 (certain)."""
    flagged: bool = False
    """Whether something is wrong with the row."""
    seconds: float | None = None
    """From showing the row to the answer."""


def record(people: Database, assignment: Assignment, answer: Answer, remarks: Remarks | None = None) -> bool:
    """Stores an answer. When it returns, the answer is on disk.

    Returns: False if the assignment already has an answer, which stays as it is: a form that was sent twice counts
        once.
    Raises: UsageError for an answer that does not fit the row; PreceptorError if it cannot be written.
    """
    _check(assignment, answer)
    remarks = remarks or Remarks()
    if remarks.confidence not in (None, 1, 2, 3):
        raise UsageError(f"confidence {remarks.confidence}: expected 1, 2 or 3")
    try:
        people.write(
            "INSERT INTO ratings (assignment, answer, shown, reason, confidence, flagged, seconds, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            assignment.id,
            answer.model_dump_json(),
            json.dumps(assignment.order),
            remarks.reason[:LONGEST_REASON],
            remarks.confidence,
            int(remarks.flagged),
            remarks.seconds,
            now(),
        )
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorname != "SQLITE_CONSTRAINT_UNIQUE":
            raise
        return False
    return True


def taken_back(people: Database, assignment: int) -> tuple[Answer, Remarks] | None:
    """The answer that a rater last took back for an assignment; None if there is none."""
    record = people.one(
        "SELECT answer, reason, confidence, flagged FROM ratings WHERE assignment = ? AND undone_at IS NOT NULL "
        "ORDER BY id DESC LIMIT 1",
        assignment,
    )
    if record is None:
        return None
    return read_answer(record["answer"]), Remarks(record["reason"], record["confidence"], bool(record["flagged"]))


def read_answer(text: str) -> Answer:
    """An answer as the database stores it."""
    return _ANSWER.validate_json(text)


def undo(people: Database, queue: int, rater: int) -> int | None:
    """Takes back a rater's last rating in a queue; the row is theirs again. It stays in the database, marked as undone.

    Returns: the assignment that is open again; None if there is nothing to take back.
    """
    with people.transaction():
        last = people.one(
            "SELECT ratings.id, assignment FROM ratings JOIN assignments ON assignments.id = assignment "
            "JOIN items ON items.id = item WHERE queue = ? AND rater = ? AND undone_at IS NULL "
            "ORDER BY ratings.id DESC LIMIT 1",
            queue, rater,
        )  # fmt: skip
        if last is None:
            return None
        people.write("UPDATE ratings SET undone_at = ? WHERE id = ?", now(), last["id"])
        return last["assignment"]


def from_screen(assignment: Assignment, choice: str) -> Choice:
    """The answer of somebody who chose "first" or "second" on the screen, "tie", "cannot_tell" or "skip".

    Raises: UsageError for anything else.
    """
    places = {"first": 0, "second": 1}
    if choice in places:
        return Choice(choice="a" if assignment.order[places[choice]] == 0 else "b")
    if choice in ("tie", "cannot_tell", "skip"):
        return Choice(choice=choice)
    raise UsageError(f'the answer "{choice[:40]}" is not one of first, second, tie, cannot_tell, skip')


def on_screen(assignment: Assignment, answer: Answer) -> str | tuple[int, ...]:
    """An answer in terms of the screen: what `from_screen` takes, or the ranks in the order of the screen."""
    if isinstance(answer, Ranking):
        return tuple(answer.ranks[position] for position in assignment.order)
    if answer.choice in ("a", "b"):
        return ("first", "second")[assignment.order.index(0 if answer.choice == "a" else 1)]
    return answer.choice


def ranking_from_screen(assignment: Assignment, ranks: tuple[int, ...]) -> Ranking:
    """The ranking of somebody who gave these ranks to the responses in the order of the screen.

    Raises: UsageError unless there is one rank for each response, from 1 to their number.
    """
    count = len(assignment.order)
    if len(ranks) != count or not all(1 <= rank <= count for rank in ranks):
        raise UsageError(f"expected a rank from 1 to {count} for each of {count} responses")
    by_position = dict(zip(assignment.order, ranks, strict=True))
    return Ranking(ranks=tuple(by_position[position] for position in range(count)))


def _check(assignment: Assignment, answer: Answer) -> None:
    count = len(assignment.order)
    if isinstance(answer, Ranking) and len(answer.ranks) != count:
        raise UsageError(f"expected {count} ranks, got {len(answer.ranks)}")
    if isinstance(answer, Choice) and answer.choice in ("a", "b", "tie") and "responses" in assignment.row:
        raise UsageError("expected a ranking of the responses")
