"""A whole run that takes seconds: the tiny random model as policy, a scripted judge, ten prompts."""

import json
from pathlib import Path
from typing import Any

from preceptor.evaluation.snapshot import Snapshot
from preceptor.training.rl.facts import UpdateFacts

WORDS = ("ant", "bee", "cow", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay", "kiwi", "lynx", "mole", "newt")


def settings(folder: Path, policy: Path) -> list[str]:
    """Overrides of the quick start; also writes the prompt files that they name."""
    prompts, references = folder / "prompts.jsonl", folder / "references.jsonl"
    rows: list[dict[str, Any]] = [{"prompt": f"Say {w}", "cohort": (w[0] < "h" and "early") or "late"} for w in WORDS]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    references.write_text("".join(json.dumps({"prompt": w, "reference": w * 2}) + "\n" for w in WORDS[:4]))
    return [
        f"policy={policy}",
        f"prompts={prompts}",
        f"evaluation.references={references}",
        "judge.model=scripted:random",
        "evaluation.heldout_share=0.4",
        "evaluation.checkpoint_every=2",
        "evaluation.stop_early=false",
        "evaluation.bounds.max_kl=1e6",
        "rl.steps=5",
        "rl.prompts_per_step=2",
        "rl.group_size=3",
        "rl.max_new_tokens=6",
        "lora.rank=2",
    ]


class Told:
    """Listens to a run and keeps what it was told."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.notes: list[str] = []
        self.measured_at: list[int] = []

    def stage(self, name: str) -> None: ...

    def step(self, step: int, total: int, facts: UpdateFacts) -> None:
        self.steps.append(step)

    def measured(self, snapshot: Snapshot) -> None:
        self.measured_at.append(snapshot.step)

    def note(self, text: str) -> None:
        self.notes.append(text)
