"""The schema of direct RLAIF."""

from preceptor.core.errors import UsageError
from preceptor.recipes.base import Recipe
from preceptor.recipes.settings import RewardFunctionSettings, RewardingJudgeSettings, SftTable
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.settings import RLSettings


class DirectRlaifRecipe(Recipe):
    """Direct RLAIF: the judge's opinion of a response is the reward (Lee et al. 2023, section 2.2)."""

    title = "direct RLAIF"

    sft: SftTable | None = None
    """Its result becomes the policy and its reference."""
    rewards: RewardFunctionSettings = RewardFunctionSettings()
    reward_processing: RewardProcessing = RewardProcessing()
    rl: RLSettings = RLSettings()
    judge: RewardingJudgeSettings = RewardingJudgeSettings()

    def check(self) -> None:
        """Raises: UsageError when the judge compares siblings and a group has one response, or as `Recipe.check`."""
        if self.judge.mode == "siblings" and self.rl.group_size < 2:
            raise UsageError(
                f'rl.group_size is {self.rl.group_size}; judge.mode = "siblings" compares the responses of a group '
                "and needs at least 2"
            )
        super().check()
