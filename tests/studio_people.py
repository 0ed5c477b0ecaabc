"""People who rate in tests of the studio, without pages."""

from collections.abc import Callable, Mapping

from preceptor.core.types import JsonObject
from preceptor.studio.database import Database
from preceptor.studio.people import assign, ratings
from preceptor.studio.people.queues import Queue
from preceptor.studio.people.raters import invite, raters
from preceptor.studio.people.ratings import Answer, Choice, Ranking, Remarks

Answers = Mapping[str, str | tuple[int, ...]]
"""By a row's id: a, b, tie, cannot_tell, skip, or ranks; with `*` behind the id for a repeated row."""


def rater_of(people: Database, name: str) -> int:
    """The id of a rater, who is invited if need be."""
    known = {record["name"]: record["id"] for record in raters(people)}
    if name not in known:
        invite(people, name)
    return known.get(name) or rater_of(people, name)


def rate(people: Database, queue: Queue, name: str, answers: Answers, remarks: Remarks | None = None) -> list[str]:
    """Rates rows for as long as there is an answer for the next one. Returns their ids."""
    said: list[str] = []
    rater = rater_of(people, name)
    while (row := assign.next_row(people, queue, rater)) is not None:
        key = str(row.row["id"]) + ("*" if row.repeat else "")
        if key not in answers:
            break
        assert ratings.record(people, row, answer(answers[key]), remarks)
        said.append(key)
    return said


def rate_all(people: Database, queue: Queue, name: str, choose: Callable[[JsonObject], str]) -> int:
    """Rates every row that the rater gets. Returns how many."""
    rater, count = rater_of(people, name), 0
    while (row := assign.next_row(people, queue, rater)) is not None:
        assert ratings.record(people, row, answer(choose(row.row)))
        count += 1
    return count


def answer(given: str | tuple[int, ...]) -> Answer:
    """A rating in the order of the row."""
    return Choice.model_validate({"choice": given}) if isinstance(given, str) else Ranking(ranks=given)
