"""The schema of canonical RLAIF, and of RLHF."""

from pydantic import model_validator

from preceptor.recipes.base import Recipe
from preceptor.recipes.settings import (
    ComparingJudgeSettings,
    PreferenceSettings,
    RewardFunctionSettings,
    RewardModelTable,
    SftTable,
    with_judge_for_ai_preferences,
)
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.settings import RLSettings


class RlaifRecipe(Recipe):
    """Canonical RLAIF (Lee et al. 2023, section 2.1), RLHF where all preferences are people's, and both together."""

    title = "RLAIF"

    sft: SftTable | None = None
    """Its result becomes the policy and its reference."""
    judge: ComparingJudgeSettings | None = None
    """Needed for AI preferences. With human preferences alone, it is used for measuring only."""
    preferences: PreferenceSettings = PreferenceSettings()
    rewards: RewardFunctionSettings = RewardFunctionSettings()
    reward_processing: RewardProcessing = RewardProcessing()
    rl: RLSettings = RLSettings()
    reward_model: RewardModelTable = RewardModelTable()

    _judge_for_ai_preferences = model_validator(mode="before")(with_judge_for_ai_preferences)
