"""The facts of an update: a row of `metrics.jsonl`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UpdateFacts:
    """The facts of one update. They are deterministic, so they contain no times."""

    reward: float | None
    """Mean reward over the responses that have one, before the KL penalty; None when none has."""
    reward_std: float | None
    kl: float
    """Mean over responses of Σ (log π - log π_ref) over tokens, in nats, at the sampling temperature."""
    kl_coefficient: float
    """β of this step."""
    tokens: float
    """Mean number of tokens of a response."""
    finished: float
    """Share of responses that ended before the length limit."""
    abstained: int
    """Responses without a reward."""
    flat_groups: int
    """Prompts without a learning signal: their rewards are all equal, or too few."""
    loss: float
    """Mean loss over the step's updates."""
    grad_norm: float
    """Gradient norm before clipping; the largest of the step's updates."""
    learning_rate: float
