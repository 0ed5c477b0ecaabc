"""Settings of direct preference optimisation."""

from typing import Literal

from pydantic import Field, model_validator

from preceptor.core.types import Integer, Real, Tokens
from preceptor.training.optimizer_settings import OptimizerSettings


class DpoSettings(OptimizerSettings):
    """How a policy learns from pairs (Rafailov et al. 2023)."""

    learning_rate: Real = Field(default=1e-5, gt=0, le=10)
    """Peak learning rate, suited to adapters; for full tuning (`tuning.method = "full"`) a tenth of it is usual."""
    epochs: Integer = Field(default=1, ge=1, le=10_000)
    """Passes over the pairs."""
    batch_size: Integer = Field(default=32, ge=1, le=1_000_000)
    """Pairs per update, over all processes and parts; the last update of an epoch may have fewer."""
    beta: Real = Field(default=0.1, gt=0, le=1e6)
    """β: the cost of moving away from the reference."""
    labels: Literal["soft", "hard"] = "soft"
    """`soft` learns the label's probability; `hard` rounds it to 0 or 1 and leaves exact ties out."""
    kind: Literal["sigmoid", "conservative", "robust"] = "sigmoid"
    """`sigmoid` trusts the labels; the others assume that they are wrong with probability `label_smoothing`:
    `conservative` mixes each label with its opposite, `robust` removes the expected effect of errors from the loss."""
    label_smoothing: Real = Field(default=0.0, ge=0, lt=0.5)
    """ε: the probability that a label is wrong."""
    max_length: Tokens = Field(default=1152, ge=2)
    """Most tokens of a prompt and one response; a pair with more is left out."""

    @model_validator(mode="after")
    def _smoothing_has_an_effect(self) -> "DpoSettings":
        if self.label_smoothing and self.kind == "sigmoid":
            raise ValueError('label_smoothing has no effect with kind "sigmoid"; choose "conservative" or "robust"')
        return self
