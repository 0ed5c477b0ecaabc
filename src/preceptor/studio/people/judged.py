"""What judges said about the rows of a queue, from the folders of labels and evaluations that hold them."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from threading import Lock
from typing import Any

from preceptor.core.errors import UsageError
from preceptor.store.for_people import text_or_messages
from preceptor.store.outcomes import Outcomes
from preceptor.store.preference_row import PreferenceRow
from preceptor.store.rows import Malformed, read_raw_rows
from preceptor.studio.folders import Library, Work
from preceptor.studio.people.opinions import Item, Opinions, Pair

_AGAIN_S = 30.0
"""A file that grows is read again only when its last reading is this old."""


@dataclass(frozen=True)
class Verdicts:
    """One judge's probabilities for the rows of a queue."""

    judge: str
    """Its model and constitution."""
    work: str
    """The folder's name in the studio."""
    p_a: Mapping[tuple[int, Pair], float]
    """Probability that the first of two responses is better, by item and pair."""


class Judges:
    """Finds judges' verdicts on the rows of queues, and remembers them until a folder changes."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = Lock()
        self._read: dict[tuple[Path, int], tuple[int, int, float, Verdicts | None]] = {}
        """By file and queue: the file's size and the queue's rows at the time, the time, and what was found."""

    def of(self, said: Opinions) -> list[Verdicts]:
        """The judges that were asked about rows of a queue, by folder. A folder without any of them is left out."""
        with self._lock:
            found = [self._verdicts(work, said) for work in self._library.works("labels", "evaluation")]
        return [verdicts for verdicts in found if verdicts is not None]

    def _verdicts(self, work: Work, said: Opinions) -> Verdicts | None:
        file = Outcomes(work.path if work.kind == "labels" else work.path / "judged").preferences
        if not file.is_file():
            return None
        key, state, now = (file, said.queue.id), (file.stat().st_size, len(said.items)), time.monotonic()
        held = self._read.get(key)
        if held is not None and (held[:2] == state or now - held[2] < _AGAIN_S):
            return held[3]
        found = _read(file, work.name, _asked(said))
        self._read[key] = (*state, now, found)
        return found


_Ends = tuple[str, frozenset[str]]
"""The last text of a prompt, and those of two responses."""


@dataclass(frozen=True)
class _Asked:
    """Two responses of a row, as the queue has them."""

    item: int
    pair: Pair
    prompt: Any
    a: Any
    b: Any


def _asked(said: Opinions) -> dict[_Ends, list[_Asked]]:
    """The comparisons of a queue by their ends; control rows are left out."""
    found: dict[_Ends, list[_Asked]] = {}
    for item in said.items.values():
        for asked in _comparisons(item) if item.known is None else ():
            found.setdefault(_ends(asked.prompt, asked.a, asked.b), []).append(asked)
    return found


def _comparisons(item: Item) -> Iterator[_Asked]:
    prompt, responses = item.row.get("prompt"), item.row.get("responses")
    if not isinstance(responses, list):
        yield _Asked(item.id, (0, 1), prompt, item.row.get("response_a"), item.row.get("response_b"))
        return
    for i, j in combinations(range(len(responses)), 2):
        yield _Asked(item.id, (i, j), prompt, responses[i], responses[j])


def _ends(prompt: Any, one: Any, other: Any) -> _Ends:
    """The last texts of a prompt and two responses: a quick way to find the few rows that may be meant."""
    return _end(prompt), frozenset((_end(one), _end(other)))


def _end(said: Any) -> str:
    last: Any = said[-1] if isinstance(said, list) and said else said
    return str(last.get("content")) if isinstance(last, dict) else str(last)


def _read(file: Path, work: str, asked: Mapping[_Ends, list[_Asked]]) -> Verdicts | None:
    """The verdicts on comparisons with the same prompt and responses, whatever their ids."""
    p_a: dict[tuple[int, Pair], float] = {}
    judge = ""
    for place, row in read_raw_rows(file):
        if isinstance(row, Malformed):
            continue
        meant = asked.get(_ends(row.get("prompt"), row.get("chosen"), row.get("rejected")), ())
        if not meant:
            continue
        try:
            judged = PreferenceRow.read(row, place)
        except UsageError:  # a damaged row says nothing
            continue
        judge = judge or ", ".join(filter(None, (judged.judge.partition("#")[0], judged.constitution)))
        values = {(one.item, one.pair): _p_a(judged, one) for one in meant}
        p_a |= {key: value for key, value in values.items() if value is not None}
    return Verdicts(judge or "a judge", work, p_a) if p_a else None


def _p_a(judged: PreferenceRow, asked: _Asked) -> float | None:
    """The judge's probability that the first response is better; None if it judged something else."""
    a, b = (text_or_messages(messages, "assistant") for messages in judged.responses)
    if text_or_messages(judged.prompt, "user") != asked.prompt or (asked.a, asked.b) not in ((a, b), (b, a)):
        return None
    return judged.p_a if (asked.a, asked.b) == (a, b) else 1.0 - judged.p_a
