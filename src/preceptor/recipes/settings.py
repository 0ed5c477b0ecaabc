"""What a recipe file may say. Every field has a default but the few that make a recipe what it is."""

from typing import Literal

from pydantic import Field

from preceptor.core.types import Frozen, NonEmpty
from preceptor.evaluation.checkpoints import Bounds
from preceptor.judging.settings import ScoreSettings
from preceptor.training.lora import LoraSettings
from preceptor.training.rl.settings import RewardKind, RLSettings


class JudgeSettings(Frozen):
    """The judge whose score is the reward."""

    model: NonEmpty = "embedded"
    """A model string."""
    constitution: NonEmpty = "warm_tone"
    """Name of a shipped constitution, or path of a .toml file."""
    asking: ScoreSettings = ScoreSettings()
    """Whether it reasons before it scores, and how; for constitutions that score by criteria."""
    reward: RewardKind = "expectation"
    """How a score becomes a reward: its expectation rescaled to [-1, 1], or the log-odds of a scale of two choices."""


class EvaluationSettings(Frozen):
    """What is measured on held-out prompts, and how often."""

    heldout_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the prompts that training never sees, by a stable hash of their text."""
    heldout: Literal["vader"] = "vader"
    """The measure that chooses the checkpoint and trains nothing."""
    references: NonEmpty = "package:reference_answers"
    """Prompts with reference answers, whose perplexity guards general ability."""
    samples_per_prompt: int = Field(default=2, ge=1)
    """Responses per held-out prompt before and after training; a checkpoint is measured on one."""
    checkpoint_every: int = Field(default=10, ge=1)
    """Steps between checkpoints; each one is measured."""
    stop_early: bool = True
    """Whether training ends when a checkpoint breaks a bound or over-optimisation is found."""
    bounds: Bounds = Bounds()


class DirectRlaifRecipe(Frozen):
    """Direct RLAIF: the policy is trained by RL with a judge's score as the reward (Lee et al. 2023, section 2.2)."""

    method: Literal["direct_rlaif"]
    description: str = ""
    """One line for `preceptor recipes`."""
    policy: NonEmpty = "embedded"
    """A model string; the model that is trained, and its own reference."""
    prompts: NonEmpty = "package:everyday_prompts"
    """A JSON-lines file of prompts, or a packaged set."""
    seed: int = Field(default=0, ge=0)
    """Everything random derives from it."""
    judge: JudgeSettings = JudgeSettings()
    lora: LoraSettings = LoraSettings()
    rl: RLSettings = RLSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
