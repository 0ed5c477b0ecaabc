"""Settings of the RL loop. Needs no torch, so that recipes are checked before torch is loaded."""

from typing import Literal

from pydantic import Field

from preceptor.core.errors import UsageError
from preceptor.core.types import Flag, Frozen, Integer, Real, Temperature, Tokens
from preceptor.training.optimizer_settings import OptimizerSettings

AlgorithmName = Literal["reinforce", "rloo", "grpo", "ppo", "online_dpo"]
LossName = Literal["clip", "dapo", "cispo", "gspo"]


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
    loss: LossName = Field(default="clip", exclude_if=lambda loss: loss == "clip")
    """For rloo and grpo: how advantages become a loss. `clip` is the algorithm's own: rloo clips one probability ratio
    for each response, grpo one for each token, with the mean over each response. `dapo`: one for each token, with the
    mean over all tokens of the step (Yu et al. 2025, arXiv 2503.14476). `cispo`: the same mean of -A log π, each token
    weighted by its ratio, which is clipped from above and has no gradient (MiniMax 2025, arXiv 2506.13585). `gspo`: one
    ratio for each response, the geometric mean of its tokens' (Zheng et al. 2025, arXiv 2507.18071)."""
    clip_range: Real = Field(default=0.2, gt=0, le=1e6)
    """ε: probability ratios are clipped to 1 ± ε. It has no effect if each batch is used for one update. `gspo` needs
    far smaller values, such as 3e-4."""
    clip_range_high: Real | None = Field(default=None, gt=0, le=1e6, exclude_if=lambda high: high is None)
    """ε above 1: ratios are clipped to at most 1 + this ("clip-higher", Yu et al. 2025, arXiv 2503.14476, section 3.1);
    when absent, `clip_range`. For `cispo`, the only bound."""
    entropy_coefficient: Real = Field(default=0.0, ge=0, le=1e6, exclude_if=lambda weight: not weight)
    """Reward for entropy: this times the mean entropy per token (in nats, at the sampling temperature) is subtracted
    from the loss (Williams & Peng 1991)."""
    truncated_importance: Real | None = Field(default=None, ge=1, le=1e6, exclude_if=lambda most: most is None)
    """For rloo and grpo: weight each token (or response, where it has one ratio) by how much likelier it is under the
    policy that learns than it was in sampling, at most by this factor; 2 is common (Yao et al. 2025, "truncated
    importance sampling"). Responses are sampled with rounded weights, on the TRL engine by vLLM."""
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

    @property
    def updates_per_step(self) -> int:
        """How many updates learn from a step's responses."""
        return self.epochs_per_batch * self.minibatches


def needs_values(settings: RLSettings) -> bool:
    """Whether the algorithm learns a value head."""
    return settings.algorithm == "ppo" or (settings.algorithm == "reinforce" and settings.baseline == "value")


def check_turn_scores(settings: RLSettings) -> None:
    """Checks that the algorithm can credit single turns.

    Raises: UsageError where it cannot.
    """
    if settings.loss == "gspo":
        raise UsageError(
            'rl.loss = "gspo" has one ratio for each response and cannot credit single turns: choose another loss, or '
            "leave out the scores of turns"
        )
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
    _check_loss(settings)


def _check_loss(settings: RLSettings) -> None:
    """Checks the loss and what changes it: each setting has an effect.

    Raises: UsageError that says which has none.
    """
    name, loss = settings.algorithm, settings.loss
    if name not in ("rloo", "grpo"):
        for key, asked in (("loss", loss != "clip"), ("truncated_importance", settings.truncated_importance)):
            if asked:
                raise UsageError(f'rl.{key} is for rl.algorithm = "rloo" or "grpo"; {name} has a loss of its own')
    if name == "online_dpo" and settings.entropy_coefficient:
        raise UsageError("rl.entropy_coefficient: online_dpo learns from pairs; choose another rl.algorithm")
    if settings.length_unbiased and loss != "clip":
        raise UsageError(f'rl.length_unbiased is a form of rl.loss = "clip"; {loss} takes its own mean: leave one out')
    once = settings.updates_per_step == 1
    if loss == "gspo" and name == "grpo" and once:
        raise UsageError(
            'rl.loss = "gspo" differs from grpo\'s own loss only if a batch is used for several updates: raise '
            "rl.minibatches or rl.epochs_per_batch, or leave it out"
        )
    if settings.clip_range_high is None:
        return
    if name == "online_dpo" or once:
        why = "online_dpo clips nothing" if name == "online_dpo" else "each batch is used for one update"
        raise UsageError(f"rl.clip_range_high has no effect: {why}; leave it out, or raise rl.minibatches")
    if loss == "cispo" and settings.clip_range != RLSettings().clip_range:
        raise UsageError('rl.loss = "cispo" has one bound: give rl.clip_range_high or rl.clip_range, not both')
