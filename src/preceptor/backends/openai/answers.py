"""The formats of a server's answers. A body in another format is not an answer, and the request is retried."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from preceptor.core.types import Usage

MOST_CHOICES, MOST_PLACES, MOST_LISTED = 128, 4096, 1024
"""Most entries of an answer's lists. Requests ask for one choice, three places and twenty tokens; a million entries
would take gigabytes as objects.
"""
MOST_THOUGHT_PLACES = 16_384
"""Most places of an answer with a thought; requests ask for lists at half as many."""
THOUGHT_TAGS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<|channel>thought", "<channel|>"))
"""What stands around a thought in the text of servers that do not take it out."""
MOST_TOKENS = 100_000_000
"""Most tokens of one call; a server that reports more has miscounted."""


def _window(value: Any) -> int | None:
    """A context window, or None if the server's value cannot be one."""
    return value if isinstance(value, int) and 1 < value <= MOST_TOKENS else None


Window = Annotated[int | None, BeforeValidator(_window)]


class ModelMeta(BaseModel):
    """What llama.cpp says about a model."""

    n_ctx: Window = None


class ModelCard(BaseModel):
    """An entry of the server's list of models."""

    id: str
    max_model_len: Window = None
    """vLLM."""
    meta: ModelMeta | None = None

    @property
    def context_window(self) -> int | None:
        """Most tokens of prompt and answer together; None if the server does not say."""
        return self.max_model_len or (self.meta.n_ctx if self.meta else None)


class ModelList(BaseModel):
    """The answer of /models."""

    data: list[ModelCard] = Field(max_length=100_000)


class _Strict(BaseModel, strict=True):
    """Strict about numbers: neither strings nor booleans are accepted."""


def _text(value: Any) -> str | None:
    """A text, or None if the server has something else there."""
    return value if isinstance(value, str) else None


class _Message(_Strict):
    content: str | None = None
    reasoning_content: Annotated[str | None, BeforeValidator(_text)] = None
    reasoning: Annotated[str | None, BeforeValidator(_text)] = None
    """The thought, by its two names."""


class _Choice(_Strict):
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: Any = None

    @model_validator(mode="after")
    def _says_something(self) -> "_Choice":
        if self.message is None and self.text is None:
            raise ValueError("neither a message nor a text")
        return self


def _count(value: Any) -> int:
    """A count of tokens, or 0 if the server's value cannot be one."""
    return value if isinstance(value, int) and 0 <= value <= MOST_TOKENS else 0


Count = Annotated[int, BeforeValidator(_count)]


class _PromptTokens(BaseModel):
    """How the prompt tokens were served."""

    cached_tokens: Count = 0
    cache_creation_tokens: Count = 0
    """LiteLLM, for Anthropic."""


class _AnswerTokens(BaseModel):
    """What the tokens of an answer are."""

    reasoning_tokens: Count = 0


def _details(value: Any) -> Any:
    return value if isinstance(value, dict) else {}


class _Usage(_Strict):
    prompt_tokens: int | None = Field(default=None, ge=0, le=MOST_TOKENS)
    completion_tokens: int | None = Field(default=None, ge=0, le=MOST_TOKENS)
    prompt_tokens_details: Annotated[_PromptTokens, BeforeValidator(_details)] = _PromptTokens()
    completion_tokens_details: Annotated[_AnswerTokens, BeforeValidator(_details)] = _AnswerTokens()
    total_tokens: Count = 0

    @property
    def written(self) -> int | None:
        """Tokens of the answer. Some servers leave those of the thought out, and count them in the total only."""
        thought, prompt, answer = (
            self.completion_tokens_details.reasoning_tokens,
            self.prompt_tokens,
            self.completion_tokens,
        )
        if prompt is None or answer is None:
            return answer
        return max(answer, min(self.total_tokens - prompt, answer + thought))


class Answer(_Strict):
    """The answer of /chat/completions or /completions."""

    choices: list[_Choice] = Field(min_length=1, max_length=MOST_CHOICES)
    served_usage: _Usage | None = Field(default=None, alias="usage")

    @property
    def text(self) -> str | None:
        """The model's text; None if it gave none, for instance because it only reasoned."""
        choice = self.choices[0]
        return choice.text if choice.message is None else choice.message.content

    @property
    def silence(self) -> str:
        """Why there is no text, in words; empty if that is not known."""
        return "(stopped by a safety filter)" if self.choices[0].finish_reason == "content_filter" else ""

    @property
    def thought(self) -> str:
        """What the model thought, where the server shows it: in a field of its own, or between tags in the text."""
        message = self.choices[0].message
        apart = message and (message.reasoning_content or message.reasoning)
        return (apart or _divided(self.text or "")[0]).strip()

    @property
    def said(self) -> str | None:
        """The text without a thought; None if there is none, or only a thought."""
        return self.text and _divided(self.text)[1]

    @property
    def thinks(self) -> bool:
        """Whether the model thought, as far as the answer tells."""
        counted = self.served_usage and self.served_usage.completion_tokens_details.reasoning_tokens
        return bool(self.thought or counted)

    @property
    def finish(self) -> str | None:
        """Why the answer ended, in the server's word."""
        return self.choices[0].finish_reason

    @property
    def ended(self) -> bool:
        """Whether the model said something after its thought, and was not cut off."""
        return bool((self.said or "").strip()) and self.finish != "length"

    @property
    def written(self) -> str:
        """Everything that the model wrote, its thought included."""
        message = self.choices[0].message
        apart = message and (message.reasoning_content or message.reasoning)
        return (apart or "") + (self.text or "")

    def without(self, begun: str) -> "Answer":
        """The answer without the given beginning, which some servers repeat."""
        if self.text is None:
            return self
        choice, text = self.choices[0], self.text.removeprefix(begun)
        said = {"message": _Message(content=text)} if choice.message else {"text": text}
        return self.model_copy(update={"choices": [choice.model_copy(update=said)]})

    @property
    def finished(self) -> bool:
        """Whether the model or a stop string ended the answer."""
        return self.choices[0].finish_reason == "stop"

    @property
    def prompt_tokens(self) -> int:
        """Prompt tokens as the server counted them; 0 if it did not count."""
        return (self.served_usage and self.served_usage.prompt_tokens) or 0

    def usage(self, estimate: Usage) -> Usage:
        """Tokens as the server counted them, with the estimate for those that it did not count. A count of 0 means that
        the server did not count: no prompt and no text has 0 tokens.
        """
        completion = self.served_usage and self.served_usage.written
        completion = None if self.text and not completion else completion
        details = self.served_usage.prompt_tokens_details if self.served_usage else _PromptTokens()
        cached = min(details.cached_tokens, self.prompt_tokens)
        return Usage(
            prompt_tokens=self.prompt_tokens or estimate.prompt_tokens,
            completion_tokens=estimate.completion_tokens if completion is None else completion,
            estimated=not self.prompt_tokens or completion is None,
            cached_tokens=cached,
            cache_writes=min(details.cache_creation_tokens, self.prompt_tokens - cached),
        )

    @property
    def positions(self) -> list["Position"]:
        """The most probable tokens at each place of the answer.

        Raises: LogProbsError when they are missing or are not log-probabilities.
        """
        return read_positions(self.choices[0].logprobs)


class LogProbsError(ValueError):
    """A server's log-probabilities are missing or impossible."""


@dataclass(frozen=True)
class Position:
    """One place of an answer."""

    token: str
    """The token that the model chose."""
    top: dict[str, float]
    """Probabilities of the most probable tokens by text, summed over tokens with the same text."""


class _TopToken(_Strict):
    token: str
    logprob: float


class _Token(_Strict):
    token: str
    top_logprobs: list[_TopToken] = Field(max_length=MOST_LISTED)


class _TokenLists(_Strict):
    """The older form of /completions: one list of tokens, one of dictionaries."""

    tokens: list[str] = Field(max_length=MOST_PLACES)
    top_logprobs: list[Annotated[dict[str, float], Field(max_length=MOST_LISTED)]] = Field(max_length=MOST_PLACES)


class _Content(_Strict):
    content: list[_Token] = Field(max_length=MOST_PLACES)


_FORMS: TypeAdapter[_Content | _TokenLists] = TypeAdapter(_Content | _TokenLists)


def read_positions(log_probs: Any) -> list[Position]:
    """The positions in the `logprobs` of an answer, in either of the API's forms.

    Raises: LogProbsError when one is missing, NaN or positive, or a position's probabilities sum to more than 1.
    """
    try:
        form = _FORMS.validate_python(log_probs)
    except ValidationError:
        raise LogProbsError("the server gave no log-probabilities, or in an unknown form") from None
    if isinstance(form, _Content):
        listed = [(token.token, [(top.token, top.logprob) for top in token.top_logprobs]) for token in form.content]
    else:
        listed = [(token, list(top.items())) for token, top in zip(form.tokens, form.top_logprobs, strict=False)]
    if not listed:
        raise LogProbsError("the server gave no log-probabilities")
    return [Position(token, _probabilities(top)) for token, top in listed]


def positions_of(answer: Answer, said: str, count: int) -> list[Position]:
    """The first places of what the model said last: of its answer, in log-probabilities that cover its thought too.

    Raises: LogProbsError when they are missing or impossible.
    """
    log_probs: Any = answer.choices[0].logprobs
    listed: Any = log_probs.get("content") if isinstance(log_probs, dict) else None
    if not said or not isinstance(listed, list) or len(listed) > MOST_THOUGHT_PLACES:
        raise LogProbsError("the server gave no log-probabilities after the thought")
    tokens = [str(entry.get("token")) if isinstance(entry, dict) else "" for entry in listed]
    start, seen = "".join(tokens).rfind(said), 0
    for place, token in enumerate(tokens if start >= 0 else ()):
        seen += len(token)
        if seen > start:
            return read_positions({"content": listed[place : place + count]})
    raise LogProbsError("the server's log-probabilities do not cover the answer after the thought")


def _divided(text: str) -> tuple[str, str | None]:
    """The thought that stands in a text between tags, and what is said after it; None if the thought does not end."""
    for opening, closing in THOUGHT_TAGS:
        if closing in text:
            thought, _, said = text.rpartition(closing)
            return thought.strip().removeprefix(opening), said
        if text.lstrip().startswith(opening):
            return text.strip().removeprefix(opening), None
    return "", text


def _probabilities(top: list[tuple[str, float]]) -> dict[str, float]:
    probabilities: dict[str, float] = {}
    for token, log_prob in top:
        if not log_prob <= 1e-4:  # allows for rounding; refuses NaN
            raise LogProbsError(f"the server gives a token the log-probability {log_prob}")
        probabilities[token] = probabilities.get(token, 0.0) + math.exp(min(log_prob, 0.0))
    if not top or sum(probabilities.values()) > 1.0 + 1e-3:
        raise LogProbsError(f"the listed tokens' probabilities sum to {sum(probabilities.values()):.3g}")
    return probabilities
