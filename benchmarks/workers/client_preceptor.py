"""Labelling comparisons with a judge at a server that answers at once: what preceptor adds to a call."""

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import preceptor as pc
from benchmarks.worker import serve
from benchmarks.workers.growth import write_rows
from preceptor.backends.connection import Connection
from preceptor.core.progress import Silence


def prepare(settings: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Labels `comparisons` random comparisons in both orders, with `concurrency` calls in flight at most (None: as many
    as the server answers well), by a judge at `url`.

    Everything that `preceptor label` does is measured: rows read and checked, prompts, calls, the ledger on disk,
    labels and their Parquet file. A unit is a call.
    """
    folder = Path(tempfile.mkdtemp(prefix="client-"))
    rows = write_rows(folder / "rows.jsonl", settings["comparisons"], 2, settings["prompt_tokens"])
    connection = Connection(concurrency=settings["concurrency"])
    judge = pc.Judge(f"openai:{settings['name']}@{settings['url']}", connection=connection)
    number = iter(range(10**9))

    def work() -> dict[str, Any]:
        out, begun = folder / f"labels-{next(number)}", time.process_time()
        labels = pc.label(rows, judges=[judge], out=out, progress=Silence())
        cpu = time.process_time() - begun
        with closing(sqlite3.connect(out / "ledger.sqlite")) as ledger:
            [calls] = ledger.execute("SELECT count(*) FROM calls WHERE NOT failed").fetchone()
        if labels.counts.preferences != settings["comparisons"]:
            raise RuntimeError(f"{labels.counts.preferences} of {settings['comparisons']} comparisons have a label")
        return {"units": calls, "cpu_seconds": cpu}

    return work


if __name__ == "__main__":
    serve(prepare)
