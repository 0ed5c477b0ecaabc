"""Settings of the RL loop. Needs no torch, so that recipes are checked before torch is loaded."""

from typing import Literal

from pydantic import Field

from preceptor.core.errors import UsageError
from preceptor.core.types import Flag, Frozen, Integer, Real, Temperature, Tokens
from preceptor.training.optimizer_settings import OptimizerSettings

AlgorithmName = Literal["reinforce", "rloo", "grpo", "ppo", "online_dpo"]


class PpoSettings(Frozen):
    """Settings of PPO and of value baselines."""

    gae_lambda: Real = Field(default=0.95, ge=0, le=1)
    """λ of generalised advantage estimation; rewards are not discounted."""
    value_coefficient: Real = Field(default=0.1, ge=0, le=1e6)
    """Weight of the value head's loss, relative to the policy's."""
    value_clip: Real = Field(default=0.2, gt=0, le=1e6)
    """How far the value head may move from its old estimate in one batch."""


class RLSettings(OptimizerSettings):
    """How the policy is trained. One step samples a batch, rewards it and updates the policy from it."""

    algorithm: AlgorithmName = "rloo"
    """How advantages are computed from rewards, and which loss uses them."""
    steps: Integer = Field(default=100, ge=1, le=1_000_000)
    """Number of steps; each samples one batch and learns from it."""
    prompts_per_step: Integer = Field(default=8, ge=1, le=65_536)
    """Prompts per step (P)."""
    group_size: Integer = Field(default=4, ge=1, le=4_096)
    """Responses sampled for each prompt (G); rloo, grpo and online_dpo compare them with each other."""
    max_new_tokens: Tokens = 128
    """Length limit of a response."""
    temperature: Temperature = 0.9
    """Sampling temperature; log-probabilities and KL are computed at the same temperature."""
    kl_coefficient: Real = Field(default=0.05, ge=0, le=1e6)
    """β: the cost of a nat of KL to the reference; for online_dpo, the β of its loss."""
    kl_in: Literal["reward", "loss"] = "reward"
    """Whether the cost is subtracted from the reward, or added to the loss (with the estimator k3)."""
    kl_target: Real | None = Field(default=None, gt=0, le=1e6)
    """Target KL per response, in nats, to which β is adapted after every step; None keeps β fixed."""
    clip_range: Real = Field(default=0.2, gt=0, le=1e6)
    """ε: probability ratios are clipped to 1 ± ε. It has no effect if each batch is used for one update."""
    epochs_per_batch: Integer = Field(default=1, ge=1, le=10_000)
    """Passes over each batch."""
    minibatches: Integer = Field(default=1, ge=1, le=65_536)
    """Updates per pass over a batch, each on its own part of the prompts."""
    baseline: Literal["average", "value"] = "average"
    """For reinforce: the running average of rewards, or a learned value head."""
    scale_advantages: Flag = True
    """For grpo: divide by the standard deviation of the group's rewards."""
    length_unbiased: Flag = False
    """For grpo: divide every response's loss by max_new_tokens instead of its own length (Liu et al. 2025)."""
    dynamic_sampling: Integer = Field(default=0, ge=0, le=1_000)
    """How many times a step may replace the groups whose rewards do not differ, by groups of other prompts (Yu et al.
    2025, "DAPO", arXiv 2503.14476, section 3.2); 0 keeps them. What replaced groups cost is counted."""
    ppo: PpoSettings = PpoSettings()

    @property
    def tokens_per_step(self) -> int:
        """Most tokens that a step can sample."""
        return self.prompts_per_step * self.group_size * self.max_new_tokens * (1 + self.dynamic_sampling)


def needs_values(settings: RLSettings) -> bool:
    """Whether the algorithm learns a value head."""
    return settings.algorithm == "ppo" or (settings.algorithm == "reinforce" and settings.baseline == "value")


def check_turn_scores(settings: RLSettings) -> None:
    """Checks that the algorithm can credit single turns.

    Raises: UsageError where it cannot.
    """
    if settings.algorithm in ("ppo", "online_dpo") or needs_values(settings):
        value = ' with rl.baseline = "value"' if settings.algorithm == "reinforce" else ""
        raise UsageError(
            f"{settings.algorithm}{value} cannot credit single turns: choose rloo, grpo or reinforce, or leave out the "
            "scores of turns"
        )


def check_algorithm(settings: RLSettings) -> None:
    """Checks that the settings suit their algorithm. The check is here because the algorithms need torch.

    Raises: UsageError that says what does not fit.
    """
    name, group = settings.algorithm, settings.group_size
    if name in ("rloo", "grpo") and group < 2:
        raise UsageError(f"rl.group_size is {group}; {name} compares siblings and needs at least 2")
    if name == "online_dpo":
        if group != 2:
            raise UsageError(f"rl.group_size is {group}; online_dpo learns from pairs: set it to 2")
        if settings.kl_target is not None or settings.kl_in == "loss" or settings.kl_coefficient == 0:
            raise UsageError(
                "online_dpo holds the policy to the reference by β in its own loss: it needs "
                "rl.kl_coefficient above 0, and takes neither rl.kl_target nor rl.kl_in"
            )
    if settings.dynamic_sampling and group < 2:
        raise UsageError(f"rl.group_size is {group}; rl.dynamic_sampling looks for groups whose rewards differ: set 2")
    if settings.minibatches > settings.prompts_per_step:
        raise UsageError(
            f"rl.minibatches is {settings.minibatches}, rl.prompts_per_step {settings.prompts_per_step}; every "
            "minibatch needs a prompt"
        )
    if settings.baseline == "value" and name != "reinforce":
        raise UsageError(f'rl.baseline = "value" is for reinforce; {name} has a baseline of its own')
    if name != "grpo" and (settings.length_unbiased or not settings.scale_advantages):
        raise UsageError(f"rl.length_unbiased and rl.scale_advantages are grpo's; {name} ignores them")
    if settings.ppo != PpoSettings() and not needs_values(settings):
        raise UsageError(f"rl.ppo is for algorithms that learn a value head; with these settings, {name} learns none")
    if settings.kl_target is not None and settings.kl_coefficient == 0:
        raise UsageError("rl.kl_target adapts rl.kl_coefficient, which is 0; give it a value to begin with")
