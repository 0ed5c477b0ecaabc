"""What judges said about the rows of a queue, from the folders of labels and evaluations that hold them."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from threading import Lock
from typing import Any

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


_Asked = tuple[int, Pair, Any, Any]
"""Item, pair, and both responses as the queue's row has them."""


def _asked(said: Opinions) -> dict[str, _Asked]:
    """The comparisons of a queue by id; control rows are left out."""
    items = (item for item in said.items.values() if item.known is None)
    return {name: asked for item in items for name, asked in _comparisons(item)}


def _comparisons(item: Item) -> Iterator[tuple[str, _Asked]]:
    name, responses = str(item.row["id"]), item.row.get("responses")
    if not isinstance(responses, list):
        yield name, (item.id, (0, 1), item.row.get("response_a"), item.row.get("response_b"))
        return
    for i, j in combinations(range(len(responses)), 2):
        yield f"{name}-{i}-{j}", (item.id, (i, j), responses[i], responses[j])


def _read(file: Path, work: str, asked: Mapping[str, _Asked]) -> Verdicts | None:
    p_a: dict[tuple[int, Pair], float] = {}
    judge = ""
    for place, row in read_raw_rows(file):
        if isinstance(row, Malformed) or row.get("id") not in asked:
            continue
        judged = PreferenceRow.read(row, place)
        item, pair, *shown = asked[judged.id]
        responses = [text_or_messages(messages, "assistant") for messages in judged.responses]
        if shown in (responses, responses[::-1]):
            p_a[item, pair] = judged.p_a if shown == responses else 1.0 - judged.p_a
            judge = judge or ", ".join(filter(None, (judged.judge.partition("#")[0], judged.constitution)))
    return Verdicts(judge or "a judge", work, p_a) if p_a else None
