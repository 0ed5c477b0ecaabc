"""Files of a policy's training: its state (`training/state.py`), its times, its checkpoints.

    metrics.jsonl, state/     as in every training in steps
    timings.jsonl             seconds of steps and measurements, which differ between runs
    checkpoints/step-000010/  adapters in peft's format, or whole models, written once

A step is finished when its state is on disk. The state also holds the step's row, so that the row can be restored if
the process died between the two writes.
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
    """The state from which a run continues. The policy already has its weights."""

    step: int
    state: TorchState
    """The part saved with torch: the optimiser's tensors."""
    extra: JsonObject
    """The part saved as JSON."""


def _object(value: JsonValue) -> JsonObject:
    assert isinstance(value, dict)  # as `save_step` wrote it
    return value


class RunFiles:
    """The files of one policy's training inside a run directory. All processes may read them; the main one writes.

    Args:
        card: returns the model card of a checkpoint, given its step; None writes no cards.
    """

    def __init__(self, root: Path, card: Callable[[int], str] | None = None) -> None:
        self.root = root
        self._card = card
        self._state = TrainingState(root)
        self.metrics = self._state.metrics
        self.timings = root / "timings.jsonl"
        self._checkpoints = root / "checkpoints"

    def prepare(self, elsewhere: int | None = None) -> None:
        """Makes the folders, removes incomplete files of a killed process, and cuts the rows to the newest finished
        step.

        Args:
            elsewhere: the step of the newest state, where an engine keeps its state itself.

        Raises: CheckpointError when the state is truncated or altered, or rows are missing before it.
        """
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        remove_partials(self._checkpoints)
        newest = self._state.newest() if elsewhere is None else None
        self._state.cut_rows(None if newest is None else _object(newest["row"]), elsewhere)
        step = self._state.step if elsewhere is None else elsewhere
        timings: list[dict[str, Any]] = read_rows(self.timings)
        write_rows(self.timings, [row for row in timings if row.get("step", 0) <= step])

    def seconds(self) -> float:
        """Seconds that finished steps and measurements took, in this process and earlier ones."""
        return sum(v for row in read_rows(self.timings) for v in row.values() if isinstance(v, float))

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint of a step."""
        return self._checkpoints / f"step-{step:06d}"

    def save_checkpoint(self, policy: Policy) -> Path:
        """Writes the policy as a checkpoint of its step; an existing one is verified and kept."""
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
        """Loads the weights of a checkpoint into the policy.

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
        """Finishes the policy's step: writes the state, then the rows, then removes the older state.

        Args:
            state: tensors and numbers that the next step needs, saved with torch.
            extra: further state, saved as JSON.
            row: the step's row of `metrics.jsonl`, without the step number.
            seconds: the step's row of `timings.jsonl`, by part of the step.
        """
        row = {"step": policy.step, **row}
        self._state.save(policy.step, policy.weights(), state, {"row": row, "extra": extra})
        self.add_rows(row, seconds)
        self._state.drop_older()

    def add_rows(self, row: Mapping[str, JsonValue], seconds: Mapping[str, float]) -> None:
        """Writes the rows of a finished step.

        Args:
            row: of `metrics.jsonl`, with the step number.
            seconds: the row of `timings.jsonl`, by part of the step.
        """
        self._state.add_row(row)
        append_line(self.timings, {"step": row["step"], **{name: round(s, 3) for name, s in seconds.items()}})

    def restore(self, policy: Policy) -> Restored | None:
        """Loads the weights of the newest finished step into the policy, and returns the rest of the state.

        Call `prepare` first. Returns: None if no step is finished.
        """
        step = self._state.step
        if step == 0:
            return None
        weights, optimizer, kept = self._state.load()
        policy.load_weights(weights, step)
        return Restored(step, optimizer, _object(kept["extra"]))
