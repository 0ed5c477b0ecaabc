"""Servers with models that think: how each is asked to, found out once by asking, and what they answer.

There is no common way to ask. OpenAI, Gemini and others take `reasoning_effort`; vLLM, SGLang and llama.cpp pass
`chat_template_kwargs` to the model's chat template, and some limit the thought by `thinking_token_budget`; Anthropic's
models take `thinking` with a budget; and some models always think. A way counts if the server accepts it and its answer
shows that the model thought: by a thought, or by a count of its tokens.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from preceptor.backends.base import LEVEL_TOKENS, ChoiceLogProbs, Thinking, ThinkingLevel
from preceptor.backends.openai.abilities import FEWER_LISTED, MOST_LISTED, Abilities, length
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.answers import Answer, LogProbsError, Position, positions_of
from preceptor.backends.openai.choosing import TokenWalk, bare, distribution, of_votes
from preceptor.backends.openai.client import Client, RefusedError, UnavailableError
from preceptor.backends.openai.exchange import Exchange
from preceptor.backends.openai.wire import WHOLE_DISTRIBUTION, question
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import Conversation, JsonObject, JudgeFailure, Message

LISTED_TOKENS = 2048 * MOST_LISTED
"""Most tokens listed in one answer, so that its body stays within the limit: 20 at each of 2,048 places, or 5 at 8,192.
"""
FIRST_PLACES = 3
"""Places of an answer after a thought that are read; the longest choices have as many tokens."""
_PUZZLE: Conversation = (
    Message(
        role="user",
        content="A farmer has 17 sheep. All but 9 run away, then he buys twice as many as are left. How many sheep has "
        "he now? Answer with the number and nothing else.",
    ),
)
Fields: TypeAlias = Callable[[ThinkingLevel], JsonObject]


def _effort(level: ThinkingLevel) -> JsonObject:
    """The level, or the highest one whose limit a number of tokens reaches."""
    if isinstance(level, str):
        return {"reasoning_effort": level}
    return {"reasoning_effort": next((name for name in ("high", "medium") if level >= LEVEL_TOKENS[name]), "low")}


def _template(*, on: bool) -> JsonObject:
    return {"chat_template_kwargs": {"enable_thinking": on, "thinking": on}}


def _budget(level: ThinkingLevel) -> JsonObject:
    return {"thinking_token_budget": Thinking(level).tokens}


WAYS: dict[str, Fields] = {
    "template-effort-budget": lambda level: _template(on=True) | _effort(level) | _budget(level),
    "template-effort": lambda level: _template(on=True) | _effort(level),
    "template": lambda _: _template(on=True),
    "budget": lambda level: {"thinking": {"type": "enabled", "budget_tokens": Thinking(level).tokens}},
    "effort": _effort,
    "always": lambda _: {},
}
"""The fields that make a server's model think, by the names that identities have. The first that works is used."""
NOT_WAYS: dict[str, Fields] = {
    "template": lambda _: _template(on=False),
    "effort-none": lambda _: {"reasoning_effort": "none"},
    "effort-minimal": lambda _: {"reasoning_effort": "minimal"},
    "budget": lambda _: {"thinking": {"type": "disabled"}},
    "never": lambda _: {},
}
"""The fields that keep a server's model from thinking."""


@dataclass(frozen=True)
class ThinkingWay:
    """How a server is asked to think for so long, or not to."""

    name: str
    fields: JsonObject
    """What makes it think, or keeps it from thinking."""
    sampling: JsonObject
    """Settings of sampling that it takes beside a thought. Many models refuse a temperature then."""
    seeded: bool
    """Whether it takes a seed."""
    listed: int
    """How many of the most probable tokens it lists after a thought; 0 if none."""


ASSUMED_THINKING = ThinkingWay("effort", {}, {}, seeded=False, listed=0)
"""Assumed without asking a server: no log-probabilities after a thought, as of OpenAI's models."""


async def probe_thinking(
    client: Client, address: Address, abilities: Abilities, level: ThinkingLevel, answer_tokens: int
) -> ThinkingWay:
    """Finds out how to ask the server.

    Args:
        answer_tokens: most tokens of an answer after its thought.

    Raises: UsageError when its model cannot think, or cannot be kept from thinking; PreceptorError when there is no
        such server.
    """
    if abilities.chat is None:
        raise UsageError(f"{address} takes plain text only and cannot think; leave out thinking")
    asking = _Asking(client, address, Thinking(level).tokens + answer_tokens)
    try:
        for name, fields in (NOT_WAYS if level == "off" else WAYS).items():
            answer = await asking.tried(fields(level))
            if answer is None:
                continue
            if level == "off" and answer.thinks is False and answer.finished:
                return ThinkingWay(name, fields(level), {}, seeded=False, listed=0)
            if level != "off" and (answer.thinks or (address.hosted and name == "effort")):
                return await _with_settings(asking, abilities, name, fields(level))
    except UnavailableError as error:
        raise PreceptorError(f"{address.base_url} does not answer: {error}") from None
    raise UsageError(_refusal(address, level, asking.refusal))


async def _with_settings(asking: "_Asking", abilities: Abilities, name: str, fields: JsonObject) -> ThinkingWay:
    """The same way with as many settings as the server takes: log-probabilities, a seed, a temperature."""
    assert abilities.chat is not None
    whole, seed = dict(WHOLE_DISTRIBUTION), JsonObject(seed=0)
    count = min(abilities.chat.listed or MOST_LISTED, LISTED_TOKENS // asking.most_tokens)
    if count >= FEWER_LISTED:
        lists: JsonObject = {"logprobs": True, "top_logprobs": count}
        for sampling in (abilities.chat.sampling | whole, whole):
            answer = await asking.tried(fields | sampling | seed | lists)
            if answer is not None and _lists(answer):
                return ThinkingWay(name, fields, sampling, seeded=True, listed=count)
    for sampling, seeded in itertools.product((whole, JsonObject()), (True, False)):
        if await asking.tried(fields | sampling | (seed if seeded else {})) is not None:
            return ThinkingWay(name, fields, sampling, seeded=seeded, listed=0)
    return ThinkingWay(name, fields, {}, seeded=False, listed=0)


def _lists(answer: Answer) -> bool:
    """Whether the server lists the most probable tokens where the answer begins."""
    try:
        return len(positions_of(answer, bare(answer.said or ""), 1)[0].top) > 1
    except LogProbsError:
        return False


def _refusal(address: Address, level: ThinkingLevel, refusal: str) -> str:
    if level == "off":
        return f"{address} cannot be kept from thinking; set thinking to low, or leave it out"
    why = f" (it refuses: {refusal[:160]})" if refusal else ""
    return (
        f"{address} shows no sign of thinking, however it is asked{why}; leave out thinking, or have the judge write "
        "down its reasons (rationale = true, cot)"
    )


class _Asking:
    """Tries fields on a server."""

    def __init__(self, client: Client, address: Address, most_tokens: int) -> None:
        self._client = client
        self._address = address
        self.most_tokens = most_tokens
        self.refusal = ""
        """Why the server refused the last fields that it refused."""

    async def tried(self, fields: JsonObject) -> Answer | None:
        """Asks a puzzle with these fields. Returns the answer; None if the server refuses the fields.

        Raises: UnavailableError, PreceptorError.
        """
        path, body = question(self._address.name, _PUZZLE, "", {})
        whole = body | fields | length(self._address, path, self.most_tokens)
        try:
            return await self._client.call(path, Answer, whole, tokens=self.most_tokens, broken_retries=0)
        except RefusedError as error:
            self.refusal = str(error)
            return None
        except UnavailableError as error:
            if error.status != 500:  # some servers break on fields that they do not know
                raise
            self.refusal = str(error)
            return None


def request_fields(way: ThinkingWay, seed: int, *, listed: int = 0) -> JsonObject:
    """What a request has besides its question, to think before it answers."""
    lists: JsonObject = {"logprobs": True, "top_logprobs": listed} if listed else {}
    return way.fields | way.sampling | ({"seed": seed % 2**31} if way.seeded else {}) | lists


async def by_thinking(
    exchange: Exchange, way: ThinkingWay, choices: tuple[str, ...], thinking: Thinking, votes: int, answer_tokens: int
) -> ChoiceLogProbs | JudgeFailure:
    """How probable each choice is after a thought: from the most probable tokens where the answer begins, or else from
    several thoughts and answers.

    Raises: ValueError when choices differ only in white space and stops; RefusedError, UnavailableError,
        PreceptorError.
    """
    most_tokens = thinking.tokens + answer_tokens
    if not way.listed:
        seeds = range(thinking.seed, thinking.seed + votes)
        answers = await exchange.votes(lambda seed: exchange.think(most_tokens, request_fields(way, seed)), seeds)
        voted = of_votes(exchange, choices, [a.said or "" if a.ended else "" for a in answers])
        if isinstance(voted, JudgeFailure):
            unended = next((problem for a in answers if (problem := unfinished(a, most_tokens))), None)
            return unended or voted
        return ChoiceLogProbs(voted.log_probs, voted.usage, voted.votes, answers[0].thought)
    answer = await exchange.think(most_tokens, request_fields(way, thinking.seed, listed=way.listed))
    if problem := unfinished(answer, most_tokens):
        return problem
    return await _after_thought(exchange, choices, answer)


def unfinished(answer: Answer, most_tokens: int) -> JudgeFailure | None:
    """The failure of a thought that did not end, or after which nothing was said."""
    if answer.ended:
        return None
    if answer.finish == "length":
        detail = f"the thought did not end within {most_tokens:,} tokens; allow more, or a higher level"
        return JudgeFailure(reason="unfinished_thought", detail=detail)
    return JudgeFailure(reason="no_answer", detail="the model thought and gave no answer")


async def _after_thought(exchange: Exchange, choices: tuple[str, ...], answer: Answer) -> ChoiceLogProbs | JudgeFailure:
    said = bare(answer.said or "")
    if said not in choices:
        shown = exchange.shown(said)[:80]
        return JudgeFailure(
            reason="no_answer", detail=f"after its thought the judge said {shown!r}, which is no choice"
        )
    walk = _KnownWalk(exchange, choices)
    try:
        walk.know(positions_of(answer, said, FIRST_PLACES))
    except LogProbsError as error:
        return JudgeFailure(reason="invalid_log_probs", detail=str(error))
    await walk.visit()
    result = distribution(exchange, walk)
    if isinstance(result, JudgeFailure):
        return result
    return ChoiceLogProbs(result.log_probs, result.usage, thought=answer.thought)


class _KnownWalk(TokenWalk):
    """Follows only the tokens of one answer: a server continues no thought."""

    def know(self, positions: list[Position]) -> None:
        """Takes the places of an answer. What may stand before a choice (white space, bold type) is ignored."""
        text = ""
        for position in positions:
            top: dict[str, float] = {}
            for token, probability in position.top.items():
                start = token if text else token.lstrip(" \n\t*")
                top[start] = top.get(start, 0.0) + probability
            self.known.setdefault(text, top)
            text += position.token if text else position.token.lstrip(" \n\t*")

    async def top_after(self, text: str) -> dict[str, float] | None:
        return self.known.get(text)
