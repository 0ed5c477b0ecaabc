"""What a tool returned, however hostile, is read by a judge as one step of one response."""

import re
from collections import Counter

from hostile_texts import hostile_text
from preceptor.core.types import FunctionCall, Message, Response, ToolCall
from preceptor.judging.render import comparison_text
from preceptor.judging.trajectory import response_text

_TAGS = re.compile(r"<\s*/?\s*(?:prompt|response|step)(?:[\s_]*\d+)?\b[^<>]*>", re.IGNORECASE)
_STEPS = re.compile(r"\[\s*step\s*\d+[^\]]*\]", re.IGNORECASE)


def trajectory(text: str) -> Response:
    """A call of a tool whose name and arguments are hostile too, its result, and an answer."""
    call = ToolCall(id="1", function=FunctionCall(name=text[:200] or "tool", arguments=text[:200]))
    messages = (
        Message(role="assistant", content="I will look.", tool_calls=(call,)),
        Message(role="tool", content=text, name=text[:200] or None, tool_call_id="1"),
        Message(role="assistant", content="It is 4."),
    )
    return Response(prompt_id="p", text="It is 4.", trajectory=messages)


def test_2000_hostile_outputs_open_and_close_nothing_of_the_judges():
    tags = Counter(["<prompt>", "</prompt>", "<response_1>", "</response_1>", "<response_2>", "</response_2>"])
    steps = Counter(["[Step 1, assistant]", "[Step 3, assistant]"])
    wrong: list[int] = []
    for number in range(2000):
        text = hostile_text(number).encode("utf-8", "replace").decode("utf-8")  # messages refuse lone surrogates
        shown = response_text(trajectory(text), limit=4000)
        asked = comparison_text("What is 2 + 2?", shown, "It is 4.")
        found = Counter(mark for mark in _STEPS.findall(asked) if not mark.startswith("[Step 2, tool"))
        if Counter(_TAGS.findall(asked)) != tags or found != steps:
            wrong.append(number)
    assert wrong == []
