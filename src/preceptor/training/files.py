"""What the training of a policy keeps on disk: its state (`training/state.py`), its times, its checkpoints.

    metrics.jsonl, state/     as every training in steps
    timings.jsonl             seconds of steps and measurements, which are never the same twice
    checkpoints/step-000010/  adapters in peft's format, or whole models, written once

A step is finished when its state is there. The state holds the step's row too, so that the row can be restored if the
process died between the two writes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from preceptor.core.types import JsonObject
from preceptor.store.files import (
    append_line,
    check_folder,
    read_rows,
    remove_partials,
    write_folder,
    write_rows,
    write_text,
)
from preceptor.training.policy import Policy
from preceptor.training.state import TorchState, TrainingState


@dataclass(frozen=True)
class Restored:
    """What a run goes on from. The policy has its weights already."""

    step: int
    state: TorchState
    """What was to be kept with torch: the optimiser's tensors."""
    extra: JsonObject
    """What was to be kept as JSON."""


def _object(value: JsonValue) -> JsonObject:
    assert isinstance(value, dict)  # as `save_step` wrote it
    return value


class RunFiles:
    """The files of one policy's training inside a run directory. All processes may read them; the main one writes.

    Args:
        card: the model card of a checkpoint, from the number of its step; None for none.
    """

    def __init__(self, root: Path, card: Callable[[int], str] | None = None) -> None:
        self.root = root
        self._card = card
        self._state = TrainingState(root)
        self.metrics = self._state.metrics
        self.timings = root / "timings.jsonl"
        self._checkpoints = root / "checkpoints"

    def prepare(self) -> None:
        """Makes the folders, removes what a killed process left half written, and cuts the rows to the newest finished
        step.

        Raises: CheckpointError when the state is truncated or altered, or rows are missing before it.
        """
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        remove_partials(self._checkpoints)
        newest = self._state.newest()
        self._state.cut_rows(None if newest is None else _object(newest["row"]))
        step = self._state.step
        timings: list[dict[str, Any]] = read_rows(self.timings)
        write_rows(self.timings, [row for row in timings if row.get("step", 0) <= step])

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
        state: TorchState,
        extra: JsonObject,
        row: Mapping[str, JsonValue],
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
        self._state.save(policy.step, policy.weights(), state, {"row": row, "extra": extra})
        self._state.add_row(row)
        append_line(self.timings, {"step": policy.step, **{name: round(s, 3) for name, s in seconds.items()}})
        self._state.drop_older()

    def restore(self, policy: Policy) -> Restored | None:
        """Puts the weights of the newest finished step into the policy, and gives what else it needs.

        `prepare` comes first. Returns: None where no step is finished.
        """
        step = self._state.step
        if step == 0:
            return None
        weights, optimizer, kept = self._state.load()
        policy.load_weights(weights, step)
        return Restored(step, optimizer, _object(kept["extra"]))
