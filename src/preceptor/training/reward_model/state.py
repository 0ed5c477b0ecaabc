"""What the training of a reward model keeps on disk. See `train` for the files."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from preceptor.core.errors import CheckpointError, UsageError
from preceptor.store.files import (
    append_line,
    check_folder,
    read_json,
    read_rows,
    remove_partials,
    write_folder,
    write_json,
    write_rows,
)
from preceptor.training.optimizer import Optimizer
from preceptor.training.processes import Processes
from preceptor.training.reward_model.model import RewardModel


class RewardModelFiles:
    """The files of one reward model's training. The main process writes, all read.

    Args:
        setup: a hash of what the numbers depend on: settings, seed and pairs.
    """

    def __init__(self, root: Path, setup: str, processes: Processes) -> None:
        self._metrics = root / "metrics.jsonl"
        self._states = root / "state"
        self._setup = setup
        self._processes = processes
        processes.on_main(self._prepare)

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Adds the row of a finished step."""
        self._processes.on_main(lambda: append_line(self._metrics, dict(row)))

    def save_state(self, model: RewardModel, optimizer: Optimizer) -> None:
        """Saves what the next step needs; then the older state goes."""
        self._processes.on_main(lambda: self._save(model, optimizer))

    def restore(self, model: RewardModel, optimizer: Optimizer) -> int:
        """Puts back the newest state, if there is one, and cuts the rows to match.

        Returns: the number of finished steps.
        Raises: CheckpointError when the state is truncated or altered, UsageError when it is another training's.
        """
        step = self._processes.on_main(self._newest)
        if step:
            folder = self._folder(step)
            weights = load_file(folder / "weights.safetensors", device=str(model.trainable[0].device))
            model.load_weights(weights, step)
            optimizer.load_state(torch.load(folder / "optimizer.pt", weights_only=True))
        return step

    def _prepare(self) -> None:
        self._states.mkdir(parents=True, exist_ok=True)
        remove_partials(self._states)

    def _folder(self, step: int) -> Path:
        return self._states / f"step-{step:06d}"

    def _save(self, model: RewardModel, optimizer: Optimizer) -> None:
        folder = self._folder(model.step)

        def fill(partial: Path) -> None:
            weights = {name: tensor.contiguous() for name, tensor in model.weights().items()}
            save_file(weights, partial / "weights.safetensors")
            torch.save(optimizer.state(), partial / "optimizer.pt")
            write_json(partial / "step.json", {"step": model.step, "setup": self._setup})

        write_folder(folder, fill)
        for older in self._states.iterdir():
            if older != folder:
                shutil.rmtree(older)

    def _newest(self) -> int:
        """Step of the newest state, verified; 0 where there is none. The rows after it are cut off."""
        folders = sorted(self._states.iterdir())
        if not folders:
            write_rows(self._metrics, [])
            return 0
        check_folder(folders[-1])
        kept = read_json(folders[-1] / "step.json")
        if kept["setup"] != self._setup:
            raise UsageError(
                f"{self._states}: holds the state of a training with other pairs, settings, seed, tuning or model; "
                "train in another folder, or delete this one"
            )
        step = int(kept["step"])
        rows = [row for row in read_rows(self._metrics) if row["step"] <= step]
        if [row["step"] for row in rows] != list(range(1, step + 1)):
            raise CheckpointError(f"{self._metrics}: rows are missing before step {step}; restore it from a copy")
        write_rows(self._metrics, rows)
        return step
