"""The tables of recipe files. Every setting has a default; which tables a method has is said in `methods.py`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from preceptor.core.types import Flag, Frozen, Integer, NonEmpty, Real, Temperature, Tokens, Weight
from preceptor.evaluation.checkpoints.choose import Bounds
from preceptor.judging.revision import RevisionSettings
from preceptor.judging.reward import RewardKind
from preceptor.judging.settings import ScoreSettings
from preceptor.store.comparisons import Design
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.sft.settings import SftSettings

JudgeMode = Literal["score", "siblings", "reference"]
TrackerName = Literal["none", "tensorboard", "wandb", "mlflow", "trackio"]


class JudgeSettings(Frozen):
    """The model whose opinion is followed."""

    model: NonEmpty = "embedded"
    """A model string."""
    constitution: NonEmpty = "warm_tone"
    """Name of a shipped constitution, or path of a .toml file."""
    asking: ScoreSettings = ScoreSettings()
    """Whether it reasons before it scores, and how; for constitutions that score by criteria."""
    reward: RewardKind | None = None
    """How a judgement becomes a number: `expectation`, in [-1, 1], or `log_odds`. When absent, the constitution decides
    for a score: log-odds where it offers two choices, the expectation where it offers more. For a comparison, the
    expectation."""


class ComparingJudgeSettings(JudgeSettings):
    """A judge that compares two responses."""

    variant: NonEmpty = "detailed"
    """How it is asked to compare, such as `detailed+cot` or `scored`; see `preceptor label --help`."""


class RewardingJudgeSettings(ComparingJudgeSettings):
    """A judge whose judgement is the reward itself."""

    mode: JudgeMode = "score"
    """What it judges: each response alone; each against its siblings; or each against one of the reference policy."""


class HeldOutJudgeSettings(Frozen):
    """The model that measures a run and trains nothing."""

    model: NonEmpty = "embedded"
    """A model string."""
    constitution: NonEmpty | None = None
    """Name of a shipped constitution, or path of a .toml file; the training judge's when absent."""
    asking: ScoreSettings = ScoreSettings()
    """As for the training judge."""
    reward: RewardKind | None = None
    """As for the training judge."""

    def by(self, constitution: str) -> JudgeSettings:
        """The settings of a judge by this constitution."""
        return JudgeSettings(model=self.model, constitution=constitution, asking=self.asking, reward=self.reward)


class SftTable(SftSettings):
    """Supervised fine-tuning on demonstrations, before anything else."""

    demonstrations: NonEmpty = "package:reference_answers"
    """A dataset of prompts with answers, or a packaged set. Prompts that are held out are left out of it."""

    @property
    def learning(self) -> SftSettings:
        """The settings of the training alone."""
        return SftSettings(**{name: getattr(self, name) for name in SftSettings.model_fields})


class PreferenceSettings(Frozen):
    """Where preferences come from: an AI judge, people, or both."""

    ai: Flag = True
    """Sample candidates for the training prompts and let the judge compare them."""
    human: tuple[NonEmpty, ...] = ()
    """Datasets of comparisons that people labelled, or packaged sets."""
    ai_weight: Weight = 1.0
    """Of every AI label in the loss."""
    human_weight: Weight = 1.0
    """Of every human label in the loss; it replaces AI labels of the same comparison."""
    samples_per_prompt: Integer = Field(default=2, ge=2, le=1_000)
    """Candidates sampled for each training prompt."""
    design: Design = "all"
    """Which pairs of a prompt's candidates are compared."""
    temperature: Temperature | None = None
    """Of the candidates; as in [rl] when absent, 0.9 where there is none."""
    max_new_tokens: Tokens | None = None
    """Length limit of the candidates; as in [rl] when absent, 128 where there is none."""
    max_failure_rate: Real = Field(default=0.1, ge=0, le=1)
    """Labelling stops when more of the comparisons than this fail."""

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> "PreferenceSettings":
        if not self.ai and not self.human:
            raise ValueError("there are no preferences: set ai = true, or name files in human")
        return self


class RewardModelTable(RewardModelSettings):
    """How the reward model is trained, and what it is made of."""

    model: NonEmpty | None = None
    """A model string; the policy, as fine-tuning left it, when absent."""

    @property
    def learning(self) -> RewardModelSettings:
        """The settings of the training alone."""
        return RewardModelSettings(**{name: getattr(self, name) for name in RewardModelSettings.model_fields})


class RewardFunctionSettings(Frozen):
    """Reward functions of your own, added to the reward that AI feedback gives."""

    functions: tuple[NonEmpty, ...] = ()
    """As `package.module:function` or `path/file.py:function`, with the signature of TRL's reward functions."""
    weights: tuple[Annotated[Real, Field(ge=-1e6, le=1e6)], ...] = ()
    """One for each function; 1 when absent."""
    feedback_weight: Real = Field(default=1.0, ge=0, le=1e6)
    """Of the judge's or the reward model's reward; 0 does not ask it in training."""

    @model_validator(mode="after")
    def _weights_fit(self) -> "RewardFunctionSettings":
        if self.weights and len(self.weights) != len(self.functions):
            raise ValueError(
                f"{len(self.weights)} weights for {len(self.functions)} functions; give one for each, or none"
            )
        if self.feedback_weight == 0 and not self.functions:
            raise ValueError("feedback_weight = 0 leaves no reward; name functions")
        return self

    @property
    def weighted(self) -> list[tuple[str, float]]:
        """Functions with their weights."""
        return list(zip(self.functions, self.weights or (1.0,) * len(self.functions), strict=True))


class BestOfNSettings(Frozen):
    """How the best response is found."""

    samples: Integer = Field(default=8, ge=2, le=1_000)
    """Responses to each training prompt (n)."""
    temperature: Temperature = 0.9
    max_new_tokens: Tokens = 128
    prompts_at_once: Integer = Field(default=32, ge=1, le=65_536)
    """Prompts between two saves."""
    reward_model: NonEmpty | None = None
    """Folder of a reward model that chooses in place of the judge."""


class RevisionTable(RevisionSettings):
    """Critique and revision of the policy's own answers."""

    constitution: NonEmpty = "harmless"
    """Whose principles the critiques go by."""

    @property
    def revising(self) -> RevisionSettings:
        """The settings of the reviser alone."""
        return RevisionSettings(**{name: getattr(self, name) for name in RevisionSettings.model_fields})


class EvaluationSettings(Frozen):
    """What is measured on held-out prompts, and how often."""

    heldout_share: Real = Field(default=0.2, gt=0, lt=1)
    """Share of the prompts that training never sees, by a stable hash of their text."""
    validation_share: Real = Field(default=0.25, gt=0, lt=1)
    """Share of the held-out prompts that choose the checkpoint and stop training. The others are the test prompts,
    which are looked at only before training and in the end: the results are theirs."""
    judge: HeldOutJudgeSettings | None = None
    """The held-out judge: it scores responses and trains nothing. It goes by the training judge's constitution unless
    it is given one. When absent, the constitution's own held-out measure takes its place, where it names one; else
    nothing independent measures the run, and the last checkpoint within bounds is kept."""
    references: NonEmpty = "package:reference_answers"
    """Prompts with reference answers, whose perplexity guards general ability."""
    samples_per_prompt: Integer = Field(default=2, ge=1, le=1_000)
    """Responses per test prompt before and after training; a checkpoint gives one per validation prompt."""
    max_new_tokens: Tokens | None = None
    """Length limit of these responses; as in training when absent."""
    temperature: Temperature | None = None
    """Of these responses; as in training when absent."""
    checkpoint_every: Integer = Field(default=10, ge=1, le=1_000_000)
    """Steps between checkpoints; each one is looked at."""
    stop_early: Flag = True
    """Whether training ends when a checkpoint breaks a bound or over-optimisation is found."""
    bounds: Bounds = Bounds()


class TrackingSettings(Frozen):
    """Where the numbers of each training step go, beside the run directory."""

    tracker: Annotated[TrackerName, Field(alias="with")] = "none"
    """A tracker of accelerate's. Nothing leaves this machine unless one is named."""
    project: NonEmpty = "preceptor"
    """Name of the project there."""
