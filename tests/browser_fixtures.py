"""A real Chromium for tests of pages, and a studio that a server serves. Without Chromium these tests are skipped."""

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # most tests need no browser
    from playwright.sync_api import Browser, BrowserContext

    from studio_browser import OpenScreen, Screen, Serve, Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def chromium() -> "Generator[Browser]":
    """The browser of one module's tests, since Playwright's event loop runs as long as it is open."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian's package: chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def screen(chromium: "Browser") -> "Generator[OpenScreen]":
    """Opens a window: `screen(address, width=390, dark=True)`."""
    from studio_browser import Screen

    contexts: list[BrowserContext] = []

    def opened(address: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> "Screen":
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        return Screen(context, address)

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def serve(tmp_path: Path) -> "Generator[Serve]":
    """Starts a studio with the data folder `tmp_path / "studio"`: `serve(*folders)`."""
    from studio_browser import Server

    servers: list[Server] = []

    def started(*folders: Path) -> "Server":
        servers.append(Server(tmp_path / "studio", *(folders or (tmp_path,))))
        return servers[-1]

    yield started
    for server in servers:
        if server.process.poll() is None:
            server.kill()
