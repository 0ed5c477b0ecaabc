"""Answers from a provider's batch endpoint: half the price, within a day.

Calls that wait at the same time are uploaded as one file. All that is needed to find their answers again is on disk
before anything is paid for (`store/batches.py`), so that a killed process, started again, takes up the batches that are
under way.

A call that the batch did not answer (expired, failed) is an error that the client asks again, in the next batch.
"""

import asyncio
import logging
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from preceptor.backends.openai.batch_wire import Listed, Named, Served, content_of, read
from preceptor.backends.openai.http import encoded
from preceptor.backends.openai.transport import (
    NoAnswerError,
    RedirectedError,
    StatusError,
    Transport,
    UnreadableError,
)
from preceptor.core.batch_state import BatchState
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
_ENDED = ("completed", "failed", "expired", "cancelled")
"""States in which a batch stays; in any other, also one that is not known here, it is waited for."""
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

    def states(self) -> dict[int, BatchState]:
        """What is known of every batch, by its number."""
        ...

    def write(self, calls: Iterable[bytes], state: BatchState) -> int:
        """Puts the calls of a further batch on disk, and returns its number."""
        ...

    def save(self, number: int, state: BatchState) -> None:
        """Writes down what is known of a batch."""
        ...

    def requests(self, number: int) -> Path:
        """The file of a batch's calls."""
        ...

    def download(self, number: int, part: int) -> Path:
        """Where a part of the answers is put until all are there."""
        ...

    def join(self, number: int, parts: int, clean: Callable[[str], str]) -> None:
        """Makes one file of all parts of the answers, each line made fit to be kept."""
        ...

    def calls(self, number: int) -> list[str]:
        """The ids of a batch's calls."""
        ...

    def answers(self, number: int, *, good: bool = False) -> dict[str, tuple[int, int]]:
        """The place and length of each answer, by the call's id; only those with status 200 if `good`."""
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
    mark: str = ""
    """By which the server's list of batches shows that this one was created."""
    trouble: Exception | None = None
    """Why its calls have no answers and must not be asked again in this process."""

    @property
    def state(self) -> BatchState:
        """What is written about it."""
        return BatchState(path=self.path, id=self.id, status=self.status, mark=self.mark)


class BatchTransport:
    """Sends calls in batches. Lists of models and whatever else is read go to the server at once.

    Args:
        server: takes files and batches.
        store: keeps this model's batches.
        shown: makes a server's words fit to be shown: on one line, without the key.
        clean: makes a line of a server's answers fit to be kept: without the key.
        gather_s: seconds without a further call after which those that wait are sent.
        poll_s: seconds before a batch is asked about again; half as much more each time, up to `LONGEST_POLL_S`.
    """

    def __init__(
        self,
        server: BatchServer,
        store: BatchStore,
        shown: Callable[[str], str],
        clean: Callable[[str], str],
        *,
        gather_s: float = 2.0,
        poll_s: float = 1.0,
    ) -> None:
        self._server = server
        self._store = store
        self._shown = shown
        self._clean = clean
        self._gather_s = gather_s
        self._poll_s = poll_s
        self._asked: Counter[str] = Counter()
        """How many calls with each content were made, so that their ids differ."""
        self._left: dict[str, deque[tuple[_Batch, str]]] = {}
        """Calls of earlier processes that have an answer or are under way, by content."""
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
        left = self._left.get(content)
        batch, call = left.popleft() if left else self._add(path, content, body)
        await batch.ended.wait()
        if batch.trouble is not None:
            raise batch.trouble
        return self._answer(batch, call)

    # -- gathering ------------------------------------------------------------------------------------------------

    def _add(self, path: str, content: str, body: JsonObject) -> tuple[_Batch, str]:
        """Puts a call into the batch that is being gathered, which is sent when it is full or nothing more comes.

        Returns: also the call's id.
        """
        call, size = f"{content}-{self._asked[content]}", len(encoded(body)) + 200
        self._asked[content] += 1
        batch = self._gathering.get(path)
        if batch and (len(batch.calls) >= MOST_CALLS or batch.size + size > MOST_BYTES):
            self._begin(path)
            batch = None
        if batch is None:
            batch = self._gathering[path] = _Batch(path)
        batch.calls[call] = body
        batch.size += size
        if timer := self._timers.pop(path, None):
            timer.cancel()
        self._timers[path] = asyncio.get_running_loop().call_later(self._gather_s, self._begin, path)
        return batch, call

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
        except (StatusError, RedirectedError) as error:
            batch.trouble = PreceptorError(f"the server refuses the batch: {self._shown(str(error))[:300]}")
        except UnreadableError as error:
            batch.trouble = PreceptorError(f"the server's words about a batch are unusable: {self._shown(str(error))}")
        except OSError as error:
            batch.trouble = PreceptorError(f"a batch cannot be kept on disk: {error}")
        except Exception as error:
            batch.trouble = error
        finally:
            batch.ended.set()

    def _write(self, batch: _Batch) -> None:
        """Puts the calls on disk, before anything is sent."""
        batch.status, batch.mark = "written", uuid.uuid4().hex
        lines = (
            encoded({"custom_id": call, "method": "POST", "url": f"/v1{batch.path}", "body": body})
            for call, body in batch.calls.items()
        )
        batch.number = self._store.write(lines, batch.state)
        batch.calls = {}

    async def _submit(self, batch: _Batch) -> None:
        """Uploads the calls and creates the batch, unless an earlier process did and could not write it down."""
        file, waits = "", _growing(self._poll_s)
        while (found := await self._created_before(batch.mark)) is None:
            file = file or await self._uploaded(batch)
            wanted: JsonObject = {
                "input_file_id": file,
                "endpoint": f"/v1{batch.path}",
                "completion_window": "24h",
                "metadata": {"preceptor": batch.mark},
            }
            try:  # once: if its answer is lost, the batch may exist, and a second one would be paid for too
                found = read(Named, await self._server.send("/batches", wanted)).id
                break
            except (NoAnswerError, StatusError) as error:
                self._bear(error)
            await asyncio.sleep(next(waits))
        batch.id = found
        self._save(batch, "validating")
        _LOG.info("batch %s: %d calls sent", batch.id, len(self._store.calls(batch.number)))

    async def _uploaded(self, batch: _Batch) -> str:
        """The server's name for the file of the calls, which is sent to it."""
        requests = self._store.requests(batch.number)
        return read(Named, await self._patiently(self._server.upload, "/files", {"purpose": "batch"}, requests)).id

    async def _created_before(self, mark: str) -> str | None:
        """The id of the batch with this mark; None if the server has none."""
        listed = read(Listed, await self._patiently(self._server.send, "/batches?limit=100", None))
        return listed.marked(mark)

    async def _wait(self, batch: _Batch) -> None:
        """Asks until the batch has ended, and fetches its answers.

        Raises: PreceptorError when the batch was refused or cancelled; StatusError when the server refuses to tell.
        """
        waits = _growing(self._poll_s)
        while (served := await self._served(batch)).status not in _ENDED:
            await asyncio.sleep(next(waits))
        files = [file for file in (served.output_file_id, served.error_file_id) if file]
        for part, file in enumerate(files):
            place = self._store.download(batch.number, part)
            await self._patiently(self._server.download, f"/files/{file}/content", place)
        self._store.join(batch.number, len(files), self._clean)
        self._save(batch, served.status)
        batch.answers = self._store.answers(batch.number)
        _LOG.info("batch %s: %s, %d answers", batch.id, batch.status, len(batch.answers))
        if batch.status == "failed":
            raise PreceptorError(
                f"the server refuses the batch {batch.id}: {self._shown(served.reason)[:300] or 'it gives no reason'}"
            )

    async def _served(self, batch: _Batch) -> Served:
        """The batch as the server has it."""
        served = read(Served, await self._patiently(self._server.send, f"/batches/{batch.id}", None))
        tick("answers of the batch", served.request_counts.completed, served.request_counts.total)
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
            except (NoAnswerError, StatusError) as error:
                self._bear(error)
            await asyncio.sleep(next(waits))

    def _bear(self, error: NoAnswerError | StatusError) -> None:
        """Logs an error after which the server is asked again.

        Raises: StatusError when the server refuses.
        """
        if isinstance(error, StatusError) and error.status not in (408, 409, 429) and error.status < 500:
            raise error
        _LOG.warning("the batch server is busy or away, asking again: %s", self._shown(str(error))[:300])

    # -- on disk --------------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        """Takes up the batches of earlier processes: those that ended give their answers, the others are awaited. What
        failed is asked again.
        """
        self._restored = True
        for number, state in self._store.states().items():
            batch = _Batch(state.path, number, state.id, state.status, mark=state.mark)
            if batch.status in _ENDED:
                batch.answers = self._store.answers(number, good=True)
                batch.ended.set()
                calls = list(batch.answers)
            else:
                calls = self._store.calls(number)
                self._start(batch)
            for call in calls:
                self._left.setdefault(call.partition("-")[0], deque()).append((batch, call))

    def _save(self, batch: _Batch, status: str) -> None:
        batch.status = status
        self._store.save(batch.number, batch.state)

    def _answer(self, batch: _Batch, call: str) -> bytes:
        """The answer to a call.

        Raises: StatusError for an error in its place; UnreadableError; PreceptorError when the batch was cancelled
            before it.
        """
        if call not in batch.answers:
            if batch.status == "cancelled":
                raise PreceptorError(
                    f"the batch {batch.id} was cancelled at the server; start the same work again to ask what is "
                    "missing: its answers are kept"
                )
            raise StatusError(408, f"the batch {batch.id} has ended ({batch.status}) without this answer")
        return content_of(self._store.answer(batch.number, batch.answers[call]))


def _growing(wait_s: float) -> Iterator[float]:
    """Waits, each half as long again as the one before, up to the longest. They do not end."""
    while True:
        yield wait_s
        wait_s = min(1.5 * wait_s, LONGEST_POLL_S)
