"""Limits of episodes of several turns. Needs no torch, so that recipes are checked before torch is loaded."""

from pydantic import Field

from preceptor.core.types import Frozen, Integer, Tokens


class TurnSettings(Frozen):
    """When an episode ends, besides the policy's own final answer, which is a turn that calls no tool.

    `rl.max_new_tokens` limits a whole episode, what tools returned included.
    """

    max_turns: Integer = Field(default=8, ge=1, le=1_000)
    """Most turns of the policy. What the last of them calls is not run, since the policy could not read the result."""
    max_new_tokens: Tokens | None = None
    """Length limit of each turn; when absent, only the episode as a whole is limited."""

    def of_turn(self, of_episode: int) -> int:
        """Most tokens of a turn.

        Args:
            of_episode: most tokens of the whole episode.
        """
        return of_episode if self.max_new_tokens is None else min(self.max_new_tokens, of_episode)
