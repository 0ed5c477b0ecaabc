"""`python -m benchmarks.studio [ROWS]`: how quickly the studio shows a large folder of labels, and the memory it takes.

Makes a folder of that many synthetic rows (100,000 by default), indexes it, and opens pages as a browser would.
"""

import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from starlette.testclient import TestClient

import preceptor as pc
from benchmarks.harness import this_kind
from preceptor.core.types import Message
from preceptor.store.preference_row import PreferenceRow
from preceptor.studio.app import application
from preceptor.studio.context import Studio
from preceptor.studio.database import Database
from preceptor.studio.folders import Library
from preceptor.studio.people.raters import ensure_owner
from preceptor.studio.rows.index import Index

PAGES = {
    "first page": "/rows",
    "most disputed first": "/rows?sort=disputed",
    "filter by cohort and people": "/rows?cohort=cohort+3&human=differs&sort=long",
    "filter by probability": "/rows?p_from=0.45&p_to=0.55",
    "search for one word": "/rows?words=word77",
    "search for two words": "/rows?words=word77+word78",
    "page 1,000": "/rows?page=1000",
    "one row": "/rows/row?of=work%2Flabels&file=preferences.jsonl&line=5&sort=disputed",
}
_TIMES = 5
_TOKEN = "the owner of a benchmark"  # noqa: S105


def main(rows: int) -> None:
    """Measures, and prints a line for each number."""
    with tempfile.TemporaryDirectory() as folder:
        work, data = Path(folder) / "work", Path(folder) / "studio"
        data.mkdir()
        size = make(work / "labels", rows)
        print(f"{rows:,} rows, {size / 1e6:.0f} MB, {this_kind()}")
        studio = Studio(Library([work]), Database(data / "people.sqlite"), data)
        ensure_owner(studio.people, _TOKEN)
        seconds = timed(Index(data / "index.sqlite", studio.library).finish)
        print(
            f"indexed once, in the background: {seconds:.1f} s, {(data / 'index.sqlite').stat().st_size / 1e6:.0f} MB"
        )
        browser = TestClient(application(studio), base_url="http://127.0.0.1")
        browser.get(f"/enter/{_TOKEN}")
        for name, path in PAGES.items():
            taken = [timed(lambda path=path: browser.get(path).raise_for_status()) for _ in range(_TIMES)]
            print(f"{name}: {1000 * median(taken):.0f} ms")
        print(f"export of one cohort: {timed(lambda: browser.get('/rows/export?cohort=cohort+3')):.1f} s")
        print(f"memory at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")
        studio.people.close()


def make(folder: Path, rows: int) -> int:
    """A folder of labels with synthetic rows. Returns the size of its file in bytes."""
    first = [{"id": "x0", "prompt": "q", "response_a": "a", "response_b": "b"}]
    [example] = list(pc.label(first, judges="scripted:random", out=folder))
    draw = random.Random(0)  # noqa: S311  synthetic rows
    words = [f"word{i}" for i in range(5000)]
    path = folder / "preferences.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            stream.write(json.dumps(_row(example, number, draw, words).wire()) + "\n")
    return path.stat().st_size


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _row(example: PreferenceRow, number: int, draw: random.Random, words: list[str]) -> PreferenceRow:
    def text(role: str, count: int) -> tuple[Message, ...]:
        return (Message.model_validate({"role": role, "content": " ".join(draw.choices(words, k=count))}),)

    p_a = draw.random()
    return example.model_copy(
        update={
            "row": number,
            "id": f"x{number}",
            "prompt_id": f"p{number}",
            "cohort": f"cohort {number % 7}",
            "prompt": text("user", 20),
            "chosen": text("assistant", draw.randrange(10, 120)),
            "rejected": text("assistant", draw.randrange(10, 120)),
            "chosen_is": "a" if p_a >= 0.5 else "b",
            "p_chosen": max(p_a, 1 - p_a),
            "disagreement": draw.random() / 4,
            "human_p_chosen": draw.choice([None, None, None, 0.0, 1.0, 0.5]),
        }
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
