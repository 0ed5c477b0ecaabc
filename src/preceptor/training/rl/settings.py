"""Settings of the RL loop."""

from typing import Literal

from pydantic import Field

from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen

RewardKind = Literal["expectation", "log_odds"]


class RLSettings(Frozen):
    """How the policy is trained. One step samples a batch, rewards it and updates the policy once."""

    algorithm: Literal["reinforce", "rloo"] = "rloo"
    """How rewards become advantages."""
    steps: int = Field(default=100, ge=1)
    """Updates of the policy."""
    prompts_per_step: int = Field(default=8, ge=1)
    """Prompts sampled from in each step (P)."""
    group_size: int = Field(default=4, ge=1)
    """Responses sampled for each prompt (G); RLOO compares them with each other."""
    max_new_tokens: int = Field(default=128, ge=1)
    """Length limit of a response."""
    temperature: float = Field(default=0.9, gt=0)
    """Sampling temperature; log-probabilities and KL are those of the distribution sampled from."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Peak learning rate of AdamW."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """The learning rate over the steps; linear and cosine fall towards 0 after the last step."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps before the peak learning rate, over which it rises in equal parts."""
    kl_coefficient: float = Field(default=0.05, ge=0)
    """β: what a nat of KL to the reference costs, taken off the reward."""
    clip_range: float = Field(default=0.2, gt=0)
    """ε: how far a response's probability ratio counts. Without effect while each batch is used for one update."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Micro-batches that a step's prompts are divided into; more need less memory and give the same update."""


def check_algorithm(settings: RLSettings) -> None:
    """Checks that the settings suit their algorithm. Here and not beside the algorithms, so that it needs no torch.

    Raises: UsageError saying what does not fit.
    """
    if settings.algorithm == "rloo" and settings.group_size < 2:
        raise UsageError(f"rl.group_size is {settings.group_size}; rloo compares siblings and needs at least 2")
