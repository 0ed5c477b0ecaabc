"""The facts of an update: a row of `metrics.jsonl`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class UpdateFacts:
    """What one update saw and did. Deterministic: no times in here."""

    reward: float | None
    """Mean reward over the responses that have one, before the KL penalty; None when none has."""
    reward_std: float | None
    kl: float
    """Mean over responses of log π - log π_ref summed over tokens, in nats, at the sampling temperature."""
    kl_coefficient: float
    """β of this step."""
    tokens: float
    """Mean number of tokens of a response."""
    finished: float
    """Share of responses that ended before the length limit."""
    abstained: int
    """Responses without a reward."""
    flat_groups: int
    """Prompts whose rewards taught nothing: all of them equal, or too few."""
    loss: float
    """Mean over the step's updates."""
    grad_norm: float
    """Before clipping; the largest of the step's updates."""
    learning_rate: float
