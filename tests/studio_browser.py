"""A person's browser window, and a studio that a real server serves."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Page

from studio_small import OWNER_TOKEN

SERIOUS = ("serious", "critical")


class Screen:
    """One person's browser window. What goes wrong in the page is collected in `errors`."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context = context
        self.address = address
        self.errors: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def sign_in(self, token: str = OWNER_TOKEN) -> "Screen":
        """Opens an invitation link."""
        self.page.goto(f"{self.address}/enter/{token}")
        return self

    def open(self, path: str) -> "Screen":
        """Opens a page."""
        self.page.goto(self.address + path)
        return self

    def barriers(self) -> list[str]:
        """What axe-core finds that shuts people out: serious and critical violations, with the elements."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{violation['id']}: {node['html'][:200]}"
            for violation in found
            if violation["impact"] in SERIOUS
            for node in violation["nodes"]
        ]


class Server:
    """`preceptor studio` in a process of its own."""

    def __init__(self, data: Path, *folders: Path) -> None:
        environment = os.environ | {"PRECEPTOR_STUDIO_TOKEN": OWNER_TOKEN, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "preceptor", "studio", *map(str, folders), "--data", str(data), "--port", "0"],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.address = line.split(" at ")[1].split(". ")[0]

    def kill(self) -> None:
        """Ends the server as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


OpenScreen = Callable[..., Screen]
"""`screen(address, width=390, height=844, dark=True)` opens a window."""
Serve = Callable[..., Server]
"""`serve(*folders)` starts a studio with the data folder `tmp_path / "studio"`."""
