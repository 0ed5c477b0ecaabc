"""The tables of methods whose policy acts in an environment."""

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from preceptor.core.types import Frozen, Real
from preceptor.environments.limits import Limits
from preceptor.recipes.settings import FileName
from preceptor.training.rl.reward_settings import Aggregation

if TYPE_CHECKING:
    from collections.abc import Iterator


class EnvironmentSettings(Frozen):
    """Where the policy acts. The recipe's prompts are the tasks."""

    name: FileName = "calculator"
    """An environment that ships with preceptor (`calculator`, `support_desk`), or a class of your own, as
    `path/file.py:ClassName` or `package.module:ClassName`."""
    limits: Limits = Limits()


class AgentSettings(Frozen):
    """What an episode is rewarded for: weights of three kinds of feedback. With a weight of 0, it is not asked for."""

    environment: Real = Field(default=1.0, ge=0, le=1e6)
    """Weight of the environment's own reward. An episode whose environment broke has none and is masked."""
    judge: Real = Field(default=0.0, ge=0, le=1e6)
    """Weight of the judge's score of the whole episode."""
    steps: Real = Field(default=0.0, ge=0, le=1e6)
    """Weight of the judge's scores of single turns: what a standard deviation of them, within the group, adds to a
    turn's own advantage. It moves credit among turns and comes on top of the reward of the whole."""
    aggregation: Aggregation = "sum"
    """How the rewards of the environment and of the judge become one: `sum` adds them as they are;
    `normalize_then_sum` first brings each by itself to mean 0 and standard deviation 1 within the group (GDPO)."""

    @model_validator(mode="after")
    def _rewards_the_whole(self) -> "AgentSettings":
        if not self.environment and not self.judge:
            raise ValueError(
                "nothing rewards the whole episode: set environment or judge above 0; steps only moves credit among "
                "the turns"
            )
        return self

    @property
    def asks_judge(self) -> bool:
        """Whether training asks the judge."""
        return bool(self.judge or self.steps)

    def describe(self) -> "Iterator[str]":
        """What was rewarded, in a sentence or two."""
        kinds = {"the environment's reward": self.environment, "the judge's score of the whole": self.judge}
        parts = [name if weight == 1 else f"{weight:g} × {name}" for name, weight in kinds.items() if weight]
        how = ", each normalised within the group" if self.aggregation != "sum" else ""
        yield f"The reward of an episode was {' plus '.join(parts)}{how}."
        if self.steps:
            yield (
                f"The judge also scored every turn, and a turn that was better than others of its group by a standard "
                f"deviation got {self.steps:g} more advantage."
            )
