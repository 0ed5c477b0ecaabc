"""Optimiser settings shared by all trainers. Needs no torch, so that recipes are checked before torch is loaded."""

from typing import Literal

from pydantic import Field

from preceptor.core.types import Frozen, Integer, Real


class OptimizerSettings(Frozen):
    """How gradients become steps."""

    optimizer: Literal["adamw", "adafactor"] = "adamw"
    """Adafactor needs less memory (Shazeer & Stern 2018); Lee et al. 2023 use it."""
    learning_rate: Real = Field(default=1e-5, gt=0, le=10)
    """Peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """The learning rate over the steps; linear and cosine fall towards 0 after the last step."""
    warmup_steps: Integer = Field(default=0, ge=0, le=1_000_000)
    """Number of steps over which the learning rate rises linearly to its peak."""
    max_grad_norm: Real = Field(default=1.0, gt=0, le=1e9)
    """Gradients with a larger norm are scaled down to it."""
    gradient_accumulation_steps: Integer = Field(default=1, ge=1, le=65_536)
    """Parts into which each process divides its batch; more parts need less memory and give the same update."""
