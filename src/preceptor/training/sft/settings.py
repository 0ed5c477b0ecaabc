"""Settings of supervised fine-tuning."""

from pydantic import Field

from preceptor.training.optimizer_settings import OptimizerSettings


class SftSettings(OptimizerSettings):
    """How a model learns demonstrations. The loss is on the tokens of the answer and its end alone."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak learning rate; of all weights (`tuning.method = "full"`) a tenth of it is usual."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the demonstrations."""
    batch_size: int = Field(default=16, ge=1)
    """Demonstrations of one update, over all processes and parts."""
    max_length: int = Field(default=1024, ge=2)
    """Most tokens of prompt and answer; a longer demonstration is left out, for one cut short teaches no ending."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Updates between two checkpoints to resume from."""
