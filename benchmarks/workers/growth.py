"""Labelling with a model that answers instantly, so that only preceptor's own work is measured."""

import json
import linecache
import random
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import preceptor
from benchmarks.worker import serve
from benchmarks.workers.words import random_text
from preceptor.backends.base import FREE, Admission, ChoiceLogProbs, ChooseRequest, Indexed
from preceptor.core.progress import Silence
from preceptor.core.types import Conversation, JudgeFailure, Usage
from preceptor.tasks import label as recipe
from preceptor.tasks import label_job

PACKAGE = str(Path(preceptor.__file__).parent) + "/"
WARM_UP = 100
"""Comparisons labelled before measuring starts; imports at the first one belong to the case `startup`."""
RESPONSE_TOKENS = 100
TICK = 0.001
"""Seconds between two samples of the call stack."""
KINDS = {"json": "JSON", "pydantic": "pydantic", "pyarrow": "pyarrow", "pandas": "pandas", "copy.py": "copies"}
"""Libraries that are shown separately inside a function, by the name of one of their folders or files."""
WAITS = ("COMMIT", "fsync")
"""Waits for the disk, by the text of the line that waits."""


class InstantModel:
    """A `LanguageModel` with fixed answers that stores nothing."""

    identity = "instant"
    chat = prefill = True
    context_window = None
    price = FREE
    concurrency = 32
    answers = (ChoiceLogProbs((-0.2, -1.8), Usage(prompt_tokens=1)), ChoiceLogProbs((-1.1, -0.5), Usage()))

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once

    def count_tokens(self, prompt: str | Conversation) -> int:
        """Zero: nothing depends on it here."""
        return 0

    def choose(
        self, requests: Sequence[ChooseRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[ChoiceLogProbs | JudgeFailure]]:
        """The answers, `at_once` at a time."""
        for start in range(0, len(requests), self._at_once):
            stop = min(start + self._at_once, len(requests))
            yield [(i, self.answers[i % 2]) for i in range(start, stop)]

    def complete(self, requests: Sequence[Any], admission: Admission | None = None) -> Iterator[Any]:
        """Not used here."""
        raise NotImplementedError


class Sampler:
    """Samples the call stack every millisecond. The time since the last sample goes to the innermost function of
    preceptor and the library that it called, so long calls count in full.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._last = 0.0

    def __enter__(self) -> "Sampler":
        signal.signal(signal.SIGALRM, self._look)
        self._last = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _look(self, _signal: int, frame: FrameType | None) -> None:
        now = time.perf_counter()
        self.seconds[place_of(frame)] += now - self._last
        self._last = now


def place_of(frame: FrameType | None) -> str:
    """`file function`, with the library or the wait inside if it is one of `KINDS` or `WAITS`."""
    kind = ""
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        file = frame.f_code.co_filename
        kind = kind or next((kind for name, kind in KINDS.items() if name in file.split("/")), "")
        frame = frame.f_back
    if frame is None:
        return "outside preceptor"
    caller = frame.f_back
    if not kind and caller is not None and "pydantic" in caller.f_code.co_filename.split("/"):
        kind = KINDS["pydantic"]  # a validator: called from the library
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    kind = kind or next((word for word in WAITS if word in line), "")
    function = frame.f_code.co_qualname.split(".<locals>")[0]
    return f"{frame.f_code.co_filename.removeprefix(PACKAGE)} {function}{kind and f' ({kind})'}"


def write_rows(path: Path, rows: int, responses: int, prompt_tokens: int) -> Path:
    """Writes a dataset of random words."""
    draw = random.Random(0)  # noqa: S311
    with path.open("w") as stream:
        for _ in range(rows):
            prompt = random_text(draw, prompt_tokens)
            answers = [random_text(draw, RESPONSE_TOKENS) for _ in range(responses)]
            row: dict[str, Any] = {"prompt": prompt, "responses": answers}
            if responses == 2:
                row = {"prompt": prompt, "response_a": answers[0], "response_b": answers[1]}
            stream.write(json.dumps(row) + "\n")
    return path


def prepare(settings: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Labels a dataset in `folder` with `rows` rows, `responses` responses per prompt and prompts of `prompt_tokens`
    tokens. The model gives `at_once` answers together; `sampled` turns the sampler on.
    """
    folder = Path(settings["folder"])
    shape = (settings["responses"], settings["prompt_tokens"])
    rows = write_rows(folder / "rows.jsonl", settings["rows"], *shape)
    first = [write_rows(folder / "first.jsonl", WARM_UP, *shape)]
    model = InstantModel(settings["at_once"])
    # The only change to what `preceptor label` does:
    label_job.open_model = lambda *_, **__: model  # pyright: ignore[reportPrivateImportUsage]

    def work() -> dict[str, Any]:
        out = folder / "out"
        data = first.pop() if first else rows
        stages = Stages()
        sampler = Sampler() if settings["sampled"] else None
        start, cpu = time.perf_counter(), time.process_time()
        with sampler or nullcontext():
            labels = recipe.label(data, judges="scripted:first", out=out, progress=stages)
        end, cpu = time.perf_counter(), time.process_time() - cpu
        parts = sampler.seconds if sampler else {a[1]: b[0] - a[0] for a, b in pairwise([*stages.begun, (end, "")])}
        written = {f"{file.suffix[1:]}_mib": file.stat().st_size / 2**20 for file in out.glob("[pl]*.[psj]*")}
        shutil.rmtree(out)
        counted = {"units": labels.counts.preferences, "parts": parts, **written}
        return {"seconds": end - start, "cpu_seconds": cpu, **counted}

    return work


class Stages(Silence):
    """Records when each stage began."""

    def __init__(self) -> None:
        self.begun: list[tuple[float, str]] = []

    def stage(self, name: str) -> None:
        """Records the time."""
        self.begun.append((time.perf_counter(), name))


if __name__ == "__main__":
    serve(prepare)
