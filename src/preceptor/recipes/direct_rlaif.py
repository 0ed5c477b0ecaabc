"""The schema of direct RLAIF."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from preceptor.core.errors import UsageError
from preceptor.judging.groups.design import GroupDesign
from preceptor.recipes.base import Recipe
from preceptor.recipes.judge_modes import check_mode
from preceptor.recipes.settings import RewardFunctionSettings, RewardingJudgeSettings, SftTable
from preceptor.recipes.words import rl_in_words
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.settings import RLSettings

if TYPE_CHECKING:
    from preceptor.results.run import RunSummary


_SIBLINGS: dict[GroupDesign, str] = {
    "all": "compared the answers to each prompt with each other",
    "circular": "compared each answer with two others to the same prompt",
    "anchor": "compared the answers to each prompt with one of them",
    "swiss": "let the answers to each prompt play a Swiss tournament",
    "knockout": "let the answers to each prompt play a knockout tournament",
    "listwise": "read all answers to each prompt at once and was asked for the best",
}


class DirectRlaifRecipe(Recipe):
    """Direct RLAIF: the judge's opinion of a response is the reward (Lee et al. 2023, section 2.2)."""

    title = "direct RLAIF"
    can_think = True
    can_iterate = True

    sft: SftTable | None = None
    """Its result becomes the policy and its reference."""
    rewards: RewardFunctionSettings = RewardFunctionSettings()
    reward_processing: RewardProcessing = RewardProcessing()
    rl: RLSettings = RLSettings()
    judge: RewardingJudgeSettings = RewardingJudgeSettings()

    def check(self) -> None:
        """Raises: UsageError when the judge compares siblings and a group has one response, when a design does not fit
        the mode or the variant, or as `Recipe.check`.
        """
        if self.judge.mode == "siblings" and self.rl.group_size < 2:
            raise UsageError(
                f'rl.group_size is {self.rl.group_size}; judge.mode = "siblings" compares the responses of a group '
                "and needs at least 2"
            )
        check_mode(self.judge)
        super().check()

    def describe(self, summary: "RunSummary") -> Iterator[str]:
        """Describes sampling, judging and RL."""
        judge, rl = self.judge, self.rl
        yield f"The policy answered {rl.prompts_per_step} prompts {rl.group_size} times each in every step."
        kind = str(summary.reward_kind or judge.reward).replace("_", "-")
        how, of_what = {
            "rubric": ("checked each answer by the rubric of its prompt", "the points that it reached"),
            "score": ("read each answer and was asked for one of its choices", "their probabilities"),
            "siblings": (_SIBLINGS[judge.design], "its preferences"),
            "reference": ("compared each answer with one of the reference policy", "its preference"),
        }[judge.mode]
        yield f"A judge {how}; the {kind} of {of_what} was the reward."
        if judge.escalation is not None:
            yield (
                f"In each step, {judge.escalation.model} scored again up to {judge.escalation.per_step} responses "
                "whose advantage's sign was in doubt."
            )
        yield from rl_in_words(self.rewards, rl, self.tuning, "the judge's", self.engine)
