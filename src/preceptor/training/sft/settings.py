"""Settings of supervised fine-tuning."""

from pydantic import Field

from preceptor.core.types import Integer, Real, Tokens
from preceptor.training.optimizer_settings import OptimizerSettings


class SftSettings(OptimizerSettings):
    """How a model learns demonstrations. The loss is only on the tokens of the answer and its end."""

    learning_rate: Real = Field(default=1e-4, gt=0, le=10)
    """Peak learning rate; for full tuning (`tuning.method = "full"`) a tenth of it is usual."""
    epochs: Integer = Field(default=1, ge=1, le=10_000)
    """Passes over the demonstrations."""
    batch_size: Integer = Field(default=16, ge=1, le=1_000_000)
    """Demonstrations per update, over all processes and parts."""
    max_length: Tokens = Field(default=1024, ge=2)
    """Most tokens of prompt and answer; a longer demonstration is left out, since a cut one has no ending to learn."""
    checkpoint_every: Integer = Field(default=100, ge=1, le=1_000_000)
    """Updates between two checkpoints to resume from."""
