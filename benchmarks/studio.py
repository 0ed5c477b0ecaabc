"""`python -m benchmarks.studio [ROWS]`: how quickly the studio shows a large folder of labels, and the memory it takes.

Makes a folder of that many synthetic rows (100,000 by default), opens pages while it is indexed and afterwards, as a
browser would, and exports all rows.
"""

import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from statistics import median

from starlette.testclient import TestClient

import preceptor as pc
from benchmarks.__main__ import machine
from preceptor.core.types import Message
from preceptor.store.preference_row import PreferenceRow
from preceptor.studio.app import application
from preceptor.studio.context import Studio
from preceptor.studio.database import Database
from preceptor.studio.folders import Library
from preceptor.studio.people.raters import ensure_owner

PAGES = {
    "first page": "/rows",
    "page 1,000": "/rows?page=1000",
    "page 1,000, most disputed first": "/rows?page=1000&sort=-disagreement",
    "filter by cohort and people, longest first": "/rows?cohort=cohort+3&people=differ&sort=-length",
    "filter by probability": "/rows?p_from=0.5&p_to=0.55",
    "filter by position, by cohort": "/rows?flip=yes&sort=cohort",
    "search for a rare word": "/rows?words=word4977",
    "search for a word in half of the rows": "/rows?words=word0",
    "search for a beginning that 111 words have": "/rows?words=word49*&sort=-p",
    "search for a beginning that 1,111 words have": "/rows?words=word1*&sort=-p",
    "search for a beginning that all words have": "/rows?words=w*&sort=-p",
    "search for the most frequent phrase": "/rows?words=%22word0+word0%22&sort=-p",
    "search for five frequent phrases": "/rows?words=%22word0+word1%22+%22word1+word0%22+%22word0+word0%22"
    "+%22word0+word2%22+%22word2+word0%22",
    "one row, neighbours within a search": "/rows/row?of=work%2Flabels&id=x5&words=%22word0+word1%22+word1*&sort=-p",
    "one row, neighbours by disagreement": "/rows/row?of=work%2Flabels&id=x5&sort=-disagreement",
    "calls of a row": "/rows/calls?of=work%2Flabels&id=x5",
}
_TIMES = 5
_TOKEN = "the owner of a benchmark"  # noqa: S105


def main(rows: int) -> None:
    """Measures, and prints a line for each number."""
    with tempfile.TemporaryDirectory() as folder:
        work, data = Path(folder) / "work", Path(folder) / "studio"
        data.mkdir()
        size = make(work / "labels", rows)
        facts = machine()
        print(f"{rows:,} rows, {size / 1e6:.0f} MB; {facts['cpu']}, {facts['cores']} cores, load {facts['load']}")
        studio = Studio(Library([work]), Database(data / "people.sqlite"), data)
        ensure_owner(studio.people, _TOKEN)
        browser, index = TestClient(application(studio), base_url="http://127.0.0.1"), studio.index
        browser.get(f"/enter/{_TOKEN}")
        print(f"memory before: {_memory():.0f} MB")
        begun, cpu = time.perf_counter(), time.process_time()
        index.refresh()
        while_indexing: list[float] = []
        while index.progress().running:
            while_indexing.append(timed(lambda: browser.get("/rows").raise_for_status()))
            time.sleep(0.5)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        megabytes = (data / "index.sqlite").stat().st_size / 1e6
        print(f"indexed in {seconds:.1f} s, {cpu:.1f} s of CPU: {megabytes:.0f} MB; memory at most {_memory():.0f} MB")
        print(f"first page meanwhile: {_milliseconds(while_indexing)}")
        print(f"nothing new, looked at again: {1000 * timed(index.update):.0f} ms")
        for name, path in PAGES.items():
            begun = time.process_time()
            taken = [timed(lambda path=path: browser.get(path).raise_for_status()) for _ in range(_TIMES)]
            of_cpu = 1000 * (time.process_time() - begun) / _TIMES
            print(f"{name}: {_milliseconds(taken)}; {of_cpu:.0f} ms of CPU")
        cpu = time.process_time()
        print(f"export of all rows: {timed(lambda: _export(browser)):.1f} s, {time.process_time() - cpu:.1f} s of CPU")
        print(f"memory at most: {_memory():.0f} MB")
        studio.people.close()


def _export(browser: TestClient) -> None:
    with browser.stream("GET", "/rows/export") as response:
        for _ in response.iter_bytes():
            pass


def _memory() -> float:
    """The most memory that this process had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _milliseconds(seconds: list[float]) -> str:
    return f"{1000 * median(seconds):.0f} ms, at most {1000 * max(seconds):.0f} ms"


def make(folder: Path, rows: int) -> int:
    """A folder of labels with synthetic rows, whose words are as unequally frequent as those of a language. Returns the
    size of its file in bytes.
    """
    first = [{"id": "x0", "prompt": "q", "response_a": "a", "response_b": "b"}]
    [example] = list(pc.label(first, judges="scripted:random", out=folder))
    draw = random.Random(0)  # noqa: S311  synthetic rows
    words = Words(draw)
    path = folder / "preferences.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            stream.write(json.dumps(_row(example, number, words).wire()) + "\n")
    return path.stat().st_size


class Words:
    """Draws words; the n-th most frequent is drawn in proportion to 1/n."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self._words = [f"word{i}" for i in range(5000)]
        self._cumulative = list(accumulate(1 / (i + 1) for i in range(5000)))

    def text(self, role: str, count: int) -> tuple[Message, ...]:
        """A message of that many words."""
        content = " ".join(self.draw.choices(self._words, cum_weights=self._cumulative, k=count))
        return (Message.model_validate({"role": role, "content": content}),)


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _row(example: PreferenceRow, number: int, words: Words) -> PreferenceRow:
    draw, both = words.draw, words.draw.random()
    orders = (both, min(1.0, max(0.0, both + draw.gauss(0, 0.3))))
    p_a = sum(orders) / 2
    verdicts = [v.model_copy(update={"p_a": p}) for v, p in zip(example.verdicts, orders, strict=True)]
    return example.model_copy(
        update={
            "row": number,
            "id": f"x{number}",
            "prompt_id": f"p{number}",
            "cohort": f"cohort {number % 7}",
            "prompt": words.text("user", 20),
            "chosen": words.text("assistant", draw.randrange(10, 120)),
            "rejected": words.text("assistant", draw.randrange(10, 120)),
            "chosen_is": "a" if p_a >= 0.5 else "b",
            "p_chosen": max(p_a, 1 - p_a),
            "disagreement": abs(orders[0] - orders[1]) / 2,
            "human_p_chosen": draw.choice([None, None, None, 0.0, 1.0, 0.5]),
            "verdicts": tuple(verdicts),
            "rationale": words.text("assistant", 30)[0].content,
        }
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
