"""A judge as a scorer of inspect_ai: `Task(dataset=..., solver=..., scorer=preceptor_judge("openai:NAME@URL"))`."""

import json
from collections.abc import Sequence
from typing import Any

from inspect_ai.scorer import Score, Scorer, mean, scorer, stderr  # pyright: ignore[reportMissingImports]

import preceptor as pc
from preceptor.integrations.judges import judge_of


@scorer(metrics=[mean(), stderr()])  # pyright: ignore[reportUntypedFunctionDecorator]
def preceptor_judge(  # pyright: ignore[reportUnknownParameterType]
    model: str = "embedded", constitution: str = "helpful", *, whole: bool = False, **arguments: Any
) -> Scorer:
    """Scores each sample's output, from 0 for the lowest value of the constitution's scale to 1 for the highest.

    A sample that the judge failed on is unscored: inspect_ai leaves it out of the metrics, and its log says why.

    Args:
        model: a model string of preceptor.
        constitution: name of a shipped constitution, or path of a .toml file.
        whole: whether to judge all messages since the first one of the assistant, in place of the last output.
        arguments: further arguments of `preceptor.Judge`, such as `variant` or `connection`.

    Raises: UsageError for a wrong argument.
    """
    judge = judge_of({"model": model, "constitution": constitution, **arguments})

    async def score(state: Any, target: object) -> Any:
        response = answered(state.messages) if whole else state.output.completion
        outcome = await judge.ascore(prompt_of(state.input), response)
        if isinstance(outcome, pc.JudgeFailure):
            return Score.unscored(reason="grader_failed", explanation=f"{outcome.reason}: {outcome.detail}")
        return Score(
            value=(outcome.rescaled + 1) / 2,
            explanation=outcome.verdict.rationale or None,
            metadata={
                "score": outcome.expectation,
                "scale": [min(outcome.values.values()), max(outcome.values.values())],
                "probabilities": outcome.verdict.probabilities,
                "constitution": outcome.rater.constitution,
            },
        )

    return score


def prompt_of(asked: Any) -> str | list[dict[str, Any]]:
    """A sample's input as a prompt of preceptor."""
    return asked if isinstance(asked, str) else [_wire(message) for message in asked]


def answered(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """The messages since the first one of the assistant, in the shape of the OpenAI chat API."""
    first = next((n for n, message in enumerate(messages) if message.role == "assistant"), len(messages))
    return [_wire(message) for message in messages[first:]]


def _wire(message: Any) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.role == "tool":
        wire |= {"tool_call_id": message.tool_call_id, "name": message.function}
    if message.role == "assistant" and message.tool_calls:
        calls = [
            (call.id, {"name": call.function, "arguments": json.dumps(call.arguments)}) for call in message.tool_calls
        ]
        wire["tool_calls"] = [{"id": name, "type": "function", "function": function} for name, function in calls]
    return wire
