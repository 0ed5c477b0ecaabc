"""What became of the reward models of a run."""

from typing import Literal

from pydantic import Field

from preceptor.evaluation.judges.reward_accuracy import RewardAccuracy
from preceptor.results.base import Record


class RewardModelMember(Record):
    """The training of one reward model."""

    steps: int
    pairs: int
    left_out: dict[str, int]
    length_correlation: float | None = Field(default=None, exclude_if=lambda r: r is None)
    """Of scores' and lengths' differences on the training pairs, before length was taken out of the head."""


class RewardModelRecord(Record):
    """Result of training a reward model, or an ensemble of them."""

    identity: str
    members: int
    pessimism: float
    offsets: tuple[float, ...] | None
    """Mean reward that is subtracted from each member's; None for a single model."""
    training_pairs: int
    trained: tuple[RewardModelMember, ...]
    held_out_pairs: int
    accuracy: RewardAccuracy | None
    """On the held-out pairs; None if there are none, or none of them has a reward."""
    in_words: str
    combine: Literal["ensemble", "soup"] = Field(default="ensemble", exclude_if=lambda how: how == "ensemble")
    length_correlation: float | None = Field(default=None, exclude_if=lambda r: r is None)
