"""A row as its rater sees it: the conversation, and the responses by their place on the screen, without any name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from preceptor.core.types import Message
from preceptor.studio.people.assign import Assignment
from preceptor.studio.text import Renderer, differences, plain

View = Literal["markdown", "plain", "differences"]
_MESSAGES = TypeAdapter(tuple[Message, ...])


@dataclass(frozen=True)
class ShownRow:
    """What a rater sees."""

    conversation: Sequence[Message]
    responses: Sequence[Sequence[Message]]
    """In the order of the screen."""
    view: View
    _rendered: Renderer = field(default_factory=Renderer, compare=False)

    @cached_property
    def compared_texts(self) -> tuple[Any, ...]:
        """For the view of differences, both texts with what the other does not have marked."""
        return differences(*("\n\n".join(message.content for message in response) for response in self.responses))

    def text(self, message: Message) -> Any:
        """A message's text as the view shows it."""
        return self._rendered(message.content) if self.view == "markdown" else plain(message.content)


def shown_row(assignment: Assignment, view: str = "markdown") -> ShownRow:
    """The row of an assignment.

    Args:
        view: "markdown", "plain" or "differences" (of two responses); anything else is shown as Markdown.
    """
    row, order = assignment.row, assignment.order
    given: Any = row.get("responses")
    responses = given if isinstance(given, list) else [row.get("response_a"), row.get("response_b")]
    chosen = view_of(view)
    return ShownRow(
        conversation=as_messages(row.get("prompt", row.get("conversation")), "user"),
        responses=[as_messages(responses[position], "assistant") for position in order],
        view="plain" if chosen == "differences" and len(order) != 2 else chosen,
    )


def view_of(name: str) -> View:
    """The view of this name; formatted Markdown if there is none."""
    views: dict[str, View] = {"plain": "plain", "differences": "differences"}
    return views.get(name, "markdown")


def as_messages(value: Any, role: Literal["user", "assistant"]) -> Sequence[Message]:
    """A text as one message, or messages as they are; what is neither is shown as it stands."""
    if isinstance(value, list):
        try:
            return _MESSAGES.validate_python(value)
        except ValidationError:
            pass
    return (Message.model_construct(role=role, content=value if isinstance(value, str) else str(value)),)
