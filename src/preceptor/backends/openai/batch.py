"""Answers from a provider's batch endpoint: half the price, within a day.

Calls that wait at the same time are uploaded as one file. All that is needed to find their answers again is on disk
before anything is paid for, so that a killed process, started again, takes up the batches that are under way:

    0001.requests.jsonl   the calls, each with an id made from its content
    0001.json             the batch: its id at the server, and how it ended
    0001.answers.jsonl    the answers, as the server gave them

A call that the batch did not answer (expired, failed) is an error that the client asks again, in the next batch.
"""

import asyncio
import hashlib
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from pydantic_core import from_json, to_json

from preceptor.backends.openai.transport import NoAnswerError, StatusError, Transport
from preceptor.core.errors import PreceptorError
from preceptor.core.hashing import content_hash
from preceptor.core.ticks import tick
from preceptor.core.types import JsonObject
from preceptor.store.files import read_json, write_json, write_text, writing

MOST_CALLS = 50_000
"""Most calls of one batch (OpenAI's limit)."""
MOST_BYTES = 190 << 20
"""Most bytes of one upload; OpenAI's limit is 200 MB."""
ROWS_AT_ONCE = MOST_CALLS // 8
"""A caller passes four times as many comparisons at once, each in both orders: one full batch."""
LONGEST_POLL_S = 60.0
SHARE_OF_PRICE = 0.5
"""A batch costs half of the list price."""
_UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling")
Given = ParamSpec("Given")
Answer = TypeVar("Answer")
_LOG = logging.getLogger("preceptor.batch")


class BatchServer(Transport, Protocol):
    """A server that takes files and batches."""

    async def upload(self, path: str, fields: dict[str, str], file: Path) -> bytes:
        """Sends a form with a file. Raises: as `send`."""
        ...

    async def download(self, path: str, file: Path) -> None:
        """Writes what the server answers into a file. Raises: as `send`."""
        ...


@dataclass
class _Batch:
    """Calls to one path that are uploaded together, under way or ended."""

    path: str
    number: int = 0
    id: str | None = None
    """Its id at the server; None before the server has it."""
    status: str = "gathering"
    calls: dict[str, JsonObject] = field(default_factory=lambda: {})
    """Bodies by the call's id, until they are on disk."""
    size: int = 0
    """Bytes of the calls."""
    answers: dict[str, tuple[int, int]] = field(default_factory=lambda: {})
    """Place and length of each answer in the file of answers."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: PreceptorError | None = None
    """Why its calls have no answers and must not be asked again in this process."""

    @property
    def state(self) -> JsonObject:
        """What is written about it."""
        return {"path": self.path, "id": self.id, "status": self.status}


class BatchTransport:
    """Sends calls in batches. Lists of models and whatever else is read go to the server at once.

    Args:
        server: takes files and batches.
        folder: of this model's batches; made when the first is sent.
        shown: makes a server's words fit to be shown: on one line, without the key.
        gather_s: seconds without a further call after which those that wait are sent.
        poll_s: seconds before a batch is asked about again; half as much more each time, up to `LONGEST_POLL_S`.
    """

    def __init__(
        self,
        server: BatchServer,
        folder: Path,
        shown: Callable[[str], str],
        *,
        gather_s: float = 2.0,
        poll_s: float = 1.0,
    ) -> None:
        self._server = server
        self._folder = folder
        self._shown = shown
        self._gather_s = gather_s
        self._poll_s = poll_s
        self._asked: Counter[str] = Counter()
        """How often each content was asked for in this process."""
        self._by_call: dict[str, _Batch] = {}
        self._gathering: dict[str, _Batch] = {}
        """The batch that takes further calls, by path."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._restored = False
        self.close = server.close

    async def send(self, path: str, body: JsonObject | None) -> bytes:
        """As `Transport.send`; waits until the call's batch has ended.

        Raises: also PreceptorError when the server refuses the batch, or somebody cancelled it.
        """
        if body is None:
            return await self._server.send(path, None)
        if not self._restored:
            self._restore()
        content = content_hash({"path": path, "body": body})[:40]
        call = f"{content}-{self._asked[content]}"
        self._asked[content] += 1
        batch = self._by_call.get(call) or self._add(path, call, body)
        await batch.ended.wait()
        if batch.trouble is not None:
            raise batch.trouble
        return self._answer(batch, call)

    # -- gathering ------------------------------------------------------------------------------------------------

    def _add(self, path: str, call: str, body: JsonObject) -> _Batch:
        """Puts a call into the batch that is being gathered, which is sent when it is full or nothing more comes."""
        size = len(to_json(body)) + 200
        batch = self._gathering.get(path)
        if batch and (len(batch.calls) >= MOST_CALLS or batch.size + size > MOST_BYTES):
            self._begin(path)
            batch = None
        if batch is None:
            batch = self._gathering[path] = _Batch(path)
        batch.calls[call] = body
        batch.size += size
        self._by_call[call] = batch
        if timer := self._timers.pop(path, None):
            timer.cancel()
        self._timers[path] = asyncio.get_running_loop().call_later(self._gather_s, self._begin, path)
        return batch

    def _begin(self, path: str) -> None:
        if timer := self._timers.pop(path, None):
            timer.cancel()
        self._start(self._gathering.pop(path))

    def _start(self, batch: _Batch) -> None:
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- at the server --------------------------------------------------------------------------------------------

    async def _run(self, batch: _Batch) -> None:
        """Takes a batch from wherever it is to its end."""
        try:
            if batch.number == 0:
                self._write(batch)
            if batch.id is None:
                await self._submit(batch)
            await self._wait(batch)
        except PreceptorError as error:
            batch.trouble = error
        except StatusError as error:
            batch.trouble = PreceptorError(f"the server refuses the batch: {self._shown(str(error))[:300]}")
        finally:
            batch.ended.set()

    def _write(self, batch: _Batch) -> None:
        """Puts the calls on disk, before anything is sent."""
        self._folder.mkdir(parents=True, exist_ok=True)
        batch.number = 1 + max((int(file.stem) for file in self._folder.glob("[0-9]*.json")), default=0)
        lines = (
            to_json({"custom_id": call, "method": "POST", "url": f"/v1{batch.path}", "body": body}).decode()
            for call, body in batch.calls.items()
        )
        write_text(self._file(batch, "requests.jsonl"), "\n".join(lines) + "\n")
        self._save(batch, "written")

    async def _submit(self, batch: _Batch) -> None:
        """Uploads the calls and creates the batch, unless an earlier process did and could not write it down."""
        requests = self._file(batch, "requests.jsonl")
        mark = hashlib.sha256(requests.read_bytes()).hexdigest()
        batch.id = await self._created_before(mark)
        if batch.id is None:
            uploaded = from_json(await self._patiently(self._server.upload, "/files", {"purpose": "batch"}, requests))
            wanted: JsonObject = {
                "input_file_id": str(uploaded["id"]),
                "endpoint": f"/v1{batch.path}",
                "completion_window": "24h",
                "metadata": {"preceptor": mark},
            }
            batch.id = str(from_json(await self._patiently(self._server.send, "/batches", wanted))["id"])
        self._save(batch, "validating")
        _LOG.info("batch %s: %d calls sent", batch.id, sum(1 for _ in _lines(requests)))

    async def _created_before(self, mark: str) -> str | None:
        """The id of the batch that was made from the same file; None if there is none."""
        listed = from_json(await self._patiently(self._server.send, "/batches?limit=100", None))
        alike = [b for b in listed.get("data", []) if (b.get("metadata") or {}).get("preceptor") == mark]
        return next((str(b["id"]) for b in alike if b.get("status") not in ("failed", "cancelled")), None)

    async def _wait(self, batch: _Batch) -> None:
        """Asks until the batch has ended, and fetches its answers.

        Raises: PreceptorError when the batch was refused or cancelled; StatusError when the server refuses to tell.
        """
        waits = _growing(self._poll_s)
        while (served := await self._served(batch))["status"] in _UNDER_WAY:
            await asyncio.sleep(next(waits))
        await self._fetch(batch, [str(served[k]) for k in ("output_file_id", "error_file_id") if served.get(k)])
        self._save(batch, str(served["status"]))
        self._index(batch)
        _LOG.info("batch %s: %s, %d answers", batch.id, batch.status, len(batch.answers))
        if batch.status == "failed":
            errors = (served.get("errors") or {}).get("data") or [{}]
            reason = " ".join(str(errors[0].get(name) or "") for name in ("code", "message")).strip()
            raise PreceptorError(
                f"the server refuses the batch {batch.id}: {self._shown(reason)[:300] or 'it gives no reason'}"
            )

    async def _served(self, batch: _Batch) -> dict[str, Any]:
        """The batch as the server has it."""
        served: dict[str, Any] = from_json(await self._patiently(self._server.send, f"/batches/{batch.id}", None))
        counts = served.get("request_counts") or {}
        tick("answers of the batch", int(counts.get("completed") or 0), int(counts.get("total") or 0))
        return served

    async def _fetch(self, batch: _Batch, files: list[str]) -> None:
        """Writes the answers and the errors into one file, whole or not at all."""
        whole, part = self._file(batch, "answers.partial"), self._file(batch, "download.partial")
        with writing(whole), whole.open("wb") as stream:
            for file in files:
                await self._patiently(self._server.download, f"/files/{file}/content", part)
                with part.open("rb") as downloaded:
                    shutil.copyfileobj(downloaded, stream)
                stream.write(b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        part.unlink(missing_ok=True)
        whole.replace(self._file(batch, "answers.jsonl"))

    async def _patiently(
        self, ask: Callable[Given, Awaitable[Answer]], *arguments: Given.args, **named: Given.kwargs
    ) -> Answer:
        """Asks again for as long as the server is away or busy: a batch may take a day, and its process can wait.

        Raises: StatusError when the server refuses.
        """
        waits = _growing(self._poll_s)
        while True:
            try:
                return await ask(*arguments, **named)
            except NoAnswerError as error:
                _LOG.warning("the batch server does not answer, asking again: %s", self._shown(str(error)))
            except StatusError as error:
                if error.status not in (408, 409, 429) and error.status < 500:
                    raise
                _LOG.warning("the batch server is busy, asking again: %s", self._shown(str(error)))
            await asyncio.sleep(next(waits))

    # -- on disk --------------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        """Takes up the batches of earlier processes: those that ended give their answers, the others are awaited."""
        self._restored = True
        for file in sorted(self._folder.glob("[0-9]*.json")):
            state = read_json(file)
            known = None if state["id"] is None else str(state["id"])
            batch = _Batch(str(state["path"]), int(file.stem), known, str(state["status"]))
            if batch.status in ("written", *_UNDER_WAY):
                calls = [str(line["custom_id"]) for _, line in _lines(self._file(batch, "requests.jsonl"))]
                self._start(batch)
            else:  # what it left without an answer is asked again
                self._index(batch)
                calls = list(batch.answers)
                batch.ended.set()
            self._by_call |= dict.fromkeys(calls, batch)

    def _save(self, batch: _Batch, status: str) -> None:
        batch.status = status
        batch.calls = {}
        write_json(self._folder / f"{batch.number:04}.json", batch.state)

    def _file(self, batch: _Batch, kind: str) -> Path:
        return self._folder / f"{batch.number:04}.{kind}"

    def _index(self, batch: _Batch) -> None:
        """Reads where each answer is."""
        file = self._file(batch, "answers.jsonl")
        for (start, length), line in _lines(file) if file.exists() else ():
            batch.answers[str(line.get("custom_id"))] = (start, length)

    def _answer(self, batch: _Batch, call: str) -> bytes:
        """The answer to a call.

        Raises: StatusError for an error in its place; PreceptorError when the batch was cancelled before it.
        """
        if call not in batch.answers:
            if batch.status == "cancelled":
                raise PreceptorError(
                    f"the batch {batch.id} was cancelled at the server; start the same work again to ask what is "
                    "missing: its answers are kept"
                )
            raise StatusError(408, f"the batch {batch.id} has ended ({batch.status}) without this answer")
        start, length = batch.answers[call]
        with self._file(batch, "answers.jsonl").open("rb") as stream:
            stream.seek(start)
            line: dict[str, Any] = from_json(stream.read(length))
        response, error = line.get("response") or {}, line.get("error") or {}
        if response.get("status_code") == 200:
            return to_json(response.get("body"))
        if error:
            expired = error.get("code") == "batch_expired"
            raise StatusError(408 if expired else 500, " ".join(str(error.get(k) or "") for k in ("message", "code")))
        refused = (response.get("body") or {}).get("error") or {}
        raise StatusError(
            int(response.get("status_code") or 500), str(refused.get("message") or refused or "no reason")
        )


def _growing(wait_s: float) -> Iterator[float]:
    """Waits, each half as long again as the one before, up to the longest. They do not end."""
    while True:
        yield wait_s
        wait_s = min(1.5 * wait_s, LONGEST_POLL_S)


def _lines(file: Path) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """The JSON objects of a file, each with its place and length; a line that holds none is left out."""
    place = 0
    with file.open("rb") as stream:
        for line in stream:
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if isinstance(value, dict):
                yield (place, len(line)), value
            place += len(line)
