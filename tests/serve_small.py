"""A service in this process, and a client of it."""

import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from preceptor.backends.connection import Connection
from preceptor.serve.app import application
from preceptor.serve.context import Service
from preceptor.serve.judges import named_judges
from preceptor.serve.service import serving

SKY = {"prompt": "Why is the sky blue?", "a": "Rayleigh scattering.", "b": "Because."}


@contextmanager
def service(tmp_path: Path, *judges: str, **settings: Any) -> Generator[Service]:
    """A service with these judges."""
    connection = settings.pop("connection", None)
    reached = None if connection is None else Connection.model_validate(connection)
    with serving(named_judges(judges), tmp_path / "ledger.sqlite", reached, **settings) as opened:
        yield opened


@contextmanager
def client(tmp_path: Path, *judges: str, **settings: Any) -> Generator[TestClient]:
    """A client of such a service."""
    with service(tmp_path, *(judges or ("scripted:random",)), **settings) as opened:
        yield TestClient(application(opened, hosts=("127.0.0.1",)), base_url="http://127.0.0.1")


@contextmanager
def service_process(folder: Path, *judges: str, token: str | None = None) -> Generator[str]:
    """The address of `preceptor serve` in a process of its own."""
    named = [option for judge in judges for option in ("--judge", judge)]
    command = [sys.executable, "-m", "preceptor", "serve", *named, "--port", "0", "--data", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != "PRECEPTOR_SERVICE_TOKEN"}
    environment |= {"PRECEPTOR_SERVICE_TOKEN": token} if token else {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://[\d.:]+", line)
            assert found is not None, line
            yield found[0]
        finally:
            process.kill()
