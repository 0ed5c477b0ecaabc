"""A studio that a real server serves, for tests in a real Chromium (`browser_fixtures`)."""

from collections.abc import Generator
from pathlib import Path

import pytest

from studio_browser import Serve, Server


@pytest.fixture
def serve(tmp_path: Path) -> Generator[Serve]:
    """Starts a studio with the data folder `tmp_path / "studio"`: `serve(*folders)`."""
    servers: list[Server] = []

    def started(*folders: Path) -> Server:
        servers.append(Server(tmp_path / "studio", *(folders or (tmp_path,))))
        return servers[-1]

    yield started
    for server in servers:
        if server.process.poll() is None:
            server.kill()
