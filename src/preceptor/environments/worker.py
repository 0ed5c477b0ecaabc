"""The process that environments live in: it loads the class once, and forks a process for each episode.

Forking this small process takes a millisecond or two, where starting Python takes hundreds; and the process that
trains, which holds the model and has threads, is never forked. Each episode talks to the pool through a socket of
its own.
"""

import gc
import os
import resource
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from preceptor.core.errors import UsageError
from preceptor.environments import calls
from preceptor.environments.loading import load_environment, load_tools
from preceptor.environments.wire import COMMAND, END, STOP, read_message, write_message


def main(handle: int) -> None:
    """Runs the worker until the pool closes its end of the socket.

    Args:
        handle: file number of the socket to the pool.
    """
    control = socket.socket(fileno=handle)
    setting: Any = read_message(control)
    try:
        made_from = setting["made_from"]
        loaded = load_tools(made_from) if setting["only_tools"] else load_environment(made_from[0])
    except UsageError as error:
        write_message(control, {"error": str(error)})
        return
    write_message(control, {"error": ""})
    gc.collect()
    gc.freeze()  # what is shared with the episodes stays shared
    _serve(control, loaded.kind, setting)


def _serve(control: socket.socket, kind: type[Any], setting: dict[str, Any]) -> None:
    running: dict[int, int] = {}  # process of each episode; none is waited for, and so no number reused, until it ends
    while True:
        command, handles, _, _ = socket.recv_fds(control, COMMAND.size, 1)
        what, episode = COMMAND.unpack(command) if command else (STOP, 0)
        if what == STOP:
            break
        if what == END:
            _end(running.pop(episode, None))
            continue
        with suppress(OSError):  # too many processes: the pool sees a closed socket
            running[episode] = _fork(control, socket.socket(fileno=handles[0]), kind, setting)
    for process in running.values():
        _end(process)


def _fork(control: socket.socket, connection: socket.socket, kind: type[Any], setting: dict[str, Any]) -> int:
    with connection:
        process = os.fork()
        if process == 0:
            control.close()
            try:
                _live(connection, kind, setting)
            finally:
                os._exit(0)
    return process


def _end(process: int | None) -> None:
    """Kills an episode's process, and those that it started."""
    if process is None:
        return
    for kill in (os.killpg, os.kill):
        with suppress(OSError):
            kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def _live(connection: socket.socket, kind: type[Any], setting: dict[str, Any]) -> None:
    """One episode: answers requests until the pool closes the socket."""
    os.setpgid(0, 0)
    _limit_memory(setting["memory_mb"] << 20)
    own = os.getpid()
    environment: Any = None
    while (request := read_message(connection)) is not None:
        if request["do"] == "reset":
            environment, reply = _made(kind, request["row"])
        elif request["do"] == "call":
            reply = calls.call(environment, request["name"], request["arguments"], setting["characters"])
        else:
            reply = calls.reward(environment, request["response"])
        if os.getpid() != own:  # a tool forked: only the process that was asked answers
            return
        write_message(connection, {"text": reply.text, "failed": reply.failed, "reward": reply.reward})


def _made(kind: type[Any], row: dict[str, Any]) -> tuple[Any, calls.Reply]:
    try:
        environment = kind()
    except BaseException as error:
        return None, calls.Reply(f"{kind.__name__}() raised {type(error).__name__}: {error}", "raised")
    return environment, calls.reset(environment, row)


def _limit_memory(allowance: int) -> None:
    """Limits the process's memory to what it has now and an allowance, where the system tells how much it has."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sizes = Path("/proc/self/statm")
    if sizes.exists():
        most = int(sizes.read_text(encoding="ascii").split()[0]) * resource.getpagesize() + allowance
        with suppress(OSError, ValueError):  # a lower limit is set already
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
