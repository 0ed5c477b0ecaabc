"""What a policy wrote, as a message with calls of tools."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.backends.transformers.thinking import thinking_template
from preceptor.backends.transformers.tool_format import ToolFormat, calls_in, tool_format
from preceptor.core.types import FunctionCall, Message, ToolCall


@dataclass(frozen=True)
class ParsedTurn:
    """A turn of the policy as a message."""

    message: Message
    """Its calls, and the text around them; all of the text if a call is broken."""
    broken: str = ""
    """Why a call of a tool in the text cannot be read, for the policy to be told; "" if all can."""


def parse_turn(tokenizer: Any, ids: Sequence[int], *, calls_before: int = 0) -> ParsedTurn:
    """The message that a policy's tokens are, calls of tools in the format of its chat template (`tool_format`).

    Nothing that a policy writes raises an error. Calls inside a thought are none.

    Args:
        ids: without the token that ends the turn.
        calls_before: how many calls the trajectory holds already; they are numbered on.
    """
    shown = tool_format(tokenizer)
    written = str(tokenizer.decode(list(ids), skip_special_tokens=False))
    text = str(tokenizer.decode(list(ids), skip_special_tokens=True))
    thinking = thinking_template(tokenizer)
    thought, closed, answer = written.rpartition(thinking.end) if thinking and thinking.end else ("", "", written)
    parts = _between(shown, answer) if shown.opening else _alone(answer)
    if parts is None:
        return ParsedTurn(Message(role="assistant", content=text))
    around, blocks = parts
    calls: list[ToolCall] = []
    for block in blocks:
        read = _read(block)
        if read is None:
            return ParsedTurn(Message(role="assistant", content=text), _complaint(shown, block))
        calls += [
            ToolCall(id=name or f"call{calls_before + len(calls) + place:05d}", function=function)
            for place, (function, name) in enumerate(read)
        ]
    return ParsedTurn(Message(role="assistant", content=(thought + closed + around).strip(), tool_calls=tuple(calls)))


def _between(shown: ToolFormat, text: str) -> tuple[str, list[str]] | None:
    """The text outside the tags, and what stands between them; None without an opening tag."""
    before, *blocks = text.split(shown.opening)
    if not blocks:
        return None
    around, inside = [before.rstrip()], list[str]()
    for block in blocks:
        call, _, after = block.partition(shown.closing) if shown.closing else (block, "", "")
        inside.append(call)
        around.append(after.strip())
    return "\n".join(filter(None, around)), inside


def _alone(text: str) -> tuple[str, list[str]] | None:
    """A turn that is nothing but JSON with a name, as Llama's models write calls; None for any other."""
    begun = text.strip()
    called = '"name"' in begun and ('"parameters"' in begun or '"arguments"' in begun)
    return ("", [begun]) if called and begun.startswith(("{", "[{")) else None


def _read(block: str) -> list[tuple[FunctionCall, str]] | None:
    """The calls in the JSON of a block with their ids; None if it is broken."""
    try:
        calls = calls_in(json.loads(block))
        if calls is None:
            return None
        return [(FunctionCall(name=name, arguments=_arguments(given)), id_) for name, given, id_ in calls]
    except (ValueError, RecursionError):
        return None


def _arguments(given: Any) -> str:
    """Arguments as JSON text; a text is kept as the model wrote it, since it may be the JSON."""
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def _complaint(shown: ToolFormat, block: str) -> str:
    """What the policy is told of a broken call."""
    try:
        json.loads(block)
        return 'a call needs "name" and "arguments"'
    except json.JSONDecodeError as error:
        return f"a call is not valid JSON: {error.msg} at character {error.pos + 1}"
    except (ValueError, RecursionError):
        return "a call is not valid JSON"
