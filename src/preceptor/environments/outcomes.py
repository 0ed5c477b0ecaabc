"""What became of an agent's episode, besides its messages."""

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from pydantic import Field

from preceptor.core.types import Frozen
from preceptor.environments.episodes import EpisodeResult

Ending = Literal["answered", "turn_limit", "token_limit", "window", "environment"]


class EpisodeOutcome(Frozen):
    """How an episode ended, and what its environment says of it."""

    result: EpisodeResult
    ending: Ending
    """`answered`: the policy's last turn called no tool. `turn_limit`, `token_limit`: it reached a limit of the
    settings. `window`: it filled the model's context window. `environment`: its environment ended early."""
    turns: int = Field(ge=1)
    """Turns of the policy."""
    tool_calls: int = Field(ge=0)
    """Calls that were run, and turns whose calls could not be read."""
    tool_errors: int = Field(ge=0)
    """Those of them that failed: no valid JSON, an unknown tool, wrong arguments, an error that the tool raised, a
    limit."""

    @property
    def success(self) -> bool | None:
        """Whether the task was done; None where the environment does not say, or broke before it could."""
        return self.result.success


def episode_means(episodes: Sequence[EpisodeOutcome]) -> dict[str, float]:
    """What the episodes of a step were like, by name; nothing where there are none.

    `turns`, `tool_calls` and `tool_errors` are means per episode; `answered` is the share of episodes that ended with
    an answer, `broken` of those whose environment broke; `success` and `reward` are means over the episodes of which
    the environment knew it, and absent where it knew none.
    """
    if not episodes:
        return {}
    means = {
        "turns": fmean(episode.turns for episode in episodes),
        "tool_calls": fmean(episode.tool_calls for episode in episodes),
        "tool_errors": fmean(episode.tool_errors for episode in episodes),
        "answered": fmean(episode.ending == "answered" for episode in episodes),
        "broken": fmean(episode.result.failure is not None for episode in episodes),
    }
    known = [float(episode.success) for episode in episodes if episode.success is not None]
    rewards = [episode.result.reward for episode in episodes if episode.result.reward is not None]
    return means | ({"success": fmean(known)} if known else {}) | ({"reward": fmean(rewards)} if rewards else {})
