"""What the columns of the usual datasets on the Hugging Face Hub mean.

Each row becomes one that files may hold too (see `store.comparisons`, `store.prompts`, `store.demonstrations`). Columns
that already have such names keep their meaning, and a row of unknown columns is left as it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

PROMPTS = ("instruction", "question", "query", "problem", "history", "context")
"""Columns that hold the prompt where there is no `prompt`; the first that a row has counts."""
_INPUTS = ("input", "context")
"""Columns whose text belongs to an `instruction`, below it."""
_SYSTEMS = ("system", "system_prompt")
"""Columns whose text is a system message before the prompt."""
_ANSWERS = ("answer", "completion", "output", "response", "solution")
"""Columns that hold an answer to the prompt."""
_CONVERSATIONS = ("messages", "conversation", "conversations")
"""Columns that hold whole conversations, the answer included."""
_CATEGORIES = ("subset", "domain")
_LISTS = (("completions", "response"), ("answers", "answer"), ("generations", None))
"""Columns that hold several responses, and the key of each one's text; None if they are texts."""
_ROLES = {"human": "user", "prompter": "user", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant"}
_MESSAGE = ("role", "content", "tool_calls", "tool_call_id", "name")
_TURN = re.compile(r"\n\n(Human|Assistant):[ ]?")
_TYPES: Mapping[str, tuple[type, ...]] = {
    "id": (str, int),
    "cohort": (str,),
    "category": (str, int),
    "reference": (str,),
    "metadata": (dict,),
    "rubric": (list, dict),
    "weight": (int, float),
}
"""What columns must be to have their meaning here; otherwise they are left out."""


@dataclass(frozen=True)
class _Pair:
    """A way to say which of two responses people prefer."""

    a: str
    b: str
    verdict: str
    """The column with the verdict."""
    says: Mapping[object, str]
    """The label that each verdict means."""


_STRENGTHS: Mapping[object, str] = {-3: "a", -2: "a", -1: "a", 0: "tie", 1: "b", 2: "b", 3: "b"}
_PAIRS = (
    _Pair("response_0", "response_1", "better_response_id", {0: "a", 1: "b"}),  # PKU-SafeRLHF
    _Pair("response_1", "response_2", "preference_strength", _STRENGTHS),  # HelpSteer2
    _Pair("response1", "response2", "overall_preference", _STRENGTHS),  # HelpSteer3
    _Pair("output_1", "output_2", "preference", {1: "a", 2: "b", 0: "tie"}),  # AlpacaFarm
    _Pair("human_ref_A", "human_ref_B", "labels", {1: "a", 0: "b"}),  # SHP
    _Pair(  # Chatbot Arena, MT-Bench
        "conversation_a",
        "conversation_b",
        "winner",
        {"model_a": "a", "model_b": "b", "tie": "tie", "tie (bothbad)": "tie", "tie (both bad)": "tie"},
    ),
)


def in_our_columns(row: Mapping[str, Any]) -> Row | None:
    """The row in preceptor's columns; None for a row that is a part of another, as in a table of single messages."""
    fields: Row = {name: value for name, value in row.items() if value is not None}
    if {"message_id", "role", "text"} <= fields.keys():  # OpenAssistant: a tree of messages, one in each row
        beginning = fields.get("parent_id") is None and fields["role"] == "prompter"
        return {"prompt": fields["text"], "metadata": {"message_id": fields["message_id"]}} if beginning else None
    for name, types in _TYPES.items():
        if name in fields and (not isinstance(fields[name], types) or fields[name] == ""):
            del fields[name]
    for name in ("prompt", "chosen", "rejected", *PROMPTS, *_CONVERSATIONS, "conversation_a", "conversation_b"):
        if name in fields:
            fields[name] = _conversation(fields[name])
    _name_pair(fields)
    _name_list(fields)
    _name_prompt(fields)
    _split_pair(fields, "chosen", "rejected")
    _split_pair(fields, "response_a", "response_b")
    _name_answer(fields)
    category = next((fields[name] for name in _CATEGORIES if isinstance(fields.get(name), str)), None)
    if category is not None:
        fields.setdefault("category", category)
    return fields


def _name_pair(fields: Row) -> None:
    for pair in _PAIRS:
        if pair.a in fields and pair.b in fields:
            fields["response_a"], fields["response_b"] = fields.pop(pair.a), fields.pop(pair.b)
            verdict = fields.pop(pair.verdict, None)
            fields.pop("label", None)
            if isinstance(verdict, str | int) and verdict in pair.says:
                fields["label"] = pair.says[verdict]
            for side in "ab":
                if isinstance(fields.get(f"model_{side}"), str):
                    fields[f"policy_{side}"] = fields[f"model_{side}"]
            return


def _name_list(fields: Row) -> None:
    for name, key in _LISTS:
        listed: Any = fields.get(name)
        if "responses" in fields or not isinstance(listed, list) or len(listed) < 2:
            continue
        texts = listed if key is None else [each.get(key) for each in listed if isinstance(each, dict)]
        if len(texts) == len(listed) and all(isinstance(text, str) for text in texts):
            fields["responses"] = texts
            models = [each.get("model") for each in listed] if key is not None else []
            if models and all(isinstance(model, str) for model in models):
                fields["policies"] = models


def _name_prompt(fields: Row) -> None:
    """Names the prompt, or the conversation up to the last answer."""
    if "prompt" not in fields and (name := next((name for name in PROMPTS if name in fields), None)):
        fields["prompt"] = fields[name]
        below = next((fields[name] for name in _INPUTS if fields.get(name)), None)
        if name == "instruction" and isinstance(below, str) and isinstance(fields["prompt"], str):
            fields["prompt"] = f"{fields['prompt']}\n\n{below}"
    name = next((name for name in _CONVERSATIONS if isinstance(fields.get(name), list)), None)
    messages = fields[name] if name else []
    if role_of_first(messages[-1:]) == "assistant" and len(messages) > 1:
        if "prompt" not in fields:
            fields["prompt"] = messages[:-1]
        if not fields.keys() & set(_ANSWERS):
            fields["answer"] = messages[-1].get("content")
        fields.pop("conversation", None)
    elif "prompt" in fields:
        fields.pop("conversation", None)
    system = next((fields[name] for name in _SYSTEMS if isinstance(fields.get(name), str) and fields[name]), None)
    if system and isinstance(fields.get("prompt"), str):
        messages = [{"role": "system", "content": system}, {"role": "user", "content": fields["prompt"]}]
        fields["prompt"] = messages


def _split_pair(fields: Row, a: str, b: str) -> None:
    """Names the common beginning of two whole conversations as their prompt, and keeps of them what follows it."""
    first, second = fields.get(a), fields.get(b)
    if not (role_of_first(first) in ("system", "user") and role_of_first(second) in ("system", "user")):
        return
    assert isinstance(first, list) and isinstance(second, list)
    if common := common_beginning(first, second):
        fields["prompt"], fields[a], fields[b] = first[:common], first[common:], second[common:]


def common_beginning(first: list[Any], second: list[Any]) -> int:
    """How many messages two conversations have in common, up to one of the user."""
    common = 0
    while common < min(len(first), len(second)) - 1 and first[common] == second[common]:
        common += 1
    while common and role_of_first(first[common - 1 :]) != "user":
        common -= 1
    return common


def _name_answer(fields: Row) -> None:
    """Names the answer of a row that compares none."""
    if fields.keys() & {"reference", "chosen", "rejected", "response_a", "response_b", "responses"}:
        return
    answer = next((fields[name] for name in _ANSWERS if isinstance(fields.get(name), str) and fields[name]), None)
    if answer is not None:
        fields["reference"] = answer


def _conversation(value: Any) -> Any:
    """Messages from a transcript or from another form of messages; any other value as it is."""
    if isinstance(value, str) and _TURN.match(value):
        parts = _TURN.split(value)[1:]
        turns = zip(parts[::2], parts[1::2], strict=True)
        messages = [{"role": "user" if who == "Human" else "assistant", "content": text.strip()} for who, text in turns]
        return messages[:-1] if messages[-1] == {"role": "assistant", "content": ""} else messages
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return [_message(each) for each in value]
    return value


def _message(value: Row) -> Row:
    """A message without what only its dataset knows of it, such as a country or a rating."""
    said = {"role": value["from"], "content": value.get("value")} if "from" in value else value
    role: Any = said.get("role")
    return {key: said[key] for key in _MESSAGE if said.get(key) is not None} | {"role": _ROLES.get(role, role)}


def role_of_first(messages: Any) -> str | None:
    """The role of the first message; None if there is none."""
    first = messages[0] if isinstance(messages, list) and messages else None
    return first.get("role") if isinstance(first, dict) else None
