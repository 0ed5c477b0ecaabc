"""Settings of reward models. Needs no torch."""

from typing import Literal

from pydantic import Field, model_validator

from preceptor.core.types import Flag, Integer, Real, Tokens
from preceptor.training.optimizer_settings import OptimizerSettings


class RewardModelSettings(OptimizerSettings):
    """How a reward model is trained on pairs (Lee et al. 2023, section 2.1.2)."""

    epochs: Integer = Field(default=2, ge=1, le=10_000)
    """Passes over the pairs; the paper trains for 2 to 3."""
    batch_size: Integer = Field(default=32, ge=1, le=1_000_000)
    """Pairs per step."""
    labels: Literal["soft", "hard"] = "soft"
    """`soft` learns the label's probability; `hard` rounds it to 0 or 1 and leaves ties out."""
    center_coefficient: Real = Field(default=0.0, ge=0, le=1e6)
    """κ: how strongly the mean of a pair's rewards is kept near 0 (Eisenstein et al. 2023)."""
    max_length: Tokens = Field(default=1152, ge=2)
    """Most tokens of prompt and response together; a pair with a longer text is left out and counted."""
    held_out_share: Real = Field(default=0.1, ge=0, lt=1)
    """Share of the prompts whose pairs are held out to measure the reward model."""
    save_every: Integer = Field(default=100, ge=1, le=1_000_000)
    """Number of steps after which the state is saved (also at the end of each epoch); a killed run can lose as many."""
    length_debiased: Flag = Field(default=False, exclude_if=lambda debiased: not debiased)
    """After training, change the head so that, on the training pairs, differences of scores have no correlation with
    differences of lengths (in doublings of characters)."""
    members: Integer = Field(default=1, ge=1, le=1_000)
    """Number of reward models to train, each with its own order of pairs."""
    combine: Literal["ensemble", "soup"] = Field(default="ensemble", exclude_if=lambda how: how == "ensemble")
    """`ensemble`: all members are asked, each with its own head, and the reward is their mean. `soup`: members begin
    with the same head, and their weights are averaged into one model (WARM, Ramé et al. 2024)."""
    pessimism: Real = Field(default=0.0, ge=0, le=1e6)
    """k: the reward is the members' mean minus k times their standard deviation (after Coste et al. 2023)."""

    @model_validator(mode="after")
    def _pessimism_needs_members(self) -> "RewardModelSettings":
        if self.pessimism > 0.0 and self.members < 2:
            raise ValueError(
                f"pessimism = {self.pessimism:g} needs members = 2 or more, whose disagreement it punishes"
            )
        if self.combine == "soup" and (self.members < 2 or self.pessimism > 0.0):
            wrong = f"members = {self.members}" if self.members < 2 else f"pessimism = {self.pessimism:g}"
            raise ValueError(
                f'combine = "soup" averages the weights of members = 2 or more into one model, which has no pessimism; '
                f"got {wrong}"
            )
        return self
