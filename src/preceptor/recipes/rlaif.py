"""The schema of canonical RLAIF, and of RLHF."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

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
from preceptor.recipes.words import rl_in_words
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.settings import RLSettings

if TYPE_CHECKING:
    from preceptor.results.run import RunSummary


class RlaifRecipe(Recipe):
    """Canonical RLAIF (Lee et al. 2023, section 2.1), RLHF where all preferences are people's, and both together."""

    title = "RLAIF"
    can_think = True
    can_iterate = True

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

    def describe(self, summary: "RunSummary") -> Iterator[str]:
        """Describes the preferences, the reward model and RL."""
        rl = self.rl
        yield from self.preferences.describe()
        yield "A reward model learnt these preferences."
        yield (
            f"Then the policy answered {rl.prompts_per_step} prompts {rl.group_size} times each in every step, and the "
            "reward model's score was the reward."
        )
        yield from rl_in_words(self.rewards, rl, self.tuning, "the reward model's", self.engine)
