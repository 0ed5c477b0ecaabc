"""What a training run keeps on disk, so that it can be killed at any moment and go on as if nothing had happened.

    metrics.jsonl             one row per finished step; the same numbers however often the run was interrupted
    timings.jsonl             seconds of steps and measurements, which are never the same twice
    checkpoints/step-000010/  adapters in peft's format, written once
    state/step-000012/        everything that the next step needs; the newest one only

A step is finished when its state folder has its name. The folder holds the step's metrics row too, so the row can be
restored if the process died between the two writes.
"""

import dataclasses
import json
import shutil
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
)
from preceptor.training.policy import Policy
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.update import Updater


class TrainingFiles:
    """The files of one training run inside a run directory."""

    def __init__(self, root: Path) -> None:
        self.metrics = root / "metrics.jsonl"
        self.timings = root / "timings.jsonl"
        self._states = root / "state"
        self._checkpoints = root / "checkpoints"
        for folder in (self._states, self._checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
            remove_partials(folder)

    def seconds(self) -> float:
        """Seconds that finished steps and measurements took, in this process and earlier ones."""
        return sum(v for row in read_rows(self.timings) for v in row.values() if isinstance(v, float))

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint of a step."""
        return self._checkpoints / f"step-{step:06d}"

    def save_checkpoint(self, policy: Policy) -> Path:
        """Writes the policy's adapters as a checkpoint of its step; one that is there already is verified and kept."""
        folder = self.checkpoint(policy.step)
        if folder.exists():
            check_folder(folder)
        else:
            write_folder(folder, policy.save_adapter)
        return folder

    def load_checkpoint(self, policy: Policy, step: int) -> None:
        """Puts the adapters of a checkpoint into the policy.

        Raises: CheckpointError when it is missing, truncated or altered.
        """
        folder = self.checkpoint(step)
        check_folder(folder)
        policy.load_adapter_weights(load_file(folder / "adapter_model.safetensors"), step)

    def save_step(self, policy: Policy, updater: Updater, facts: UpdateFacts, seconds: dict[str, float]) -> None:
        """Finishes a step: state first, then the rows, then the older state goes."""
        row = {"step": policy.step, **dataclasses.asdict(facts)}

        def fill(folder: Path) -> None:
            save_file({n: t.contiguous() for n, t in policy.adapter_weights().items()}, folder / "adapter.safetensors")
            torch.save(updater.state(), folder / "optimizer.pt")
            write_json(folder / "step.json", {"row": row, "algorithm": updater.algorithm.state()})

        folder = self._states / f"step-{policy.step:06d}"
        write_folder(folder, fill)
        append_line(self.metrics, row)
        append_line(self.timings, {"step": policy.step, **{name: round(s, 3) for name, s in seconds.items()}})
        for older in self._states.iterdir():
            if older != folder:
                shutil.rmtree(older)

    def restore(self, policy: Policy, updater: Updater) -> int:
        """Puts back the newest finished step, if there is one, and cuts the rows to match.

        Returns: the number of finished steps.
        Raises: CheckpointError when the state is truncated or altered.
        """
        folders = sorted(self._states.iterdir())
        if not folders:
            write_rows(self.metrics, [])
            self._cut_timings(0)
            return 0
        folder = folders[-1]
        check_folder(folder)
        kept: dict[str, Any] = json.loads((folder / "step.json").read_text(encoding="utf-8"))
        step = int(kept["row"]["step"])
        policy.load_adapter_weights(load_file(folder / "adapter.safetensors"), step)
        updater.load_state(torch.load(folder / "optimizer.pt", weights_only=True))
        updater.algorithm.load_state(kept["algorithm"])
        rows = [row for row in read_rows(self.metrics) if row["step"] < step] + [kept["row"]]
        if [row["step"] for row in rows] != list(range(1, step + 1)):
            raise CheckpointError(f"{self.metrics}: rows are missing before step {step}; restore the file from a copy")
        write_rows(self.metrics, rows)
        self._cut_timings(step)
        return step

    def _cut_timings(self, step: int) -> None:
        write_rows(self.timings, [row for row in read_rows(self.timings) if row.get("step", 0) <= step])
