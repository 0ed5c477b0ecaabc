"""Batches of calls on disk, so that a process that is started again finds those under way and their answers.

0001.requests.jsonl   the calls, each with an id made from its content
0001.json             the batch: its path and its id at the server, and how it ended
0001.answers.jsonl    the answers and errors, in the server's words without the key
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from preceptor.core.batch_state import BatchState
from preceptor.core.errors import PreceptorError
from preceptor.core.types import JsonObject
from preceptor.core.validation import first_problem
from preceptor.store.files import read_json, write_json, writing
from preceptor.store.ledger import Ledger

FOLDER = "batches"
"""The folder beside a ledger that keeps its batches."""
LONGEST_ANSWER = 8 << 20
"""Most bytes of a line of answers; one answer over HTTP has at most half as many."""


class BatchFolder:
    """A folder of batches, numbered from 1. It is made when the first batch is written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def beside(cls, ledger: Ledger) -> "BatchFolder | None":
        """The batches of a ledger's calls; None if the ledger is kept in memory."""
        path = ledger.beside(FOLDER)
        return None if path is None else cls(path)

    def inner(self, name: str) -> "BatchFolder":
        """The batches of one model of several."""
        return BatchFolder(self._path / name)

    def states(self) -> dict[int, BatchState]:
        """What is known of every batch, by its number.

        Raises: PreceptorError for a damaged file.
        """
        return {int(file.stem): _state(file) for file in sorted(self._path.glob("[0-9]*.json"))}

    def write(self, calls: Iterable[bytes], state: BatchState) -> int:
        """Puts the calls of a further batch on disk, a line each, and returns its number.

        Raises: PreceptorError when they cannot be written.
        """
        with writing(self._path):
            self._path.mkdir(parents=True, exist_ok=True)
            number = 1 + max(self.states(), default=0)
            with self.requests(number).open("wb") as stream:
                stream.writelines(call + b"\n" for call in calls)
                stream.flush()
                os.fsync(stream.fileno())
        self.save(number, state)
        return number

    def save(self, number: int, state: BatchState) -> None:
        """Writes down what is known of a batch."""
        write_json(self._path / f"{number:04}.json", state.model_dump(mode="json"))

    def requests(self, number: int) -> Path:
        """The file of a batch's calls."""
        return self._file(number, "requests.jsonl")

    def download(self, number: int, part: int) -> Path:
        """Where a part of the answers is put until all are there."""
        return self._file(number, f"{part}.partial")

    def join(self, number: int, parts: int, clean: Callable[[str], str]) -> None:
        """Makes one file of all parts of the answers, whole or not at all.

        Args:
            clean: makes a line of a server fit to be kept.

        Raises: PreceptorError when it cannot be written.
        """
        whole = self._file(number, "answers.partial")
        with writing(whole), whole.open("wb") as stream:
            for part in range(parts):
                with self.download(number, part).open("rb") as downloaded:
                    while line := downloaded.readline(LONGEST_ANSWER):
                        stream.write(clean(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape"))
                stream.write(b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        whole.replace(self._file(number, "answers.jsonl"))
        for part in range(parts):
            self.download(number, part).unlink()

    def calls(self, number: int) -> list[str]:
        """The ids of a batch's calls."""
        return [str(line["custom_id"]) for _, line in _lines(self.requests(number))]

    def answers(self, number: int, *, good: bool = False) -> dict[str, tuple[int, int]]:
        """The place and the length of each answer, by the call's id; empty if there is none yet. Of several answers to
        a call, the first counts; answers to calls of other batches do not.

        Args:
            good: whether to leave out all but answers with status 200.
        """
        file = self._file(number, "answers.jsonl")
        if not file.exists():
            return {}
        calls, places = set(self.calls(number)), dict[str, tuple[int, int]]()
        for place, line in _lines(file, LONGEST_ANSWER):
            call = line.get("custom_id")
            if isinstance(call, str) and call in calls and (_is_good(line) or not good):
                places.setdefault(call, place)
        return places

    def answer(self, number: int, place: tuple[int, int]) -> JsonObject:
        """The answer at a place."""
        with self._file(number, "answers.jsonl").open("rb") as stream:
            stream.seek(place[0])
            return json.loads(stream.read(place[1]))

    def _file(self, number: int, kind: str) -> Path:
        return self._path / f"{number:04}.{kind}"


def _state(file: Path) -> BatchState:
    try:
        return BatchState.model_validate(read_json(file))
    except ValidationError as error:
        raise PreceptorError(f"{file}: is damaged ({first_problem(error)}); restore it from a copy") from error


def _is_good(line: JsonObject) -> bool:
    response = line.get("response")
    return isinstance(response, dict) and response.get("status_code") == 200


def _lines(file: Path, longest: int = -1) -> Iterator[tuple[tuple[int, int], JsonObject]]:
    """The JSON objects of a file, each with its place and length; a line that holds none is left out.

    Args:
        longest: bytes after which a line is cut, so that it is no JSON.
    """
    start = 0
    with file.open("rb") as stream:
        while line := stream.readline(longest):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                value = None
            if isinstance(value, dict):
                yield (start, len(line)), value
            start += len(line)
