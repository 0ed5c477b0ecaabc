"""Settings of policies that think before they answer. Needs no torch, so that recipes are checked without it."""

from typing import Annotated, Literal

from pydantic import Field

from preceptor.backends.base import Thinking
from preceptor.core.types import Flag, Frozen, Real, Tokens


class PolicyThinking(Frozen):
    """Whether a policy thinks before it answers. Both thought and answer are learned; what is judged is the answer."""

    on: Flag = True
    """`false` asks the chat template for an answer without a thought, of models that think otherwise."""
    tokens: Tokens = 512
    """Length limit of a thought. A thought that has not ended by then gets no answer. The limit of answers is
    `max_new_tokens`, as without thoughts."""
    unfinished_reward: Literal["abstain"] | Annotated[Real, Field(ge=-1e6, le=1e6)] = "abstain"
    """What a response with an unfinished thought gets in training, which no judge sees: no reward, or this one."""
    judge_sees_thought: Flag = False
    """Whether the source of rewards sees the thought before the answer. Held-out measures see the answer alone."""

    @property
    def penalty(self) -> float | None:
        """The reward of an unfinished thought; None if there is none."""
        return None if self.unfinished_reward == "abstain" else self.unfinished_reward

    def asked(self, seed: int) -> Thinking:
        """How a model of these settings is asked to think, where it answers like any other model."""
        return Thinking(self.tokens, seed, plain_tags=True) if self.on else Thinking("off")
