"""The tables that several methods have. Every setting has a default. A method's schema says which tables it has."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, model_validator

from preceptor.core.types import Flag, Frozen, Integer, JsonObject, NonEmpty, Real, Temperature, Tokens, Weight
from preceptor.evaluation.checkpoints.choose import Bounds
from preceptor.judging.groups.design import GroupDesign, PairDesign
from preceptor.judging.reward import RewardKind
from preceptor.judging.settings import PairwiseSettings, RubricSettings, ScoreSettings
from preceptor.judging.specs import JudgeSpec
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.rl.reward_settings import Aggregation
from preceptor.training.sft.settings import SftSettings


@dataclass(frozen=True)
class MayBeAPath:
    """Marks a setting that is a name or the path of a local file or folder."""

    of_rows: bool = False
    """Whether it is a dataset: `hf:ORG/NAME` is one on the hub, and not a model."""


FileName: TypeAlias = Annotated[NonEmpty, MayBeAPath()]
"""A name or a path. A run keeps the absolute path, so its recipe means the same from any folder."""
RowsName: TypeAlias = Annotated[NonEmpty, MayBeAPath(of_rows=True)]
"""The same for a dataset. A run keeps the commit of one on the hub."""
JudgeMode = Literal["score", "rubric", "siblings", "reference"]
TrackerName = Literal["none", "tensorboard", "wandb", "mlflow", "trackio"]


class JudgeSettings(Frozen):
    """A training judge that scores each response by itself."""

    is_reward: ClassVar[bool] = False
    """Whether its judgement is used directly as the reward of RL."""

    model: FileName = "embedded"
    """A model string."""
    constitution: FileName = "warm_tone"
    """Name of a shipped constitution, or path of a .toml file."""
    asking: ScoreSettings = ScoreSettings()
    """Whether it reasons before it scores, and how; for constitutions that score by criteria."""
    reward: RewardKind | None = None
    """How a judgement becomes a number: `expectation`, in [-1, 1], or `log_odds`. When absent, the constitution decides
    for a score: log-odds where it offers two choices, the expectation where it offers more. For a comparison, the
    expectation."""
    bias: FileName | None = Field(default=None, exclude_if=lambda bias: bias is None)
    """A file that `preceptor audit --save-bias` wrote for this judge. What the judge prefers in excess of people is
    taken off its log-odds in training: of its comparisons, or of its scores on a scale of two choices."""

    @property
    def compares(self) -> bool:
        """Whether training asks it to compare two responses."""
        return False

    @property
    def by_rubric(self) -> RubricSettings | None:
        """How it scores responses by the rubrics of their prompts; None if it judges by its constitution."""
        return None

    @property
    def evaluation_spec(self) -> JudgeSpec:
        """The judge for comparing two responses in an evaluation: this one scores each of them."""
        settings = PairwiseSettings(shown="alone", **self.asking.model_dump())
        return JudgeSpec(model=self.model, constitution=self.constitution, settings=settings)


class ComparingJudgeSettings(JudgeSettings):
    """A judge that compares two responses."""

    variant: NonEmpty = "detailed"
    """How it is asked to compare, such as `detailed+cot` or `scored`; see `preceptor label --help`."""
    cascade: FileName | None = None
    """A cascade that `preceptor audit --save-cascade` wrote, whose first judge is this one: comparisons of which it is
    unsure go to the next judges, and what none may answer has no preference."""

    @property
    def compares(self) -> bool:
        """Always."""
        return True

    @property
    def spec(self) -> JudgeSpec:
        """The judge for comparisons in training."""
        return self.asked(self.variant)

    def asked(self, variant: str) -> JudgeSpec:
        """The judge for comparisons in training, asked in a variant."""
        return JudgeSpec(
            model=self.model,
            constitution=self.constitution,
            variant=variant,
            bias=self.bias if self.compares else None,
            cascade=self.cascade,
        )

    @property
    def evaluation_spec(self) -> JudgeSpec:
        """The judge for comparisons in an evaluation: in both orders, whatever training uses."""
        if not self.compares:
            return super().evaluation_spec
        settings = self.spec.resolved().model_copy(update={"order": "both"})
        return JudgeSpec(model=self.model, constitution=self.constitution, settings=settings)

    @model_validator(mode="after")
    def _cascades_compare(self) -> "ComparingJudgeSettings":
        if self.cascade is not None and not self.compares:
            raise ValueError('cascade has no meaning with mode = "score": a cascade compares two responses')
        if self.cascade is not None and self.bias is not None:
            raise ValueError("give either bias or cascade: a cascade's thresholds were certified without a correction")
        return self


class ScoringJudgeSettings(ComparingJudgeSettings):
    """A judge that compares, or scores by its constitution or by the rubric of each prompt."""

    rubric: RubricSettings | None = None
    """How rubrics are judged with mode = "rubric", in which every prompt needs one and the constitution is not used."""

    @property
    def how(self) -> JudgeMode:
        """Its mode."""
        raise NotImplementedError

    @property
    def compares(self) -> bool:
        """True unless it scores each response alone."""
        return self.how not in ("score", "rubric")

    @property
    def by_rubric(self) -> RubricSettings | None:
        """How it scores by rubrics, in that mode."""
        return (self.rubric or RubricSettings()) if self.how == "rubric" else None

    @property
    def evaluation_spec(self) -> JudgeSpec:
        """The judge for comparisons in an evaluation: by rubrics, if training judges by them."""
        if self.by_rubric is None:
            return super().evaluation_spec
        settings = PairwiseSettings(shown="rubric", **self.by_rubric.model_dump())
        return JudgeSpec(model=self.model, constitution=self.constitution, settings=settings)


class EscalationSettings(Frozen):
    """A second, stronger judge for the responses whose advantage's sign is in doubt after the first one's scores."""

    model: FileName
    """A model string."""
    per_step: Integer = Field(ge=1, le=1_000_000)
    """The most responses of a step that it is asked about, the most doubtful ones."""
    asking: ScoreSettings = ScoreSettings()
    """As for the first judge."""

    def after(self, first: JudgeSettings) -> JudgeSettings:
        """Its settings as a judge: by the first judge's constitution, with the same kind of reward."""
        return JudgeSettings(model=self.model, constitution=first.constitution, asking=self.asking, reward=first.reward)


class RewardingJudgeSettings(ScoringJudgeSettings):
    """A judge whose judgement is the reward itself."""

    is_reward = True

    mode: JudgeMode = "score"
    """What it judges: each response by its constitution, or by the rubric of its prompt; against its siblings, or
    against a response of the reference policy."""
    design: GroupDesign = "all"
    """How siblings are judged: `all` compares every pair; `circular`, `anchor`, `swiss` and `knockout` compare fewer,
    and `listwise` shows all of them at once. A strength is then the reward."""
    escalation: EscalationSettings | None = None
    """Score again by a second judge what is in doubt; with `mode = "score"`."""

    @model_validator(mode="after")
    def _escalation_needs_scores(self) -> "RewardingJudgeSettings":
        if self.escalation is not None and self.mode != "score":
            raise ValueError(f'escalation needs mode = "score", got "{self.mode}"; a judge that compares has cascade')
        if self.escalation is not None and self.bias is not None:
            raise ValueError("give either bias or escalation: a bias correction is that of one judge")
        return self

    @property
    def how(self) -> JudgeMode:
        """Its mode."""
        return self.mode


class ChoosingJudgeSettings(ScoringJudgeSettings):
    """A judge that chooses among the responses to a prompt."""

    mode: Literal["score", "rubric", "siblings"] = "score"
    """What it judges: each response by its constitution, or by the rubric of its prompt; or against its siblings."""
    design: GroupDesign = "all"
    """How siblings are judged: `all` compares every pair; `circular`, `anchor`, `swiss` and `knockout` compare fewer,
    and `listwise` shows all of them at once. The strongest is chosen."""

    @property
    def how(self) -> JudgeMode:
        """Its mode."""
        return self.mode


class HeldOutJudgeSettings(Frozen):
    """The held-out judge, which measures a run and trains nothing."""

    model: FileName = "embedded"
    """A model string."""
    constitution: FileName | None = None
    """Name of a shipped constitution, or path of a .toml file; the training judge's when absent."""
    asking: ScoreSettings = ScoreSettings()
    """As for the training judge."""
    reward: RewardKind | None = None
    """As for the training judge."""

    def by(self, constitution: str) -> JudgeSettings:
        """The settings of this judge with a constitution filled in."""
        return JudgeSettings(model=self.model, constitution=constitution, asking=self.asking, reward=self.reward)


class SftTable(SftSettings):
    """Supervised fine-tuning on demonstrations, before anything else."""

    demonstrations: RowsName = "package:reference_answers"
    """A dataset of prompts with answers, or a packaged set. Prompts that are held out are left out of it."""

    @property
    def learning(self) -> SftSettings:
        """The settings of the training alone."""
        return SftSettings(**{name: getattr(self, name) for name in SftSettings.model_fields})


class PreferenceSettings(Frozen):
    """Where preferences come from: an AI judge, people, or both."""

    ai: Flag = True
    """Sample candidates for the training prompts and let the judge compare them."""
    human: tuple[RowsName, ...] = ()
    """Datasets of comparisons that people labelled, or packaged sets."""
    labelled: tuple[RowsName, ...] = Field(default=(), exclude_if=lambda names: not names)
    """Datasets of comparisons that a judge has labelled, as `preceptor label` writes them."""
    labelled_weights: tuple[Weight, ...] = Field(default=(), exclude_if=lambda weights: not weights)
    """What the weight of the AI labels in each of these datasets is multiplied by; 1 when absent."""
    unpaired: tuple[RowsName, ...] = Field(default=(), exclude_if=lambda names: not names)
    """Datasets of responses by themselves, with a label or a score each, for `dpo.kind = "kto"`."""
    threshold: Real | None = Field(default=None, ge=-1e6, le=1e6, exclude_if=lambda threshold: threshold is None)
    """An unpaired response whose score is at least this is desirable; when absent, their rows have labels."""
    ai_weight: Weight = 1.0
    """Weight of every AI label in the loss."""
    human_weight: Weight = 1.0
    """Weight of every human label in the loss. A human label replaces AI labels of the same comparison."""
    samples_per_prompt: Integer = Field(default=2, ge=2, le=1_000)
    """Candidates sampled for each training prompt."""
    design: PairDesign = "all"
    """Which pairs of a prompt's candidates are compared."""
    temperature: Temperature | None = None
    """Sampling temperature of the candidates. When absent, as in [rl], or 0.9 if there is no [rl]."""
    max_new_tokens: Tokens | None = None
    """Length limit of the candidates. When absent, as in [rl], or 128 if there is no [rl]."""
    max_failure_rate: Real = Field(default=0.1, ge=0, le=1)
    """Labelling stops when more than this share of the comparisons fails."""

    def describe(self) -> Iterator[str]:
        """Where the preferences came from, in sentences."""
        if self.ai:
            yield (
                f"The policy answered each training prompt {self.samples_per_prompt} times and a judge compared the "
                "answers."
            )
        if self.labelled:
            yield "A judge had compared responses before the run."
        if self.human:
            yield f"{'People, too,' if self.ai or self.labelled else 'People'} had compared responses."
        if self.unpaired:
            by = "by a label" if self.threshold is None else f"if its score was at least {self.threshold:g}"
            yield f"Responses by themselves were read from files, each desirable {by}."

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> "PreferenceSettings":
        if not self.ai and not self.human and not self.labelled and not self.unpaired:
            raise ValueError("there are no preferences: set ai = true, or name files in human or labelled")
        if self.threshold is not None and not self.unpaired:
            raise ValueError(
                "threshold is for the scores of unpaired responses: name files in unpaired, or leave it out"
            )
        if self.labelled_weights and len(self.labelled_weights) != len(self.labelled):
            count = len(self.labelled_weights)
            raise ValueError(f"{count} labelled_weights for {len(self.labelled)} datasets; give one for each, or none")
        return self

    @property
    def weights_of_labelled(self) -> tuple[float, ...]:
        """The weight of the labels of each dataset in `labelled`."""
        return tuple(self.ai_weight * each for each in self.labelled_weights or (1.0,) * len(self.labelled))


def with_judge_for_ai_preferences(values: Any) -> Any:
    """The settings of a method that learns preferences. Adds a judge if AI preferences need one and none is named.

    For `model_validator(mode="before")` of a schema with the tables [judge] and [preferences].
    """
    if not isinstance(values, dict) or "judge" in values:
        return values
    settings: JsonObject = values
    preferences: Any = settings.get("preferences", {})
    human_only = isinstance(preferences, dict) and preferences.get("ai", True) is False
    return settings if human_only else {**settings, "judge": {}}


class RewardModelTable(RewardModelSettings):
    """How the reward model is trained, and which model it starts from."""

    model: FileName | None = None
    """A model string; when absent, the policy after any fine-tuning."""

    @property
    def learning(self) -> RewardModelSettings:
        """The settings of the training alone."""
        return RewardModelSettings(**{name: getattr(self, name) for name in RewardModelSettings.model_fields})


class RewardFunctionSettings(Frozen):
    """Reward functions of your own, added to the reward that AI feedback gives."""

    functions: tuple[FileName, ...] = ()
    """As `package.module:function` or `path/file.py:function`, with the signature of TRL's reward functions."""
    weights: tuple[Annotated[Real, Field(ge=-1e6, le=1e6)], ...] = ()
    """The weight of each function; 1 when absent."""
    feedback_weight: Real = Field(default=1.0, ge=0, le=1e6)
    """Weight of the judge's or the reward model's reward; with 0, training does not ask it."""
    aggregation: Aggregation = "sum"
    """How several rewards become one: `sum` adds them as they are, so that the one with the widest scale decides;
    `normalize_then_sum` first brings each by itself to mean 0 and standard deviation 1 within the group (GDPO)."""

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


class EvaluationSettings(Frozen):
    """What is measured on held-out prompts, and how often."""

    heldout_share: Real = Field(default=0.2, gt=0, lt=1)
    """Share of the prompts that training never sees, by a stable hash of their text."""
    validation_share: Real = Field(default=0.25, gt=0, lt=1)
    """Share of the held-out prompts that choose the checkpoint and stop training. The others are the test prompts,
    which are used only before training and at the end: the results come from these."""
    judge: HeldOutJudgeSettings | None = None
    """The held-out judge, which scores responses and trains nothing. It uses the training judge's constitution unless
    it has one of its own. Without a held-out judge, the measure that the constitution names takes its place; if it
    names none, nothing independent measures the run, and the last checkpoint within bounds is kept."""
    references: RowsName = "package:reference_answers"
    """Prompts with reference answers, whose perplexity guards general ability."""
    samples_per_prompt: Integer = Field(default=2, ge=1, le=1_000)
    """Responses per test prompt before and after training; a checkpoint gives one per validation prompt."""
    max_new_tokens: Tokens | None = None
    """Length limit of these responses; as in training when absent."""
    temperature: Temperature | None = None
    """Sampling temperature of these responses; as in training when absent."""
    checkpoint_every: Integer = Field(default=10, ge=1, le=1_000_000)
    """Steps between checkpoints. Each checkpoint is measured on the validation prompts."""
    stop_early: Flag = True
    """Whether training ends when a checkpoint breaks a bound or over-optimisation is found, and [rounds] when the gain
    no longer rises."""
    bounds: Bounds = Bounds()


class TrackingSettings(Frozen):
    """Where the numbers of each training step are sent, besides the run directory."""

    tracker: Annotated[TrackerName, Field(alias="with")] = "none"
    """One of accelerate's trackers. Nothing leaves this machine unless one is named."""
    project: NonEmpty = "preceptor"
    """Name of the project in the tracker."""
