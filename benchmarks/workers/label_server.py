"""Model servers for labelling. The case starts them; the workers that call them clear their caches and measure them.

Imports nothing beyond the standard library, so that a peer's own environment can import it.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 600.0
"""Seconds after which a server that is not ready has failed; the first start of vLLM compiles kernels."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    """Address without a path."""
    pid: int
    forget: tuple[str, ...]
    """Paths to post to, so that the server clears its prompt caches."""

    @classmethod
    def of(cls, settings: Mapping[str, Any] | None) -> "Server | None":
        """The server in a worker's settings, if there is one."""
        return cls(settings["url"], settings["pid"], tuple(settings["forget"])) if settings else None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that `of` reads."""
        return asdict(self)

    def begin(self) -> None:
        """Begins a repetition: clears the prompt caches and resets the memory peaks."""
        for path in self.forget:
            _ask(self.url + path, b"")
        for pid in self._tree():
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_mib(self) -> float:
        """Sum of the peaks of the server's processes since `begin`, in MiB."""
        return sum(int(_field(pid, "VmHWM") or 0) / 1024 for pid in self._tree())

    def cpu_seconds(self) -> float:
        """Seconds of CPU that the server's processes have used so far."""
        ticks = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13] for pid in self._tree()]
        return sum(int(user) + int(system) for user, system in ticks) / os.sysconf("SC_CLK_TCK")

    def _tree(self) -> list[int]:
        parents = {int(p.name): int(_field(p.name, "PPid") or 0) for p in Path("/proc").iterdir() if p.name.isdigit()}
        tree = [self.pid]
        for pid in tree:  # grows during the loop
            tree += [child for child, parent in parents.items() if parent == pid]
        return tree


@contextlib.contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path, forget: tuple[str, ...]
) -> Generator[Server]:
    """Starts a server on a free port, which replaces `{port}` in the command, and ends it afterwards.

    Raises: RuntimeError when it does not become ready.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with log.open("w") as out:
        process = subprocess.Popen(
            [word.replace("{port}", port) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parent.parent.parent,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _until_healthy(process, url, log)
        yield Server(url, process.pid, forget)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        with contextlib.suppress(ProcessLookupError):  # processes that it left behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _until_healthy(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < end:
        try:
            _ask(f"{url}/health")
            return
        except OSError:
            time.sleep(0.5)
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    raise RuntimeError(f"the server did not start: {lines[-1][:200] if lines else 'it said nothing'} (see {log})")


def _ask(url: str, posted: bytes | None = None) -> None:
    urllib.request.urlopen(url, data=posted, timeout=60).close()  # noqa: S310


def _field(pid: str | int, name: str) -> str | None:
    """A number from a process's status; None if there is no such process or number."""
    try:
        match = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return match[1] if match else None
