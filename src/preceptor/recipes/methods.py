"""The methods, one class each: what a recipe file of that method may hold."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from pydantic import Field, model_validator

from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen, Integer, NonEmpty, Seed
from preceptor.recipes.settings import (
    BestOfNSettings,
    ComparingJudgeSettings,
    EvaluationSettings,
    JudgeSettings,
    PreferenceSettings,
    RevisionTable,
    RewardFunctionSettings,
    RewardingJudgeSettings,
    RewardModelTable,
    SftTable,
    TrackingSettings,
)
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.settings import RLSettings
from preceptor.training.sft.settings import SftSettings
from preceptor.training.tuning import TuningSettings

DEFAULT_MAX_NEW_TOKENS, DEFAULT_TEMPERATURE = 128, 0.9


@dataclass(frozen=True)
class Answering:
    """How a policy is sampled."""

    max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS
    temperature: float = DEFAULT_TEMPERATURE


class Recipe(Frozen):
    """What every recipe has."""

    title: ClassVar[str]
    """The method in words."""

    description: str = ""
    """One line for `preceptor recipes`."""
    policy: NonEmpty = "embedded"
    """A model string; the model that is trained."""
    prompts: NonEmpty = "package:everyday_prompts"
    """A JSON-lines file of prompts, or a packaged set."""
    limit: Integer | None = Field(default=None, ge=1, le=10**9)
    """Prompts to use, chosen by a stable hash; all when absent."""
    seed: Seed = 0
    """Everything random derives from it."""
    tuning: TuningSettings = TuningSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    tracking: TrackingSettings = TrackingSettings()

    @property
    def trained_on(self) -> Answering:
        """How responses are sampled that training is about."""
        return Answering()

    @property
    def answering(self) -> Answering:
        """How responses are sampled that are measured."""
        settings, trained_on = self.evaluation, self.trained_on
        return Answering(
            settings.max_new_tokens or trained_on.max_new_tokens, settings.temperature or trained_on.temperature
        )

    @property
    def scoring(self) -> JudgeSettings | None:
        """The judge, where there is one."""
        return None

    @property
    def held_out_judge(self) -> JudgeSettings | None:
        """The held-out judge, where the recipe names one: by its own constitution, else by the training judge's.

        Raises: UsageError when there is neither.
        """
        judge, training = self.evaluation.judge, self.scoring
        if judge is None:
            return None
        name = judge.constitution or (training.constitution if training is not None else None)
        if name is None:
            raise UsageError(
                "evaluation.judge: there is no training judge whose constitution it could go by; name one by "
                "evaluation.judge.constitution"
            )
        return judge.by(name)

    @property
    def first(self) -> SftTable | None:
        """The fine-tuning on demonstrations that comes first, where there is one."""
        return None

    @property
    def learning_by_rl(self) -> RLSettings | None:
        """How the policy is trained by RL, where it is."""
        return None

    @property
    def processing(self) -> RewardProcessing | None:
        """What is done to rewards, where there are any."""
        return None

    @property
    def reward_functions(self) -> tuple[str, ...]:
        """Functions that add to the reward, where there are any."""
        return ()


class SftRecipe(Recipe):
    """Supervised fine-tuning: the policy learns demonstrations."""

    title = "supervised fine-tuning"

    method: Literal["sft"]
    sft: SftTable = SftTable()

    @property
    def first(self) -> SftTable:
        """The fine-tuning is all there is."""
        return self.sft


class _Aligned(Recipe):
    """What every other method may begin with."""

    sft: SftTable | None = None
    """Its result becomes the policy and its reference."""

    @property
    def first(self) -> SftTable | None:
        """The fine-tuning that comes first, where there is one."""
        return self.sft


class _ByRl(_Aligned):
    """What the methods have in common that train by RL."""

    rewards: RewardFunctionSettings = RewardFunctionSettings()
    reward_processing: RewardProcessing = RewardProcessing()
    rl: RLSettings = RLSettings()

    @property
    def learning_by_rl(self) -> RLSettings:
        """As [rl] says."""
        return self.rl

    @property
    def processing(self) -> RewardProcessing:
        """As [reward_processing] says."""
        return self.reward_processing

    @property
    def reward_functions(self) -> tuple[str, ...]:
        """As [rewards] says."""
        return self.rewards.functions

    @property
    def trained_on(self) -> Answering:
        """As in [rl]."""
        return Answering(self.rl.max_new_tokens, self.rl.temperature)


class DirectRlaifRecipe(_ByRl):
    """Direct RLAIF: the judge's opinion of a response is the reward (Lee et al. 2023, section 2.2)."""

    title = "direct RLAIF"

    method: Literal["direct_rlaif"]
    judge: RewardingJudgeSettings = RewardingJudgeSettings()

    @property
    def scoring(self) -> JudgeSettings:
        """The judge."""
        return self.judge


class _FromPreferences(_Aligned):
    """What the methods have in common that learn from comparisons."""

    judge: ComparingJudgeSettings | None = None
    """Needed for AI preferences. Where there are only human ones it is measured with, if it is named."""
    preferences: PreferenceSettings = PreferenceSettings()

    @model_validator(mode="before")
    @classmethod
    def _ai_preferences_have_a_judge(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "judge" in values:
            return values
        preferences = values.get("preferences", {})
        human_only = isinstance(preferences, dict) and preferences.get("ai", True) is False
        return values if human_only else {**values, "judge": {}}

    @property
    def scoring(self) -> ComparingJudgeSettings | None:
        """The judge, where there is one."""
        return self.judge

    @property
    def candidates(self) -> Answering:
        """How candidates are sampled."""
        settings, trained_on = self.preferences, self.trained_on
        return Answering(
            settings.max_new_tokens or trained_on.max_new_tokens, settings.temperature or trained_on.temperature
        )


class _ByRewardModel(_ByRl, _FromPreferences):
    """What the methods have in common whose preferences train a reward model, which rewards the policy."""

    reward_model: RewardModelTable = RewardModelTable()


class RlaifRecipe(_ByRewardModel):
    """Canonical RLAIF (Lee et al. 2023, section 2.1), RLHF where all preferences are people's, and both together."""

    title = "RLAIF"

    method: Literal["rlaif"]


class ConstitutionalRecipe(_ByRewardModel):
    """Constitutional AI: fine-tuning on the policy's own revised answers, then RLAIF (Bai et al. 2022)."""

    title = "Constitutional AI"

    method: Literal["constitutional"]
    revision: RevisionTable = RevisionTable()
    fine_tuning: SftSettings = SftSettings()
    """Of the policy on its revised answers."""


class DpoRecipe(_FromPreferences):
    """Direct preference optimisation: the policy learns preferences without a reward model (Rafailov et al. 2023)."""

    title = "DPO"

    method: Literal["dpo"]
    dpo: DpoSettings = DpoSettings()

    @property
    def trained_on(self) -> Answering:
        """As the candidates are."""
        settings = self.preferences
        return Answering(settings.max_new_tokens or DEFAULT_MAX_NEW_TOKENS, settings.temperature or DEFAULT_TEMPERATURE)


class BestOfNRecipe(_Aligned):
    """Best of n: the policy learns the best of its own responses (Nakano et al. 2021; RAFT, Dong et al. 2023)."""

    title = "best of n"

    method: Literal["best_of_n"]
    judge: JudgeSettings = JudgeSettings()
    best_of_n: BestOfNSettings = BestOfNSettings()
    fine_tuning: SftSettings = SftSettings()
    """Of the policy on the best responses."""

    @property
    def trained_on(self) -> Answering:
        """As the responses are that are chosen from."""
        return Answering(self.best_of_n.max_new_tokens, self.best_of_n.temperature)

    @property
    def scoring(self) -> JudgeSettings | None:
        """The judge, unless a reward model chooses."""
        return self.judge if self.best_of_n.reward_model is None else None


AnyRecipe: TypeAlias = SftRecipe | RlaifRecipe | DirectRlaifRecipe | DpoRecipe | BestOfNRecipe | ConstitutionalRecipe
METHODS: dict[str, type[Recipe]] = {
    "sft": SftRecipe,
    "rlaif": RlaifRecipe,
    "direct_rlaif": DirectRlaifRecipe,
    "dpo": DpoRecipe,
    "best_of_n": BestOfNRecipe,
    "constitutional": ConstitutionalRecipe,
}
