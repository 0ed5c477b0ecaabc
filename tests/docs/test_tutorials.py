"""The tutorials, followed from top to bottom. The one on notebooks is run as a notebook, in `test_notebook.py`."""

import sys
from pathlib import Path

import pytest

from doc_blocks import Session, live_pages

_TUTORIALS = {name: page for name, page in live_pages().items() if name.startswith("docs/tutorials/")}


@pytest.mark.parametrize("name", sorted(_TUTORIALS.keys() - {"docs/tutorials/notebook.md"}))
def test_a_tutorial_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    Session(tmp_path).follow(_TUTORIALS[name])
