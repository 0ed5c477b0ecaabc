"""Settings of the RL loop. Without torch, so that recipes are checked before it is loaded."""

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
    """Weight of the value head's loss beside the policy's."""
    value_clip: Real = Field(default=0.2, gt=0, le=1e6)
    """How far the value head may move from its old estimate in one batch."""


class RLSettings(OptimizerSettings):
    """How the policy is trained. One step samples a batch, rewards it and updates the policy from it."""

    algorithm: AlgorithmName = "rloo"
    """How rewards become advantages, and which loss they enter."""
    steps: Integer = Field(default=100, ge=1, le=1_000_000)
    """Batches sampled and learnt from."""
    prompts_per_step: Integer = Field(default=8, ge=1, le=65_536)
    """Prompts sampled from in each step (P)."""
    group_size: Integer = Field(default=4, ge=1, le=4_096)
    """Responses sampled for each prompt (G); rloo, grpo and online_dpo compare them with each other."""
    max_new_tokens: Tokens = 128
    """Length limit of a response."""
    temperature: Temperature = 0.9
    """Sampling temperature; log-probabilities and KL are those of the distribution sampled from."""
    kl_coefficient: Real = Field(default=0.05, ge=0, le=1e6)
    """β: what a nat of KL to the reference costs. The β of its loss for online_dpo."""
    kl_in: Literal["reward", "loss"] = "reward"
    """Whether the cost is taken off the reward, or added to the loss (the estimator k3)."""
    kl_target: Real | None = Field(default=None, gt=0, le=1e6)
    """KL per response, in nats, that β is adapted to reach after every step; None keeps β fixed."""
    clip_range: Real = Field(default=0.2, gt=0, le=1e6)
    """ε: how far a probability ratio counts. Without effect while each batch is used for one update."""
    epochs_per_batch: Integer = Field(default=1, ge=1, le=10_000)
    """How often each batch is learnt from."""
    minibatches: Integer = Field(default=1, ge=1, le=65_536)
    """Updates in one pass over a batch, each from its own part of the prompts."""
    baseline: Literal["average", "value"] = "average"
    """Of reinforce: the running average of rewards, or a learned value head."""
    scale_advantages: Flag = True
    """Of grpo: divide by the standard deviation of the group's rewards."""
    length_unbiased: Flag = False
    """Of grpo: divide every response's loss by max_new_tokens and not by its own length (Liu et al. 2025)."""
    ppo: PpoSettings = PpoSettings()

    @property
    def tokens_per_step(self) -> int:
        """The most tokens that a step can sample."""
        return self.prompts_per_step * self.group_size * self.max_new_tokens


def needs_values(settings: RLSettings) -> bool:
    """Whether the algorithm learns a value head."""
    return settings.algorithm == "ppo" or (settings.algorithm == "reinforce" and settings.baseline == "value")


def check_algorithm(settings: RLSettings) -> None:
    """Checks that the settings suit their algorithm. It is here, and not beside the algorithms, to need no torch.

    Raises: UsageError saying what does not fit.
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
    if settings.minibatches > settings.prompts_per_step:
        raise UsageError(
            f"rl.minibatches is {settings.minibatches}, rl.prompts_per_step {settings.prompts_per_step}; every "
            "minibatch needs a prompt"
        )
    if settings.baseline == "value" and name != "reinforce":
        raise UsageError(f'rl.baseline = "value" is for reinforce; {name} has a baseline of its own')
    if name != "grpo" and (settings.length_unbiased or not settings.scale_advantages):
        raise UsageError(f"rl.length_unbiased and rl.scale_advantages are grpo's; {name} does nothing with them")
    if settings.ppo != PpoSettings() and not needs_values(settings):
        raise UsageError(f"rl.ppo is for algorithms that learn a value head; {name} as it is set learns none")
    if settings.kl_target is not None and settings.kl_coefficient == 0:
        raise UsageError("rl.kl_target adapts rl.kl_coefficient, which is 0; give it a value to begin with")
