"""A whole run that takes seconds: the tiny random model as policy, a scripted judge, ten prompts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from preceptor.core.outlook import Part
from preceptor.core.progress import Facts

WORDS = ("ant", "bee", "cow", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay", "kiwi", "lynx", "mole", "newt")


RL = [
    "rl.steps=5",
    "rl.prompts_per_step=2",
    "rl.group_size=3",
    "rl.max_new_tokens=6",
]
JUDGE = ["judge.model=scripted:random"]
WAIVED = "licence.waived=true"
"""Recipes for larger models ask for a judge with a licence; the quick start does not."""


def shared(folder: Path, policy: Path) -> list[str]:
    """Overrides of any recipe; also writes the files that they name."""
    prompts, references = folder / "prompts.jsonl", folder / "references.jsonl"
    rows: list[dict[str, Any]] = [{"prompt": f"Say {w}", "cohort": (w[0] < "h" and "early") or "late"} for w in WORDS]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    references.write_text("".join(json.dumps({"prompt": w, "reference": w * 2}) + "\n" for w in WORDS[:4]))
    return [
        f"policy={policy}",
        f"prompts={prompts}",
        f"evaluation.references={references}",
        "evaluation.heldout_share=0.6",
        "evaluation.validation_share=0.4",
        "evaluation.checkpoint_every=2",
        "evaluation.stop_early=false",
        "evaluation.bounds.max_kl=1e6",
        "tuning.rank=2",
        WAIVED,
    ]


def settings(folder: Path, policy: Path) -> list[str]:
    """Overrides of the quick start; also writes the prompt files that they name."""
    return [*(each for each in shared(folder, policy) if each != WAIVED), *JUDGE, *RL]


def demonstrations(folder: Path) -> str:
    """An override that names demonstrations, of prompts that are not measured on."""
    path = folder / "demonstrations.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Name {w}", "completion": f"{w}!"}) + "\n" for w in WORDS))
    return f"sft.demonstrations={path}"


def people(folder: Path) -> str:
    """An override that names comparisons that people labelled, one of a held-out prompt among them."""
    path = folder / "people.jsonl"
    rows = [{"prompt": f"Name {w}", "response_a": w, "response_b": "no", "label": "a"} for w in WORDS]
    rows += [{"prompt": f"Say {w}", "response_a": w, "response_b": "no", "label": "b"} for w in WORDS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f'preferences.human=["{path}"]'


T = TypeVar("T")


def known(value: T | None) -> T:
    """The value, which must be there."""
    assert value is not None
    return value


class Told:
    """Listens to a run and keeps what it was told."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.notes: list[str] = []
        self.measured_at: list[int] = []

    def plan(self, parts: Sequence[Part]) -> None: ...

    def stage(self, name: str) -> None: ...

    def advance(self, done: int, total: int, facts: str = "") -> None: ...

    def step(self, step: int, total: int, facts: Facts) -> None:
        self.steps.append(step)

    def measured(self, step: int, facts: Facts) -> None:
        self.measured_at.append(step)

    def note(self, text: str) -> None:
        self.notes.append(text)
