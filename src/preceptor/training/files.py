"""What a training run keeps on disk, so that it can be killed at any moment and go on as if nothing had happened.

    metrics.jsonl             one row per finished step; the same numbers however often the run was interrupted
    timings.jsonl             seconds of steps and measurements, which are never the same twice
    checkpoints/step-000010/  adapters in peft's format, or whole models, written once
    state/step-000012/        everything that the next step needs; the newest one only

A step is finished when its state folder has its name. The folder holds the step's metrics row too, so the row can be
restored if the process died between the two writes.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from preceptor.core.errors import CheckpointError
from preceptor.store.files import (
    append_line,
    check_folder,
    read_rows,
    remove_partials,
    write_folder,
    write_json,
    write_rows,
    write_text,
)
from preceptor.training.policy import Policy


@dataclass(frozen=True)
class Restored:
    """What a run goes on from. The policy has its weights already."""

    step: int
    state: dict[str, Any]
    """What was to be kept with torch: the optimiser's tensors."""
    extra: dict[str, Any]
    """What was to be kept as JSON."""


class RunFiles:
    """The files of one training run inside a run directory. All processes may read them; the main one writes.

    Args:
        card: the model card of a checkpoint, from the number of its step; None for none.
    """

    def __init__(self, root: Path, card: Callable[[int], str] | None = None) -> None:
        self.root = root
        self._card = card
        self.metrics = root / "metrics.jsonl"
        self.timings = root / "timings.jsonl"
        self._states = root / "state"
        self._checkpoints = root / "checkpoints"

    def prepare(self) -> None:
        """Makes the folders, removes what a killed process left half written, and cuts the rows to the newest finished
        step.

        Raises: CheckpointError when the state is truncated or altered, or rows are missing before it.
        """
        for folder in (self._states, self._checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
            remove_partials(folder)
        row = self._newest_row()
        step = 0 if row is None else int(row["step"])
        rows = [each for each in read_rows(self.metrics) if each["step"] < step] + ([row] if row else [])
        if [each["step"] for each in rows] != list(range(1, step + 1)):
            raise CheckpointError(f"{self.metrics}: rows are missing before step {step}; restore the file from a copy")
        write_rows(self.metrics, rows)
        write_rows(self.timings, [each for each in read_rows(self.timings) if each.get("step", 0) <= step])

    def seconds(self) -> float:
        """Seconds that finished steps and measurements took, in this process and earlier ones."""
        return sum(v for row in read_rows(self.timings) for v in row.values() if isinstance(v, float))

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint of a step."""
        return self._checkpoints / f"step-{step:06d}"

    def save_checkpoint(self, policy: Policy) -> Path:
        """Writes the policy as a checkpoint of its step; one that is there already is verified and kept."""
        folder = self.checkpoint(policy.step)
        if folder.exists():
            check_folder(folder)
        else:
            write_folder(folder, lambda partial: self._fill(policy, partial))
        return folder

    def _fill(self, policy: Policy, folder: Path) -> None:
        policy.save(folder)
        if self._card is not None:
            write_text(folder / "README.md", self._card(policy.step))

    def load_checkpoint(self, policy: Policy, step: int) -> None:
        """Puts the weights of a checkpoint into the policy.

        Raises: CheckpointError when it is missing, truncated or altered.
        """
        folder = self.checkpoint(step)
        check_folder(folder)
        policy.load(folder, step)

    def save_step(
        self,
        policy: Policy,
        state: dict[str, Any],
        extra: dict[str, Any],
        row: dict[str, Any],
        seconds: dict[str, float],
    ) -> None:
        """Finishes the policy's step: state first, then the rows, then the older state goes.

        Args:
            state: tensors and numbers that the next step needs, saved with torch.
            extra: the same as JSON.
            row: of `metrics.jsonl`, beside the step.
            seconds: of `timings.jsonl`, by part of the step.
        """
        row = {"step": policy.step, **row}

        def fill(folder: Path) -> None:
            save_file({n: t.contiguous() for n, t in policy.weights().items()}, folder / "weights.safetensors")
            torch.save(state, folder / "optimizer.pt")
            write_json(folder / "step.json", {"row": row, "extra": extra})

        folder = self._states / f"step-{policy.step:06d}"
        write_folder(folder, fill)
        append_line(self.metrics, row)
        append_line(self.timings, {"step": policy.step, **{name: round(s, 3) for name, s in seconds.items()}})
        for older in self._states.iterdir():
            if older != folder:
                shutil.rmtree(older)

    def restore(self, policy: Policy) -> Restored | None:
        """Puts the weights of the newest finished step into the policy, and gives what else it needs.

        `prepare` comes first. Returns: None where no step is finished.
        """
        folder = self._newest()
        if folder is None:
            return None
        kept = _kept(folder)
        step = int(kept["row"]["step"])
        policy.load_weights(load_file(folder / "weights.safetensors"), step)
        return Restored(step, torch.load(folder / "optimizer.pt", weights_only=True), kept["extra"])

    def _newest(self) -> Path | None:
        return max(self._states.iterdir(), default=None)

    def _newest_row(self) -> dict[str, Any] | None:
        folder = self._newest()
        if folder is None:
            return None
        check_folder(folder)
        return _kept(folder)["row"]


def _kept(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "step.json").read_text(encoding="utf-8"))
