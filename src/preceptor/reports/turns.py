"""An agent's episode, turn by turn, and how it ended in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from preceptor.core.types import Message
from preceptor.environments.outcomes import Ending

ENDINGS: Mapping[Ending, str] = {
    "answered": "it answered",
    "turn_limit": "it reached the limit of turns",
    "token_limit": "it reached the limit of tokens",
    "window": "it filled the context window",
    "environment": "its environment ended",
}


@dataclass(frozen=True)
class Turn:
    """What the policy said and called in a turn, and what came of it."""

    said: str
    calls: tuple[str, ...]
    results: tuple[str, ...]
    score: float | None = None
    """By a judge of turns."""

    @property
    def characters(self) -> int:
        """The length of its texts."""
        return sum(map(len, (self.said, *self.calls, *self.results)))


def turns_of(trajectory: Sequence[Message], scores: Sequence[float | None] = ()) -> tuple[Turn, ...]:
    """The turns of a trajectory.

    Args:
        scores: a judge's, of the turns from the first on; there may be fewer than turns.
    """
    turns: list[Turn] = []
    for message in trajectory:
        if message.role == "assistant":
            calls = tuple(f"{call.function.name}({call.function.arguments})" for call in message.tool_calls)
            score = scores[len(turns)] if len(turns) < len(scores) else None
            turns.append(Turn(message.content, calls, (), score))
        elif turns:
            last = turns[-1]
            turns[-1] = Turn(last.said, last.calls, (*last.results, message.content), last.score)
    return tuple(turns)
