"""The control of `benchmarks.agent`: the method `agent` whose rewards are shuffled within each step."""

import random
from collections.abc import Sequence

from preceptor.core.seeds import derive_seed
from preceptor.methods.agent import Agent
from preceptor.recipes.agent import AgentRecipe
from preceptor.runs.judge import RunJudge
from preceptor.training.policy import ResponseGroup
from preceptor.training.rl.rewards import Rewards, RewardSource


class Shuffled:
    """Another source's rewards, each given to some response of the same step."""

    def __init__(self, source: RewardSource, seed: int) -> None:
        self._source = source
        self._seed = seed

    def __call__(self, groups_P: Sequence[ResponseGroup]) -> Rewards:
        """The rewards, P × G, in an order that depends on the seed and on the policy, which every step changes."""
        rewards_PG = self._source(groups_P)
        listed = [reward for row in rewards_PG for reward in row]
        policy = groups_P[0].responses[0].policy
        random.Random(derive_seed(self._seed, "shuffled", policy)).shuffle(listed)  # noqa: S311
        remaining = iter(listed)
        return [[next(remaining) for _ in row] for row in rewards_PG]


class ShuffledAgent(Agent):
    """The method `agent` with shuffled rewards."""

    def reward(self, recipe: AgentRecipe, judge: RunJudge | None) -> RewardSource:
        """The same rewards, shuffled."""
        return Shuffled(super().reward(recipe, judge), recipe.seed)
