"""How a model calls tools: as its chat template shows it, or in a plain format where the template has no tools.

A template is tried once: it shows a tool, a call and its result, and the call must be readable again (an opening tag,
JSON with a name and arguments, a closing tag; Qwen's, Llama's and Mistral's templates are of this kind). Where one of
these fails, tools are shown in the plain format:

- the tools stand at the end of the system message, or at the beginning of the first message if there is none;
- a call is JSON between `<tool_call>` and `</tool_call>`, in the text of the assistant's turn;
- results are messages of the user, each result between `<tool_result>` and `</tool_result>`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from preceptor.core.control_tokens import defused
from preceptor.core.types import JsonObject, Message

_DEEPEST = 64
"""Levels of lists and objects in the arguments of a call that are read; deeper ones are a text."""
_QUESTION, _ANSWER, _AGAIN, _NAME, _KEY, _VALUE, _RESULT = (
    f"\u2402{word}\u2403" for word in ("question", "answer", "again", "name", "key", "value", "result")
)
_TOLD = """\
You can use tools. A call of a tool is JSON with its name and its arguments, between tags:
<tool_call>
{"name": "name of the tool", "arguments": {"parameter": "value"}}
</tool_call>
End your turn after your calls; each result then comes between <tool_result> and </tool_result>. The tools:"""


@dataclass(frozen=True)
class ToolFormat:
    """How calls of tools look in a model's turn."""

    native: bool
    """Whether the chat template itself has tools; otherwise the plain format is used."""
    opening: str = "<tool_call>"
    """The tag before the JSON of a call, or of a list of calls; empty where the turn is nothing but JSON."""
    closing: str = "</tool_call>"


PLAIN = ToolFormat(native=False)


def tool_format(tokenizer: Any) -> ToolFormat:
    """The format in which the chat template shows tools; the plain one where it has none, or none that can be read."""
    return PLAIN if tokenizer.chat_template is None else _found(tokenizer, str(tokenizer.chat_template))


@lru_cache(maxsize=16)
def _found(tokenizer: Any, _template: str) -> ToolFormat:
    """The format, found out by showing the template a tool, a call of it and its result."""
    function: JsonObject = {"name": _NAME, "arguments": {_KEY: _VALUE}}
    called: JsonObject = {"role": "assistant", "content": "", "tool_calls": [_call(function)]}
    asked: JsonObject = {"role": "user", "content": _QUESTION}
    result: JsonObject = {"role": "tool", "name": _NAME, "tool_call_id": "call00001", "content": _RESULT}
    begun = _tried(tokenizer, [asked], ready=True)
    shown = _tried(tokenizer, [asked, called, result], ready=True)
    header = begun.partition(_QUESTION)[2]
    said, _, rest = shown.partition(_QUESTION)[2].partition(_RESULT)
    told = _tried(tokenizer, [asked], ready=True, tools=[_tool(_NAME)])
    if not rest or not header or _NAME not in told or not said.startswith(header):
        return PLAIN
    return _read_again(tokenizer, said.removeprefix(header)) or PLAIN


def _read_again(tokenizer: Any, said: str) -> ToolFormat | None:
    """The format of a turn that holds one call, if the call can be read; None otherwise."""
    for start in (match.start() for match in re.finditer(r"[\[{]", said)):
        try:
            value, end = json.JSONDecoder().raw_decode(said, start)
        except ValueError:
            continue
        ended = end_in(tokenizer, said[end:], calls=True)
        if calls_in(value) == [(_NAME, {_KEY: _VALUE}, "")] and ended is not None:
            before, after = said[:start].split(), said[end : end + ended[0]].split()
            return ToolFormat(True, before[-1] if before else "", after[0] if after else "")
    return None


def calls_in(value: Any) -> list[tuple[str, Any, str]] | None:
    """Name, arguments and id of each call in decoded JSON, which is a call or a list of calls; None if it is neither.

    Arguments that are missing are `{}`.
    """
    calls: list[tuple[str, Any, str]] = []
    listed: list[Any] = value if isinstance(value, list) else [value]
    for each in listed:
        call: Any = each.get("function", each) if isinstance(each, dict) else None
        if not isinstance(call, dict) or not isinstance(call.get("name"), str) or not call["name"].strip():
            return None
        arguments = call.get("arguments", call.get("parameters"))
        name = each.get("id")
        calls.append((call["name"], {} if arguments is None else arguments, name if isinstance(name, str) else ""))
    return calls or None


def decoded(arguments: str) -> dict[str, Any] | None:
    """The arguments of a call, if they are a JSON object that can be written again; None for anything else."""
    if not arguments.strip():
        return {}
    try:
        value: Any = json.loads(arguments)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # a lone surrogate is a ValueError too
        return None
    return value if isinstance(value, dict) and _depth(value) <= _DEEPEST else None


def _depth(value: Any) -> int:
    """Levels of lists and objects, not counted beyond the deepest that is read."""
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        level = [each for part in level if isinstance(part, (dict, list)) for each in _parts(part)]
        depth += 1
    return depth


def _parts(value: Any) -> Iterator[Any]:
    return iter(value.values() if isinstance(value, dict) else value)


def end_of_turn(tokenizer: Any) -> str:
    """The control token that the chat template puts after an answer of the assistant; "" if it puts none."""
    return _end(tokenizer, str(tokenizer.chat_template))


@lru_cache(maxsize=16)
def _end(tokenizer: Any, _template: str) -> str:
    talk = (("user", _QUESTION), ("assistant", _ANSWER), ("user", _AGAIN))
    shown = _tried(tokenizer, [{"role": role, "content": content} for role, content in talk])
    match = re.search(_added(tokenizer, special=False), shown.partition(_ANSWER)[2].partition(_AGAIN)[0])
    return match[0] if match else ""


def end_in(tokenizer: Any, frame: str, *, calls: bool) -> tuple[int, int] | None:
    """Where the assistant's turn ends in what a template puts after its text: begin and end of the control token.

    Args:
        calls: whether the turn ends with calls of tools, after which some templates put a token of their own.
    """
    known = [name for name in (end_of_turn(tokenizer), tokenizer.eos_token) if name and name in frame]
    if known:
        start, end = min((frame.index(name), name) for name in known)
        return start, start + len(end)
    match = re.search(_added(tokenizer, special=True), frame) if calls else None
    return (match.start(), match.end()) if match else None


def _added(tokenizer: Any, *, special: bool) -> str:
    """A pattern of the tokens that were added to the vocabulary, the longest first; blank ones are left out."""
    tokens = tokenizer.added_tokens_decoder.values()
    names = {token.content for token in tokens if token.content.strip() and (token.special or not special)}
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or r"(?!)"


def plain_turn(message: Message) -> str:
    """The text of an assistant's turn in the plain format, its calls included."""
    calls = [
        f'<tool_call>\n{{"name": {_text(call.function.name)}, "arguments": {call.function.arguments or "{}"}}}\n'
        "</tool_call>"
        for call in message.tool_calls
    ]
    return "\n".join([message.content, *calls] if message.content else calls)


def plain_tools(tools: Sequence[JsonObject]) -> str:
    """What a model is told about tools in the plain format."""
    functions = [tool.get("function", tool) for tool in tools]
    return "\n".join([_TOLD, *(json.dumps(function, ensure_ascii=False) for function in functions)])


def inert_tools(tools: Sequence[JsonObject]) -> list[JsonObject]:
    """JSON schemas of tools with a space inside whatever a model might read as a control token."""
    return [_inert(tool) for tool in tools]


def _inert(value: Any) -> Any:
    if isinstance(value, str):
        return defused(value).replace("\u2402", " ").replace("\u2403", " ")
    if isinstance(value, dict):
        return {_inert(key): _inert(part) for key, part in value.items()}
    return [_inert(part) for part in value] if isinstance(value, list | tuple) else value


def _tried(
    tokenizer: Any, messages: list[JsonObject], *, ready: bool = False, tools: list[JsonObject] | None = None
) -> str:
    """Messages in the template; "" if it refuses them."""
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ready, tools=tools))
    except (TemplateError, TypeError, ValueError):
        return ""


def _call(function: JsonObject) -> JsonObject:
    return {"id": "call00001", "type": "function", "function": function}


def _tool(name: str) -> JsonObject:
    parameters: JsonObject = {"type": "object", "properties": {"x": {"type": "string", "description": "A text."}}}
    function: JsonObject = {"name": name, "description": "Looks up.", "parameters": parameters}
    return {"type": "function", "function": function}


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
