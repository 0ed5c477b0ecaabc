"""What a run took off its judge's log-odds."""

from pydantic import ConfigDict

from preceptor.core.types import Frozen


class BiasRecord(Frozen):
    """What was taken off the judge's log-odds in training."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    hash: str
    """Of the correction."""
    excess: dict[str, float]
    """Log-odds for a unit of each feature."""
    before: float | None
    """What is taken off a response to a test prompt, on average, before training."""
    after: float | None
