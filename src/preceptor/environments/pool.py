"""Environments under way: each in a process of its own, many at once."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.fields import JsonObject
from preceptor.core.types import FunctionCall
from preceptor.core.validation import settings_of
from preceptor.environments.episodes import Episode, EpisodeResult, Failure, Observation
from preceptor.environments.limits import Limits
from preceptor.environments.loading import EnvironmentClass, load_environment
from preceptor.environments.texts import error_text, shown, shown_name
from preceptor.environments.wire import COMMAND, END, FORK, STOP, read_message, write_message

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2])\n"
    "from preceptor.environments.worker import main; main(int(sys.argv[1]))"
)

_INSIDE = "PRECEPTOR_INSIDE_ENVIRONMENT"
"""A variable that is set where environments run."""


@dataclass(frozen=True)
class _Ended:
    """Why a request got no reply."""

    failure: Literal["too_slow", "crashed", "ended"]
    why: str


_Reply: TypeAlias = dict[str, Any] | _Ended


class EnvironmentPool:
    """Runs many episodes of one environment. Close it, or use it in a `with`.

    The class is loaded in a small process without torch, which forks a process for each episode: with no standard
    input and output, with limits on time, memory and output. These limits stop mistakes, not attacks: an environment's
    class has the rights of the user who runs it.

    Examples:
        >>> import preceptor as pc
        >>> row = {"id": "sum", "prompt": [{"role": "user", "content": "What is 2 + 2?"}], "reference": "4"}
        >>> with pc.EnvironmentPool("calculator") as pool:
        ...     (episode,) = pool.start([row])
        ...     (seen,) = pool.call([(episode, ("calculate", '{"expression": "2 + 2"}'))])
        ...     (result,) = pool.finish([episode], ["The answer is 4."])
        >>> seen.text, result.reward, result.success
        ('4', 1.0, True)
    """

    def __init__(
        self,
        environment: EnvironmentClass | str | type[Any],
        limits: Limits | Mapping[str, Any] | None = None,
    ) -> None:
        """Opens the pool.

        Args:
            environment: an environment, its name (see `load_environment`), or its class.
            limits: `seconds` and `characters` of a call, `memory_mb` of an environment, and how many run `at_once`.

        Raises: UsageError where the environment cannot be loaded.
        """
        known = isinstance(environment, EnvironmentClass)
        self.environment: EnvironmentClass = environment if known else load_environment(environment)
        self.limits: Limits = settings_of("limits", Limits, limits) or Limits()
        self._connections: dict[int, socket.socket] = {}
        self._lock = threading.Lock()
        self._started = 0
        self._process, self._control = _start_worker(self.environment, self.limits)
        self._finalizer = weakref.finalize(self, _stop_worker, self._process, self._control, self._connections)

    def start(self, rows: Sequence[JsonObject]) -> list[Episode]:
        """One episode for each row (see `row_of`), each with what its `reset` returned.

        Raises: PreceptorError naming the row whose `reset` raised an error, or took longer than a call may.
        """
        episodes = [self._fork(str(row.get("id", number))) for number, row in enumerate(rows)]
        replies = self._exchange([(e, {"do": "reset", "row": row}) for e, row in zip(episodes, rows, strict=True)])
        for episode, reply in zip(episodes, replies, strict=True):
            why = reply.why if isinstance(reply, _Ended) else str(reply["text"]) if reply["failed"] else None
            if why is not None:
                self.end(episodes)
                raise PreceptorError(self._reset_failed(episode, why))
            episode.appended = cast("dict[str, Any]", reply)["text"]
        return episodes

    def call(self, calls: Sequence[tuple[Episode, FunctionCall | tuple[str, str]]]) -> list[Observation]:
        """Runs tools, those of different episodes side by side and those of one episode in their order.

        Args:
            calls: each with its tool's name and the arguments as JSON text, however the policy wrote them.

        Returns: one observation for each call, in the order of the calls. Nothing that a tool does raises an error.
        """
        wanted = [(e, (c.name, c.arguments) if isinstance(c, FunctionCall) else c) for e, c in calls]
        requests: list[tuple[Episode, JsonObject]]
        requests = [(e, {"do": "call", "name": name, "arguments": given}) for e, (name, given) in wanted]
        replies = self._exchange(requests)
        return [self._observation(name, reply) for (_, (name, _)), reply in zip(wanted, replies, strict=True)]

    def finish(self, episodes: Sequence[Episode], responses: Sequence[str]) -> list[EpisodeResult]:
        """The results of episodes, which end with it; see `results`."""
        results = self.results(episodes, responses)
        self.end(episodes)
        return results

    def results(self, episodes: Sequence[Episode], responses: Sequence[str | None]) -> list[EpisodeResult]:
        """What the environment says of each episode.

        Args:
            responses: the policy's last message in each episode; None asks `get_reward` without one, as TRL does.
        """
        if self.environment.has_reward:
            asked = zip(episodes, responses, strict=True)
            replies = self._exchange([(episode, {"do": "reward", "response": text}) for episode, text in asked])
            return [_result(reply) for reply in replies]
        return [EpisodeResult(failure=e.ended) for e in episodes]

    def end(self, episodes: Sequence[Episode]) -> None:
        """Ends episodes; those that have ended stay so."""
        for episode in episodes:
            self._lose(episode, "it is over")

    def close(self) -> None:
        """Ends every episode and the worker."""
        self._finalizer()

    def __enter__(self) -> "EnvironmentPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fork(self, prompt_id: str) -> Episode:
        self._started += 1
        try:
            own, other = socket.socketpair()
        except OSError as error:
            raise PreceptorError(
                f"the environments of {len(self._connections)} episodes are open and another cannot be: {error}; "
                "raise the limit on open files (ulimit -n), or sample fewer responses in a step"
            ) from error
        self._connections[self._started] = own
        with other:
            self._command(FORK, self._started, other)
        return Episode(self._started, prompt_id)

    def _command(self, what: bytes, number: int, *handles: socket.socket) -> None:
        try:
            with self._lock:
                socket.send_fds(self._control, [COMMAND.pack(what, number)], [handle.fileno() for handle in handles])
        except OSError as error:
            raise PreceptorError(f"the process of the environments is gone: {error}; start the run again") from error

    def _exchange(self, requests: Sequence[tuple[Episode, JsonObject]]) -> list[_Reply]:
        """Sends requests, those of one episode in their order, and returns the reply to each."""
        of_episode: dict[int, list[int]] = {}
        for place, (episode, _) in enumerate(requests):
            of_episode.setdefault(episode.number, []).append(place)
        replies: dict[int, _Reply] = {}

        def ask(places: list[int]) -> None:
            for place in places:
                replies[place] = self._ask(*requests[place])

        with ThreadPoolExecutor(self.limits.at_once) as threads:
            list(threads.map(ask, of_episode.values()))
        return [replies[place] for place in range(len(requests))]

    def _ask(self, episode: Episode, message: JsonObject) -> _Reply:
        if episode.ended is not None:
            return _Ended("ended", episode.ended)
        try:
            deadline = time.monotonic() + self.limits.seconds
            connection = self._connections[episode.number]
            write_message(connection, message, deadline)
            reply = read_message(connection, deadline)
            return reply if reply is not None else self._lose(episode, "its process died", "crashed")
        except TimeoutError:
            return self._lose(episode, f"a call took longer than {self.limits.seconds:g} s", "too_slow")
        except TypeError as error:
            where = f'the environment "{self.environment.name}": the row of "{episode.prompt_id}"'
            raise UsageError(f"{where} holds what JSON cannot: {error}") from error
        except (OSError, ValueError):
            return self._lose(episode, "its process died", "crashed")

    def _lose(self, episode: Episode, why: str, failure: Literal["too_slow", "crashed", "ended"] = "ended") -> _Ended:
        """Ends an episode's process; the first reason stays."""
        episode.ended = episode.ended or why
        connection = self._connections.pop(episode.number, None)
        if connection is not None:
            connection.close()
            self._command(END, episode.number)
        return _Ended(failure, episode.ended)

    def _observation(self, called: str, reply: _Reply) -> Observation:
        name = shown_name(called)
        if isinstance(reply, _Ended):
            return _failed(name, reply.failure, f"the environment has ended: {reply.why}")
        text = shown(str(reply["text"]), self.limits.characters)
        return _failed(name, reply["failed"], text) if reply["failed"] else Observation(name=name, text=text)

    def _reset_failed(self, episode: Episode, why: str) -> str:
        place = f'the environment "{self.environment.name}": reset failed for the prompt "{episode.prompt_id}"'
        return f"{place}: {shown(why, 500)}"


def _failed(name: str, failure: Failure, error: str) -> Observation:
    return Observation(name=name, text=error_text(error), failure=failure, error=error)


def _result(reply: _Reply) -> EpisodeResult:
    if isinstance(reply, _Ended):
        return EpisodeResult(failure=reply.why)
    if reply["failed"]:
        return EpisodeResult(failure=f"get_reward failed: {shown(str(reply['text']), 500)}")
    reward: float | None = reply["reward"]
    return EpisodeResult(reward=reward, success=None if reward is None else reward >= 1.0)


def _start_worker(environment: EnvironmentClass, limits: Limits) -> tuple[subprocess.Popen[bytes], socket.socket]:
    if _INSIDE in os.environ:
        raise UsageError(
            "the file of the environment opens a pool when it is loaded; put what it runs under "
            'if __name__ == "__main__":'
        )
    if not hasattr(os, "fork"):
        raise UsageError("environments need a system on which processes can be forked: Linux or macOS")
    own, other = socket.socketpair()
    with other:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(other.fileno()), json.dumps(sys.path)],
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt from the keyboard reaches the pool alone
            env=os.environ | {"PYTHONHASHSEED": "0", _INSIDE: "1"},  # the same row gives the same episode
        )
    setting: JsonObject = {"made_from": list(environment.made_from), "only_tools": environment.only_tools}
    write_message(own, setting | limits.model_dump())
    ready = read_message(own)
    if ready is None or ready["error"]:
        _stop_worker(process, own, {})
        why = f"its process ended with code {process.returncode}" if ready is None else ready["error"]
        raise UsageError(f'the environment "{environment.name}" cannot be loaded in a process of its own: {why}')
    return process, own


def _stop_worker(process: subprocess.Popen[bytes], control: socket.socket, connections: dict[int, Any]) -> None:
    with suppress(OSError):
        control.sendall(COMMAND.pack(STOP, 0))
    for connection in [control, *connections.values()]:
        connection.close()
    connections.clear()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
