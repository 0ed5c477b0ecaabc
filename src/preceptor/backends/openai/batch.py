"""Answers from a provider's batch endpoint: half the price, within a day.

Calls that wait at the same time are uploaded as one file. All that is needed to find their answers again is on disk
before anything is paid for (`store/batches.py`), so that a killed process, started again, takes up the batches that are
under way.

A call that the batch did not answer (expired, failed) is an error that the client asks again, in the next batch.
"""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from pydantic_core import from_json, to_json

from preceptor.backends.openai.transport import NoAnswerError, StatusError, Transport
from preceptor.core.errors import PreceptorError
from preceptor.core.hashing import content_hash
from preceptor.core.ticks import tick
from preceptor.core.types import JsonObject

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


class BatchStore(Protocol):
    """Keeps batches beyond the end of a process; see `store/batches.py`."""

    def inner(self, name: str) -> "BatchStore":
        """The batches of one model of several."""
        ...

    def states(self) -> dict[int, JsonObject]:
        """What is known of every batch, by its number."""
        ...

    def write(self, calls: Iterable[bytes], state: JsonObject) -> int:
        """Puts the calls of a further batch on disk, and returns its number."""
        ...

    def save(self, number: int, state: JsonObject) -> None:
        """Writes down what is known of a batch."""
        ...

    def requests(self, number: int) -> Path:
        """The file of a batch's calls."""
        ...

    def download(self, number: int, part: int) -> Path:
        """Where a part of the answers is put until all are there."""
        ...

    def join(self, number: int, parts: int) -> None:
        """Makes one file of all parts of the answers."""
        ...

    def calls(self, number: int) -> list[str]:
        """The ids of a batch's calls."""
        ...

    def answers(self, number: int) -> dict[str, tuple[int, int]]:
        """The place and length of each answer, by the call's id."""
        ...

    def answer(self, number: int, place: tuple[int, int]) -> JsonObject:
        """The answer at a place."""
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
        store: keeps this model's batches.
        shown: makes a server's words fit to be shown: on one line, without the key.
        gather_s: seconds without a further call after which those that wait are sent.
        poll_s: seconds before a batch is asked about again; half as much more each time, up to `LONGEST_POLL_S`.
    """

    def __init__(
        self,
        server: BatchServer,
        store: BatchStore,
        shown: Callable[[str], str],
        *,
        gather_s: float = 2.0,
        poll_s: float = 1.0,
    ) -> None:
        self._server = server
        self._store = store
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
        batch.status = "written"
        lines = (
            to_json({"custom_id": call, "method": "POST", "url": f"/v1{batch.path}", "body": body})
            for call, body in batch.calls.items()
        )
        batch.number = self._store.write(lines, batch.state)
        batch.calls = {}

    async def _submit(self, batch: _Batch) -> None:
        """Uploads the calls and creates the batch, unless an earlier process did and could not write it down."""
        requests = self._store.requests(batch.number)
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
        _LOG.info("batch %s: %d calls sent", batch.id, len(self._store.calls(batch.number)))

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
        files = [str(served[key]) for key in ("output_file_id", "error_file_id") if served.get(key)]
        for part, file in enumerate(files):
            place = self._store.download(batch.number, part)
            await self._patiently(self._server.download, f"/files/{file}/content", place)
        self._store.join(batch.number, len(files))
        self._save(batch, str(served["status"]))
        batch.answers = self._store.answers(batch.number)
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
        for number, state in self._store.states().items():
            known = None if state["id"] is None else str(state["id"])
            batch = _Batch(str(state["path"]), number, known, str(state["status"]))
            if batch.status in ("written", *_UNDER_WAY):
                calls = self._store.calls(number)
                self._start(batch)
            else:  # what it left without an answer is asked again
                batch.answers = self._store.answers(number)
                calls = list(batch.answers)
                batch.ended.set()
            self._by_call |= dict.fromkeys(calls, batch)

    def _save(self, batch: _Batch, status: str) -> None:
        batch.status = status
        self._store.save(batch.number, batch.state)

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
        line: dict[str, Any] = self._store.answer(batch.number, batch.answers[call])
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
