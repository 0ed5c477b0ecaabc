"""Writes `examples/notebook.ipynb` from the tutorial on notebooks, so that the two never differ.

python docs/generate/notebook.py
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TUTORIAL, NOTEBOOK = ROOT / "docs/tutorials/notebook.md", ROOT / "examples/notebook.ipynb"
_CODE = re.compile(r"^```python\n(.*?)^```\n", flags=re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_BESIDE_EXAMPLES = "%cd -q .."
"""A notebook starts in its own folder; the tutorial's paths begin one folder above."""


def notebook() -> str:
    """The notebook as JSON, without outputs."""
    text = TUTORIAL.read_text(encoding="utf-8")
    cells = [_cell("code", _BESIDE_EXAMPLES)]
    for number, part in enumerate(_CODE.split(text)):
        if part.strip():
            cells.append(_cell("code", part) if number % 2 else _cell("markdown", _LINK.sub(r"\1", part)))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    written = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(written, indent=1, ensure_ascii=False) + "\n"


def _cell(kind: str, text: str) -> dict[str, object]:
    cell: dict[str, object] = {"cell_type": kind, "metadata": {}, "source": text.strip().splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(), encoding="utf-8")
