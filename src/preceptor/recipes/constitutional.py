"""The schema of Constitutional AI."""

from pydantic import model_validator

from preceptor.judging.revision import RevisionSettings
from preceptor.recipes.base import Recipe
from preceptor.recipes.settings import (
    ComparingJudgeSettings,
    FileName,
    PreferenceSettings,
    RewardFunctionSettings,
    RewardModelTable,
    SftTable,
    with_judge_for_ai_preferences,
)
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.settings import RLSettings
from preceptor.training.sft.settings import SftSettings


class RevisionTable(RevisionSettings):
    """Critique and revision of the policy's own answers."""

    constitution: FileName = "harmless"
    """Whose principles the critiques go by."""

    @property
    def revising(self) -> RevisionSettings:
        """The settings of the reviser alone."""
        return RevisionSettings(**{name: getattr(self, name) for name in RevisionSettings.model_fields})


class ConstitutionalRecipe(Recipe):
    """Constitutional AI: fine-tuning on the policy's own revised answers, then RLAIF (Bai et al. 2022)."""

    title = "Constitutional AI"

    sft: SftTable | None = None
    """Its result becomes the policy that revises its answers."""
    judge: ComparingJudgeSettings | None = None
    """Needed for AI preferences. With human preferences alone, a judge that is named takes part in measuring only."""
    preferences: PreferenceSettings = PreferenceSettings()
    rewards: RewardFunctionSettings = RewardFunctionSettings()
    reward_processing: RewardProcessing = RewardProcessing()
    rl: RLSettings = RLSettings()
    reward_model: RewardModelTable = RewardModelTable()
    revision: RevisionTable = RevisionTable()
    fine_tuning: SftSettings = SftSettings()
    """Of the policy on its revised answers."""

    _judge_for_ai_preferences = model_validator(mode="before")(with_judge_for_ai_preferences)

    @property
    def base_stage(self) -> str:
        """RL starts from the model that learned the revisions."""
        return "fine_tuning"

    @property
    def other_constitutions(self) -> tuple[str, ...]:
        """The one that the critiques go by."""
        return (self.revision.constitution,)
