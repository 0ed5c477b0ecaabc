"""What a run took off its judge's log-odds."""

from preceptor.results.base import Record


class BiasRecord(Record):
    """What was taken off the judge's log-odds in training."""

    hash: str
    """Of the correction."""
    excess: dict[str, float]
    """Log-odds for a unit of each feature."""
    before: float | None
    """What is taken off a response to a test prompt, on average, before training."""
    after: float | None
