"""Files of a training in steps, which can be killed at any moment and then continues as if never interrupted.

    metrics.jsonl       one row per finished step; the same numbers however often the training was interrupted
    state/step-000012/  everything that the next step needs: weights, the optimiser's tensors, and `step.json` with the
                        rest; the newest one only

A state is complete once its folder has its name, because the folder is renamed last. Rows of later steps are cut off,
since these steps are repeated.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from preceptor.core.errors import CheckpointError
from preceptor.core.types import JsonObject
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

TorchState: TypeAlias = dict[str, Any]
"""What torch's `state_dict` returns: tensors, numbers, and lists and dicts of them."""


class TrainingState:
    """The rows and the newest state of one training. One process writes; all may read.

    Args:
        root: the folder of the rows and the state.
    """

    def __init__(self, root: Path) -> None:
        self.metrics = root / "metrics.jsonl"
        self.folder = root / "state"

    def newest(self) -> JsonObject | None:
        """The `step.json` of the newest state, which is verified; None if there is no state. Makes the folder, and
        removes incomplete files of a killed process.

        Raises: CheckpointError when the state is truncated or altered.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_partials(self.folder)
        if self.step == 0:
            return None
        check_folder(self._folder(self.step))
        return read_json(self._folder(self.step) / "step.json")

    @property
    def step(self) -> int:
        """The step of the newest state; 0 if there is none."""
        names = (path.name.removeprefix("step-") for path in self.folder.glob("step-*"))
        return max((int(name) for name in names if name.isdigit()), default=0)

    def cut_rows(self, last: JsonObject | None = None, step: int | None = None) -> None:
        """Cuts the rows to those up to the newest state.

        Args:
            last: the row of that step, if the state holds it; a killed process may not have written it.
            step: the step of the newest state, if it is kept elsewhere.

        Raises: CheckpointError when rows are missing before it.
        """
        step = self.step if step is None else step
        kept: list[dict[str, Any]] = read_rows(self.metrics)
        rows = [row for row in kept if row["step"] <= step - (last is not None)]
        rows += [] if last is None else [dict(last)]
        if [row["step"] for row in rows] != list(range(1, step + 1)):
            raise CheckpointError(f"{self.metrics}: rows are missing before step {step}; restore the file from a copy")
        write_rows(self.metrics, rows)

    def add_row(self, row: Mapping[str, object]) -> None:
        """Adds the row of a finished step."""
        append_line(self.metrics, dict(row))

    def save(self, step: int, weights: Mapping[str, Tensor], optimizer: TorchState, rest: Mapping[str, object]) -> None:
        """Writes the state after a step.

        Args:
            optimizer: tensors and numbers, saved with torch.
            rest: everything else that the next step needs, as JSON: `step.json`.
        """

        def fill(folder: Path) -> None:
            save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "weights.safetensors")
            torch.save(optimizer, folder / "optimizer.pt")
            write_json(folder / "step.json", dict(rest))

        write_folder(self._folder(step), fill)

    def drop_older(self) -> None:
        """Removes all states but the newest."""
        newest = self._folder(self.step)
        for older in self.folder.iterdir():
            if older != newest:
                shutil.rmtree(older)

    def load(self, device: str = "cpu") -> tuple[dict[str, Tensor], TorchState, JsonObject]:
        """Weights, the optimiser's tensors and `step.json` of the newest state, which `newest` verified."""
        folder = self._folder(self.step)
        weights = load_file(folder / "weights.safetensors", device=device)
        return weights, torch.load(folder / "optimizer.pt", weights_only=True), read_json(folder / "step.json")

    def _folder(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"
