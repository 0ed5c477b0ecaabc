"""What happens in an episode: observations, and the environment's result."""

from dataclasses import dataclass
from typing import Literal

from preceptor.core.fields import Frozen
from preceptor.core.types import Message, ToolCall

Failure = Literal["arguments", "unknown_tool", "raised", "too_slow", "crashed", "ended"]


@dataclass(eq=False)
class Episode:
    """One attempt at one task, in an environment of its own."""

    number: int
    prompt_id: str
    appended: str | None = None
    """What `reset` returned: the text that is appended to the prompt's last message."""
    ended: str | None = None
    """Why its environment ended early, after which tools no longer run; None while it works."""


class Observation(Frozen):
    """What came of a tool call, as the policy is shown it: bounded and valid text without control tokens."""

    name: str
    """The tool's name as the policy wrote it, safe to show."""
    text: str
    failure: Failure | None = None
    """`arguments`: they are not JSON, or do not fit the tool. `unknown_tool`: there is none of that name. `raised`: the
    tool raised an error. `too_slow`: the tool was stopped at its time limit. `crashed`: its process died. `ended`: the
    environment ended at an earlier call. None: the tool ran."""
    error: str | None = None
    """What the failure's message is; the policy is shown it in TRL's words, `{'error': '...'}`."""

    def message(self, call: ToolCall) -> Message:
        """The observation as a message of the conversation, for the call that it answers."""
        return Message(role="tool", content=self.text, name=self.name or None, tool_call_id=call.id or None)


class EpisodeResult(Frozen):
    """What the environment says of an episode."""

    reward: float | None = None
    """What `get_reward` returned. None without such a method, where it abstains, and where it could not be asked."""
    success: bool | None = None
    """Whether the task was done, which is a reward of 1 or more. None where it is not known, as where the environment
    ended early."""
    failure: str | None = None
    """Why there is no reward, where the environment ended or `get_reward` failed."""
