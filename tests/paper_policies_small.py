"""A reproduction whose policies have answered already, so that tables of policies need no training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paper_small import WORDS, write_preferences
from preceptor.core.progress import Silence
from preceptor.methods.paper.data import open_data
from preceptor.methods.paper.policies.answers import file_name
from preceptor.methods.paper.scales import SCALES
from preceptor.methods.paper.table import PaperTable, Setup, Work

PROMPTS = [f"Tell {word} {number}" for word in WORDS for number in range(2)]
JUDGES = ("scripted:random", "scripted:first")


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def work_for(
    table: PaperTable, root: Path, *tasks: str, policy: str = "embedded", scale: str = "tiny", prompts: int = 100
) -> Work:
    """What a table is given, with prompts for each task, and people's comparisons for helpful dialogue."""
    data = root / "data"
    for task in tasks:
        write_lines(data / task / "prompts.jsonl", [{"prompt": f"{task} {i}: {WORDS[i % 14]}"} for i in range(prompts)])
    if "helpful" in tasks:
        write_preferences(data, "helpful")
    setup = Setup(policy=policy, judges=JUDGES, data=open_data(data), scale=SCALES[scale])
    folder = root / "out" / "tables" / table.name
    folder.mkdir(parents=True, exist_ok=True)
    return Work(setup, root / "out", folder, Silence(), table.judged(setup))


def answered(
    work: Work, task: str, by_policy: Mapping[str, Sequence[str]], runs: Mapping[str, Path] | None = None
) -> None:
    """Writes what trained policies would have left: test prompts, policies and their answers."""
    folder = work.root.absolute() / "policies" / task
    prompts = [{"id": f"p{i}", "prompt": text} for i, text in enumerate(PROMPTS)]
    write_lines(folder / "data" / "test.jsonl", prompts)
    write_lines(folder / "data" / "prompts.jsonl", [{"prompt": "Train"}])
    kept = {"policies": dict.fromkeys(by_policy, "nowhere"), "unlabelled": {}}
    (folder / "trained.json").write_text(json.dumps(kept | {"runs": {k: str(v) for k, v in (runs or {}).items()}}))
    for name, texts in by_policy.items():
        rows = [{"id": f"p{i}", "response": text, "finished": True} for i, text in enumerate(texts)]
        write_lines(folder / "answers" / f"{file_name(name)}.jsonl", rows)
