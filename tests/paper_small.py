"""A folder of data for the paper's tables, as small as they take it."""

import json
from collections.abc import Sequence
from pathlib import Path

WORDS = ("ant", "bee", "cow", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay", "kiwi", "lynx", "mole", "newt")


def write_preferences(folder: Path, *tasks: str, words: Sequence[str] = WORDS) -> Path:
    """People's comparisons of each task: the longer response is always the better one."""
    for task in tasks:
        rows = [
            {"prompt": f"{task}: say {w}", "response_a": w, "response_b": f"no {w}", "label": "b", "id": f"{task}-{w}"}
            for w in words
        ]
        (folder / task).mkdir(parents=True, exist_ok=True)
        (folder / task / "preferences.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
