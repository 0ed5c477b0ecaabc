"""The notebook: the tutorial's cells, without outputs, and they run inside the event loop that a notebook has."""

import ast
import asyncio
import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from doc_blocks import ROOT

NOTEBOOK = ROOT / "examples/notebook.ipynb"


def test_it_is_the_tutorial() -> None:
    written = runpy.run_path(str(ROOT / "docs/generate/notebook.py"))["notebook"]()
    assert NOTEBOOK.read_text(encoding="utf-8") == written, "run python docs/generate/notebook.py"


def test_its_cells_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    shown = asyncio.run(_run([text for text in code if not text.startswith("%")]))
    assert any("<table" in each for each in shown)


async def _run(cells: list[str]) -> list[str]:
    """Runs cells as a notebook does: what the last line of each is, as it would be shown."""
    names: dict[str, Any] = {"__name__": "__main__"}
    shown: list[str] = []
    for number, text in enumerate(cells):
        tree = ast.parse(text)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
            shown.append(value._repr_html_() if hasattr(value, "_repr_html_") else repr(value))
    return shown
