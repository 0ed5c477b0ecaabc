"""The schema of direct RLAIF in an environment."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject
from preceptor.environments.loading import load_environment
from preceptor.recipes.base import Recipe
from preceptor.recipes.environments import AgentSettings, EnvironmentSettings
from preceptor.recipes.settings import JudgeSettings, RewardFunctionSettings, SftTable
from preceptor.recipes.words import rl_in_words
from preceptor.training.rl.settings import RLSettings, check_turn_scores
from preceptor.training.rl.turn_settings import TurnSettings

if TYPE_CHECKING:
    from preceptor.results.run import RunSummary


class AgentRecipe(Recipe):
    """Direct RLAIF in an environment: the policy works on tasks with tools, over several turns, and learns from whether
    they were done, and from what a judge says of each episode.
    """

    title = "RLAIF of an agent"

    environment: EnvironmentSettings = EnvironmentSettings()
    turns: TurnSettings = TurnSettings()
    agent: AgentSettings = AgentSettings()
    judge: JudgeSettings | None = None
    """Scores whole episodes, and single turns, by its constitution. One that has no weight in [agent] only measures."""
    sft: SftTable | None = None
    """Its result becomes the policy and its reference: demonstrations that show how tools are called."""
    rl: RLSettings = RLSettings()

    @model_validator(mode="before")
    @classmethod
    def _has_a_judge_if_it_is_asked(cls, values: Any) -> Any:
        """Adds the default judge if the weights need one and none is named."""
        if not isinstance(values, dict) or "judge" in values:
            return values
        settings: JsonObject = values
        agent: Any = settings.get("agent", {})
        asked = isinstance(agent, dict) and (agent.get("judge") or agent.get("steps"))
        return {**settings, "judge": {}} if asked else settings

    def check(self) -> None:
        """Raises: UsageError when there is no such environment, or it says nothing of success although it must; when
        the algorithm cannot credit turns, when a judge is weighed that is not there, when rewards are normalised in
        groups of one, or as `Recipe.check`.
        """
        super().check()
        self._check_environment()
        if self.agent.steps:
            check_turn_scores(self.rl)
        if self.agent.asks_judge and self.judge is None:
            raise UsageError("agent.judge and agent.steps weigh a judge's scores, and there is no table [judge]")
        if self.agent.aggregation == "normalize_then_sum" and self.rl.group_size < 2:
            raise UsageError(
                f'rl.group_size is {self.rl.group_size}; agent.aggregation = "normalize_then_sum" normalises in '
                "groups and needs at least 2"
            )

    def _check_environment(self) -> None:
        """Checks that what rewards or measures by the environment's `get_reward` finds one."""
        if load_environment(self.environment.name).has_reward:
            return
        lacks = f'environment.name = "{self.environment.name}" has no method get_reward'
        if self.agent.environment:
            raise UsageError(
                f"{lacks}, and agent.environment weighs its reward; set agent.environment=0 and agent.judge=1"
            )
        if self.evaluation.judge is None:
            raise UsageError(
                f"{lacks}, so nothing says whether a held-out task was done; name a held-out judge by "
                "evaluation.judge.model"
            )

    def check_trl(self, rl: RLSettings | None) -> None:
        """Raises: UsageError where TRL cannot mask what the policy did not write, or cannot credit single turns."""
        if self.rl.algorithm != "grpo":
            raise UsageError(
                f'rl.algorithm = "{self.rl.algorithm}": on TRL, episodes of several turns are for "grpo", which masks '
                "what the policy did not write; choose it, or the native engine"
            )
        if self.agent.steps:
            raise UsageError(
                "agent.steps: TRL has no advantages of single turns; set it to 0, or use the native engine"
            )
        if self.engine.vllm != "off":
            raise UsageError(
                f'engine.vllm = "{self.engine.vllm}": episodes of several turns are sampled by the model itself; leave '
                "it out"
            )
        super().check_trl(rl)

    def describe(self, summary: "RunSummary") -> Iterator[str]:
        """Describes episodes, rewards and RL."""
        rl = self.rl
        yield (
            f"In every step, the policy worked on {rl.prompts_per_step} tasks {rl.group_size} times each, with the "
            f"tools of the environment {self.environment.name} and in up to {self.turns.max_turns} turns."
        )
        yield from self.agent.describe()
        if self.judge is not None and not self.agent.asks_judge:
            yield "The judge scored episodes before and after training; its scores rewarded nothing."
        if self.evaluation.judge is None:
            yield "The held-out score is the share of held-out tasks that were done, by the environment."
            if self.agent.environment:
                yield "The environment's reward also trained the policy, on other tasks."
        yield from rl_in_words(RewardFunctionSettings(), rl, self.tuning, "the judge's", self.engine)
