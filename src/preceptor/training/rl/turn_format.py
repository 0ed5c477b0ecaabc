"""How an episode is written as tokens: what stands before the policy's turns, and how a turn is read."""

from collections.abc import Sequence
from typing import Any, Protocol

from preceptor.backends.transformers.chat import encode_conversation
from preceptor.backends.transformers.rendering import TemplateRefusalError
from preceptor.backends.transformers.tool_parsing import ParsedTurn, parse_turn
from preceptor.backends.transformers.trajectories import encode_observations
from preceptor.core.types import Conversation, FunctionCall, JsonObject, Message, ToolCall

_ASKED = Message(role="user", content="?")


class TurnFormat(Protocol):
    """How turns, calls of tools and their results are written."""

    def begun(self, conversation: Conversation) -> list[int]:
        """Token ids of a prompt, ready for the first turn."""
        ...

    def read(self, ids: Sequence[int], calls_before: int) -> ParsedTurn:
        """What the policy wrote in a turn.

        Args:
            ids: without the token that ends the turn.
            calls_before: how many calls the episode holds already.
        """
        ...

    def between(self, conversation: Conversation, observed: Sequence[Message]) -> list[int]:
        """Token ids of results, up to where the next turn begins.

        Args:
            conversation: everything up to the turn that called tools, which is its last message.
        """
        ...


class ChatFormat:
    """The format of a model's own chat template with tools; the plain one where the template has none."""

    def __init__(self, tokenizer: Any, tools: Sequence[JsonObject]) -> None:
        self._tokenizer = tokenizer
        self._tools = tools

    def begun(self, conversation: Conversation) -> list[int]:
        """Token ids of a prompt with the tools.

        Raises: UsageError when the tokenizer has no chat template, or its template refuses the prompt.
        """
        return encode_conversation(self._tokenizer, conversation, tools=self._tools)

    def read(self, ids: Sequence[int], calls_before: int) -> ParsedTurn:
        """A turn as a message; nothing that a policy writes raises an error."""
        return parse_turn(self._tokenizer, ids, calls_before=calls_before)

    def between(self, conversation: Conversation, observed: Sequence[Message]) -> list[int]:
        """Token ids of results. If the template cannot show what the policy wrote, such as a broken call, a harmless
        call of the same tools stands in for it: this changes nothing of what follows it.

        Raises: TemplateRefusalError when the template refuses results of tools altogether.
        """
        if conversation[-1].tool_calls:
            try:
                return encode_observations(self._tokenizer, conversation, observed, tools=self._tools)
            except TemplateRefusalError:
                pass
        calls = tuple(_harmless(message, place) for place, message in enumerate(observed))
        said = Message(role="assistant", tool_calls=calls)
        answered = [
            message.model_copy(update={"tool_call_id": call.id}) for message, call in zip(observed, calls, strict=True)
        ]
        return encode_observations(self._tokenizer, (_ASKED, said), answered, tools=self._tools)


def _harmless(observed: Message, place: int) -> ToolCall:
    return ToolCall(id=f"call{place:05d}", function=FunctionCall(name=observed.name or "tool", arguments="{}"))
