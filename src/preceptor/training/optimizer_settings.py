"""Settings that every learner of our own shares. Without torch, so that recipes are checked before it is loaded."""

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
    """Steps before the peak learning rate, over which it rises in equal parts."""
    max_grad_norm: Real = Field(default=1.0, gt=0, le=1e9)
    """Gradients are scaled down to this norm."""
    gradient_accumulation_steps: Integer = Field(default=1, ge=1, le=65_536)
    """Parts that each process divides its batch into; more need less memory and give the same update."""
