"""A service in this process, and a client of it."""

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
