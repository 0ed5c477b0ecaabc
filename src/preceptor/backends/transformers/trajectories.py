"""Trajectories as tokens: what the policy wrote and what it was told, turn by turn, in its own chat template.

A trajectory is laid out as it comes about when it is sampled. The prompt ends where the assistant's turn begins. The
policy writes its turn (a text, calls of tools) and the token that ends it. Then the template's text with the results of
tools and what users said is put in, up to where the next turn begins. So a trajectory that is read from a file and one
that is sampled have the same tokens. Only the policy's are learned.

This is what the template gives for the whole trajectory, unless the template shows an earlier turn differently once
others follow, as templates do that drop earlier thoughts; `rewritten` tells these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from jinja2 import TemplateError

from preceptor.backends.transformers.chat import encode_frame, encode_pieces
from preceptor.backends.transformers.rendering import Piece, TemplateRefusalError, render
from preceptor.backends.transformers.tool_format import end_in
from preceptor.core.types import Conversation, FunctionCall, JsonObject, Message, ToolCall


@dataclass(frozen=True)
class EncodedTrajectory:
    """The tokens of a trajectory after its prompt."""

    ids: tuple[int, ...]
    learned: tuple[bool, ...]
    """True for each token that the policy wrote, the tokens that end its turns included."""


def encode_trajectory(
    tokenizer: Any,
    prompt: Conversation,
    messages: Sequence[Message],
    *,
    tools: Sequence[JsonObject] = (),
    finished: bool = True,
    settings: Mapping[str, object] | None = None,
) -> EncodedTrajectory:
    """The tokens of all messages after a prompt, which `encode_conversation` encodes.

    What follows the assistant's last turn is left out, since nothing is learned from it.

    Args:
        messages: begin with a turn of the assistant.
        tools: JSON schemas of the tools, as the prompt was encoded with.
        finished: whether a last message of the assistant ended by itself; otherwise no token for its end is learned.
        settings: variables of the template.

    Raises: as `encode_conversation`; TemplateRefusalError also when the messages begin otherwise, or when it cannot be
        told where a turn begins or ends in the template.
    """
    if not messages or messages[0].role != "assistant":
        raise TemplateRefusalError("a trajectory begins with a message of the assistant")
    ids: list[int] = []
    learned: list[bool] = []
    starts = [place for place, message in enumerate(messages) if message.role == "assistant"]
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        before, observed = (*prompt, *messages[: start + 1]), messages[start + 1 : following]
        written = encode_turn(
            tokenizer,
            before,
            tools=tools,
            settings=settings,
            finished=finished or following is not None or bool(observed),
        )
        told = (
            []
            if following is None
            else encode_observations(tokenizer, before, observed, tools=tools, settings=settings)
        )
        ids += written + told
        learned += [True] * len(written) + [False] * len(told)
    return EncodedTrajectory(tuple(ids), tuple(learned))


def encode_observations(
    tokenizer: Any,
    conversation: Conversation,
    observed: Sequence[Message],
    *,
    tools: Sequence[JsonObject] = (),
    settings: Mapping[str, object] | None = None,
) -> list[int]:
    """The tokens between the end of the assistant's turn and the beginning of its next: results of tools, what users
    said, and the template's text around them. They follow the token that ended the turn.

    Args:
        conversation: everything up to the assistant's turn, which is its last message.
        observed: what follows; may be empty.

    Raises: as `encode_trajectory`.
    """
    pieces = render(tokenizer, (*conversation, *observed), tools=tools, settings=settings)
    own, after = _own(pieces, len(conversation) - 1)
    ended = _ended(tokenizer, own, after[0].text)
    after = [Piece(after[0].text[0 if ended is None else ended[1] :]), *after[1:]]
    return encode_pieces(tokenizer, after, (*conversation, *observed))


def encode_turn(
    tokenizer: Any,
    conversation: Conversation,
    *,
    tools: Sequence[JsonObject] = (),
    settings: Mapping[str, object] | None = None,
    finished: bool = True,
) -> list[int]:
    """The tokens of the assistant's turn that is the conversation's last message, with the token that ends it if it is
    finished.

    Raises: as `encode_trajectory`.
    """
    message, place = conversation[-1], len(conversation) - 1
    # Templates show a last turn in another way, so something follows it here.
    following = [Message(role="tool", tool_call_id=call.id or None) for call in message.tool_calls]
    pieces = render(tokenizer, (*conversation, *(following or [Message(role="user")])), tools=tools, settings=settings)
    own, after = _own(pieces, place)
    if own[0].kind == "call" and not message.content:
        header = render(tokenizer, conversation[:-1], tools=tools, settings=settings)[-1].text
        opening = pieces[len(pieces) - len(own) - len(after) - 1].text
        if not header or not opening.startswith(header):
            raise TemplateRefusalError("the chat template begins a turn with calls of tools differently from an answer")
        own = [Piece(opening.removeprefix(header)), *own]
    frame = after[0].text
    ended = _ended(tokenizer, own, frame)
    if ended is None:
        return encode_pieces(tokenizer, own, conversation) + [int(tokenizer.eos_token_id)] * finished
    ids = encode_pieces(tokenizer, [*own, Piece(frame[: ended[0]])] if ended[0] else own, conversation)
    return ids + (encode_frame(tokenizer, frame[ended[0] : ended[1]]) if finished else [])


def _own(pieces: Sequence[Piece], message: int) -> tuple[list[Piece], list[Piece]]:
    """The pieces of a message from its first text to its last, and all that follow."""
    own = [index for index, piece in enumerate(pieces) if piece.message == message]
    return list(pieces[own[0] : own[-1] + 1]), list(pieces[own[-1] + 1 :])


def _ended(tokenizer: Any, own: Sequence[Piece], frame: str) -> tuple[int, int] | None:
    """Where the token that ends a turn stands in what follows its last text; None if the template has none."""
    calls = any(piece.kind == "call" for piece in own)
    ended = end_in(tokenizer, frame, calls=calls)
    if ended is None and calls:
        raise TemplateRefusalError("the chat template puts no token at the end of a turn with calls of tools")
    return ended


def rewritten(tokenizer: Any) -> Literal["", "thoughts", "turns"]:
    """What the chat template shows differently once other turns follow: nothing, earlier thoughts (which it drops), or
    earlier turns as a whole. Then a chat server, which renders the conversation anew for each turn, shows the policy
    something else than what it wrote.
    """
    return _rewritten(tokenizer, str(tokenizer.chat_template))


def rewritten_note(what: str) -> str:
    """What a person is told about such a template."""
    return (
        f"the chat template shows earlier {what} differently once other turns follow; trajectories are learned as the "
        "policy writes them, turn by turn"
    )


@lru_cache(maxsize=16)
def _rewritten(tokenizer: Any, _template: str) -> Literal["", "thoughts", "turns"]:
    call = ToolCall(id="call00001", function=FunctionCall(name="f", arguments="{}"))
    talk = (
        Message(role="user", content="q"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", tool_call_id=call.id, content="r"),
        Message(role="assistant", content="a"),
        Message(role="user", content="q"),
    )
    tools: list[JsonObject] = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    try:
        shown = [_text(render(tokenizer, talk[:count], tools=tools)) for count in (1, 3, 5)]
    except TemplateRefusalError:
        return "turns"
    if not shown[1].startswith(shown[0]) or not shown[2].startswith(shown[1]):
        return "turns"
    thought = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "<think>\nt\n</think>\n\na"}]
    try:
        kept: str = tokenizer.apply_chat_template([*thought, thought[0]], tokenize=False, add_generation_prompt=True)
    except (TemplateError, TypeError):
        return ""
    return "" if "<think>\nt\n</think>" in kept else "thoughts"


def _text(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)
