"""People's rows as files that `audit`, `estimate`, `agreement`, `train reward` and recipes read.

A row is written once anybody has an opinion on it. Repeated and control rows measure raters and are not people's
labels; "cannot tell" is no opinion, and above all no tie.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.store.files import write_rows
from preceptor.store.rows import Malformed, Row, read_raw_rows
from preceptor.studio.database import Database
from preceptor.studio.people.opinions import Item, Opinions, Rating, opinions_of
from preceptor.studio.people.queues import Queue, queues
from preceptor.studio.people.ratings import Choice, Ranking

_LONGEST_NAME = 40
_WRITTEN = "raters"
"""A column of every exported row, by which a file of an earlier export is recognised."""


def exported_rows(said: Opinions) -> list[Row]:
    """The comparisons that people have an opinion on: the queue's own columns, `ratings` and who gave them. Rows of
    several responses become all their pairs, with the ids under which they are read from a row with `responses`.
    """
    share = asked_share(said)
    return [row for item, ratings in said.of_rows() for row in _pairs(item, ratings, share)]


def exported_rankings(said: Opinions) -> list[Row]:
    """The rows with several responses that people ranked, with everybody's `rankings`; empty for comparisons."""
    share = asked_share(said)
    rows: list[Row] = []
    for item, ratings in said.of_rows():
        ranked = [rating for rating in ratings if isinstance(rating.answer, Ranking)]
        ranks = [[*rating.answer.ranks] for rating in ranked if isinstance(rating.answer, Ranking)]
        if ranks:
            rows.append(_question(item, share) | {"rankings": ranks} | _about(ranked, ratings))
    return rows


def asked_share(said: Opinions) -> float:
    """The share of the planned rows that anybody was asked about.

    A queue asks for its planned rows in random order, or in the order of a plan with equal probabilities. So while it
    is unfinished, the probability that a row was asked about is that of the plan times this share.
    """
    planned = [item for item in said.items.values() if item.known is None and item.row.get("selection") == "planned"]
    return sum(item.asked for item in planned) / len(planned) if planned else 1.0


def file_name(people: Database, queue: Queue) -> str:
    """The name of a queue's files, without an ending: its own name where file systems allow it. A queue whose name
    would become the same as an older one's has its number behind it.
    """
    name = _plain(queue.name)
    older = any(other.id < queue.id and _plain(other.name) == name for other in queues(people))
    return f"{name}--{queue.id}" if older else name


def write_exports(said: Opinions, folder: Path, name: str) -> list[Path]:
    """Writes `NAME.jsonl`, and `NAME.rankings.jsonl` for rankings, atomically into an existing folder.

    Returns: the files.
    Raises: PreceptorError when they cannot be written; the old ones then stay.
    """
    files = [(folder / f"{name}.jsonl", exported_rows(said))]
    if said.queue.kind == "rank":
        files.append((folder / f"{name}.rankings.jsonl", exported_rankings(said)))
    for path, rows in files:
        write_rows(path, rows)
    return [path for path, _ in files]


def write_beside(said: Opinions, folder: Path, name: str) -> list[Path]:
    """Writes the same files into the folder that the rows are from, as `people-NAME.jsonl`.

    Raises: UsageError if the folder has another file of this name; PreceptorError when it cannot be written.
    """
    for ending in ("jsonl", "rankings.jsonl"):
        path = folder / f"people-{name}.{ending}"
        for place, row in read_raw_rows(path) if path.exists() else ():
            if isinstance(row, Malformed) or _WRITTEN not in row:
                raise UsageError(f"{place}: the studio did not write this file; move it away, or download the rows")
    return write_exports(said, folder, f"people-{name}")


def _pairs(item: Item, ratings: Sequence[Rating], share: float) -> Iterator[Row]:
    responses = item.row.get("responses")
    question = _question(item, share)
    if not isinstance(responses, list):
        yield from _rated(question, ratings, (0, 1))
        return
    policies = item.row.get("policies")
    names = policies if isinstance(policies, list) else [None] * len(responses)
    common = {name: value for name, value in question.items() if name not in ("responses", "policies")}
    for i, j in combinations(range(len(responses)), 2):
        pair = {"id": f"{item.row['id']}-{i}-{j}", "response_a": responses[i], "response_b": responses[j]}
        by = {"policy_a": names[i], "policy_b": names[j]} if names[i] and names[j] else {}
        yield from _rated(common | pair | by, ratings, (i, j))


def _rated(question: Row, ratings: Sequence[Rating], pair: tuple[int, int]) -> Iterator[Row]:
    """The row, if anybody has an opinion on it."""
    held = [rating for rating in ratings if pair in opinions_of(rating.answer)]
    if held:
        said = {"ratings": [opinions_of(rating.answer)[pair] for rating in held]}
        yield question | said | _about(held, ratings)


def _about(held: Sequence[Rating], ratings: Sequence[Rating]) -> Row:
    """Who gave the opinions, and what else people said about the row."""
    return {
        _WRITTEN: [rating.name for rating in held],
        "confidence": [rating.confidence for rating in held],
        "cannot_tell": sum(rating.answer == Choice(choice="cannot_tell") for rating in ratings),
        "flags": sum(rating.flagged for rating in ratings),
        "reasons": [{"rater": rating.name, "reason": rating.reason} for rating in ratings if rating.reason],
    }


def _question(item: Item, share: float) -> Row:
    probability = item.row.get("selection_probability")
    if share == 1.0 or not isinstance(probability, float | int):
        return dict(item.row)
    return {**item.row, "selection_probability": round(probability * share, 9)}


def _plain(name: str) -> str:
    """A name in lower case, of letters, digits and hyphens."""
    return re.sub(r"[\W_]+", "-", name.lower()).strip("-")[:_LONGEST_NAME] or "queue"
