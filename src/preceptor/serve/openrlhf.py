"""OpenRLHF's protocol for remote rewards.

Its client (`SingleTurnExecutor` in openrlhf/utils/agent.py, and request_api_wrapper in older versions) sends

    POST {"query": [prompt + response], "prompts": [prompt], "labels": [...]}

with texts that the chat template has rendered, special tokens included, and reads `rewards`, `scores` and `extra_logs`
from the answer. It has no way to say that there is no reward: null would end the training. So a request of which any
response has none is refused (503, or 422 if asking again cannot help). The client asks again four times, a second
apart; what was answered is not paid for twice.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from preceptor.core.control_tokens import is_control
from preceptor.core.errors import UsageError
from preceptor.core.types import JudgeFailure, Message, Prompt, Response, Score
from preceptor.judging.inputs import prompt_and_response
from preceptor.judging.reward import RewardKind, reward_of
from preceptor.serve.bodies import MOST_RESPONSES
from preceptor.serve.context import RefusedError

_ROLE = r"(?P<role>system|user|assistant|model|tool)"
# No turn contains another: a text with thousands of beginnings and no end would otherwise be searched for hours.
_TURNS = tuple(
    re.compile(rf"{begin}{_ROLE}{then}(?P<text>(?:(?!{begin}).)*?){end}", re.DOTALL)
    for begin, then, end in (
        (r"<\|im_start\|>", r"\n", r"<\|im_end\|>"),  # ChatML: Qwen, SmolLM and many more
        (r"<\|start_header_id\|>", r"<\|end_header_id\|>\n\n", r"<\|eot_id\|>"),  # Llama 3
        (r"<start_of_turn>", r"\n", r"<end_of_turn>"),  # Gemma
    )
)
_LAST_TOKEN = re.compile(r"(<[^<>\s]{1,60}>|\[[^\[\]\s]{1,60}\])\Z")
_LONGEST_TOKEN = 62
_OPENING = 64
"""Characters of special tokens that may stand before the prompt in a query."""


class OpenRlhfBody(BaseModel):
    """What OpenRLHF's client sends; whatever else it may send is ignored."""

    model_config = ConfigDict(extra="ignore")

    query: Annotated[list[str], Field(min_length=1, max_length=MOST_RESPONSES)]
    """Prompt and response in one text, with special tokens."""
    prompts: Annotated[list[str], Field(min_length=1, max_length=MOST_RESPONSES)]
    labels: list[Any] | None = None
    """Ignored: a judge needs no reference answer."""


class OpenRlhfRewards(BaseModel):
    """What its client reads."""

    rewards: list[float]
    scores: list[float]
    """The same again: OpenRLHF filters groups by it."""
    extra_logs: dict[str, list[float]]


def pairs_of(body: OpenRlhfBody) -> list[tuple[Prompt, Response]]:
    """Prompt and response of each query.

    Raises: RefusedError naming the field.
    """
    if len(body.query) != len(body.prompts):
        raise RefusedError(422, f"{len(body.query)} queries for {len(body.prompts)} prompts", "prompts")
    pairs: list[tuple[Prompt, Response]] = []
    for number, (query, prompt) in enumerate(zip(body.query, body.prompts, strict=True)):
        response = response_in(query, prompt)
        if response is None:
            said = "does not begin with its prompt; was the prompt cut to fit?"
            raise RefusedError(422, f"query.{number}: {said}", f"query.{number}")
        try:
            pairs.append(prompt_and_response(messages_in(prompt), response))
        except UsageError as error:
            raise RefusedError(422, f"prompts.{number}: {error}", f"prompts.{number}") from error
    return pairs


def response_in(query: str, prompt: str) -> str | None:
    """The response at the end of a query, without the special tokens that end it; None if the prompt is not there.

    Examples:
        >>> response_in("<s>Say hi.<|assistant|>Hi!<|end|></s>", "Say hi.<|assistant|>")
        'Hi!'
    """
    at = query.find(prompt, 0, len(prompt) + _OPENING)
    if at < 0:
        return None
    return _without_last_tokens(query[at + len(prompt) :].strip())


def _without_last_tokens(text: str) -> str:
    """The text without special tokens at its end. There may be thousands, so only the end is searched each time."""
    end = len(text)
    while last := _LAST_TOKEN.search(text[max(0, end - _LONGEST_TOKEN) : end]):
        if not is_control(last[1]):
            break
        end -= len(last[1])
        while end and text[end - 1].isspace():
            end -= 1
    return text[:end]


def messages_in(prompt: str) -> str | list[Message]:
    r"""The conversation in a prompt that a chat template has rendered, if that template is known here; otherwise the
    text as it is.

    Examples:
        >>> messages_in("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")[0].content
        'Hi'
    """
    for turns in _TURNS:
        found = list(turns.finditer(prompt))
        if found and found[-1]["role"] == "user":
            return [_message(turn["role"], turn["text"].strip()) for turn in found]
    return prompt


def _message(role: str, text: str) -> Message:
    return Message.model_validate({"role": "assistant" if role == "model" else role, "content": text})


def answer(outcomes: Sequence[Score | JudgeFailure], kind: RewardKind) -> OpenRlhfRewards:
    """The rewards of all responses.

    Raises: RefusedError where the judge failed on one of them.
    """
    failures = [outcome for outcome in outcomes if isinstance(outcome, JudgeFailure)]
    if failures:
        hopeless = next((failure for failure in failures if not failure.transient), None)
        told = hopeless or failures[0]
        said = f"no reward for {len(failures)} of {len(outcomes)} responses: {told.reason}: {told.detail}"
        raise RefusedError(503 if hopeless is None else 422, said)
    rewards = [reward for outcome in outcomes if (reward := reward_of(outcome, kind)) is not None]
    return OpenRlhfRewards(rewards=rewards, scores=rewards, extra_logs={})
