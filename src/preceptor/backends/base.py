"""The contract between preceptor and a language model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol, TypeAlias, TypeVar

from pydantic import Field

from preceptor.core.errors import UsageError
from preceptor.core.types import Conversation, JsonObject, JudgeFailure, Tokens, Usage

ThinkingLevel: TypeAlias = Literal["off", "low", "medium", "high"] | Tokens
"""How long a model may think before it answers: not at all, to some degree, or at most so many tokens."""
LEVEL_TOKENS = {"off": 0, "low": 1024, "medium": 4096, "high": 8192}
"""Most tokens of a thought at each level."""


@dataclass(frozen=True)
class Thinking:
    """How a model thinks before it answers, in the form for which it was trained (`<think>`, channels, effort)."""

    level: ThinkingLevel
    seed: int = 0
    """Seed of the thought, which is sampled; 0 if there is none."""
    plain_tags: bool = False
    """Whether a local model whose chat template has no place for a thought thinks between `<think>` tags: a policy that
    learns to. Judges do not."""

    @property
    def tokens(self) -> int:
        """Most tokens of the thought."""
        return LEVEL_TOKENS[self.level] if isinstance(self.level, str) else self.level

    @property
    def on(self) -> bool:
        """Whether the model thinks."""
        return self.level != "off"


@dataclass(frozen=True)
class ChooseRequest:
    """Ask a model how probable each of the choices is as the continuation of a prompt."""

    prompt: str | Conversation
    """A text to continue, or a conversation rendered with the model's chat template. Either may contain text from
    outside, such as a policy's response: it is never read as a control token."""
    choices: tuple[str, ...]
    """The continuations, exactly as they would follow the prompt, with a leading space where one belongs."""
    prefill: str = ""
    """How the assistant's answer to a conversation begins."""
    thinking: Thinking | None = None
    """How the model thinks before it answers; None to say nothing of it."""

    def __post_init__(self) -> None:
        if len(self.choices) < 2 or len(set(self.choices)) != len(self.choices) or not all(self.choices):
            raise ValueError(f"choices must be at least two, distinct and not empty, got {self.choices}")
        if not self.prompt:
            raise ValueError("the prompt is empty")


@dataclass(frozen=True)
class ChoiceLogProbs:
    """Log-probability (natural) of each choice, in the order of the request.

    Exact for choices of several tokens. Where one choice is the beginning of another ("1" and "10"), the probability
    of the shorter choice excludes that of the longer: it is the probability that the answer is "1" and not "10".
    """

    log_probs: tuple[float, ...]
    usage: Usage = field(default_factory=Usage)
    votes: int | None = None
    """Number of sampled answers behind the probabilities; None if the model gives log-probabilities."""
    thought: str = ""
    """What the model thought before it answered; of several sampled answers, the first one's thought. Empty if it did
    not think, or does not show what it thought."""
    thought_cut: bool = False
    """Whether the thought reached its length limit and was closed there."""


@dataclass(frozen=True)
class CompleteRequest:
    """Ask a model to continue a prompt."""

    prompt: str | Conversation
    max_new_tokens: int
    prefill: str = ""
    """How the assistant's answer to a conversation begins; not part of the completion."""
    temperature: float = 0.0
    """0 is greedy decoding."""
    top_k: int | None = None
    """Number of most probable tokens to sample from; None for all."""
    stop: tuple[str, ...] = ()
    """The completion ends before the first of these strings."""
    seed: int = 0
    schema: JsonObject | None = None
    """JSON schema of the answer, enforced where the model's server can; the prompt asks for the form in words too."""
    thinking: Thinking | None = None
    """As in `ChooseRequest`. `max_new_tokens` does not count the thought."""


@dataclass(frozen=True)
class Completion:
    """A sampled or greedy continuation."""

    text: str
    finished: bool
    """False when the length limit cut it off."""
    usage: Usage = field(default_factory=Usage)
    thought: str = ""
    """As in `ChoiceLogProbs`."""
    thought_cut: bool = False


DEAREST = 1e6
"""Highest accepted price, in dollars per million tokens; a higher one is probably a typing error."""


@dataclass(frozen=True)
class Price:
    """What a model's tokens cost, in US dollars per million."""

    prompt: Annotated[float, Field(strict=True)]
    completion: Annotated[float, Field(strict=True)]
    cached: Annotated[float | None, Field(strict=True)] = None
    """Of prompt tokens that the provider reads from its cache; None if they cost what others do."""
    cache_write: Annotated[float | None, Field(strict=True)] = None
    """Of prompt tokens that the provider writes to its cache; None if they cost what others do."""

    def __post_init__(self) -> None:
        cached = [price for price in (self.cached, self.cache_write) if price is not None]
        for price in (self.prompt, self.completion, *cached):
            if not 0.0 <= price <= DEAREST:  # NaN is in no range
                raise ValueError(f"a price is a number of dollars from 0 to {DEAREST:g}, got {price}")

    def times(self, share: float) -> "Price":
        """The price with a discount: `times(0.5)` is half of it. Discounts for cached tokens are not added to it."""
        return Price(share * self.prompt, share * self.completion)

    def cost(self, usage: Usage) -> float:
        """Dollars for the tokens of a call."""
        cached = self.prompt if self.cached is None else self.cached
        written = self.prompt if self.cache_write is None else self.cache_write
        plain = usage.prompt_tokens - usage.cached_tokens - usage.cache_writes
        prompt = plain * self.prompt + usage.cached_tokens * cached + usage.cache_writes * written
        return (prompt + usage.completion_tokens * self.completion) / 1e6


FREE = Price(0.0, 0.0)

T = TypeVar("T")

Indexed: TypeAlias = list[tuple[int, T]]
"""Results with the position of their request."""


UNWANTED = JudgeFailure(reason="backend_error", detail="nobody waits for the answer any more")
"""The result of a request that was dropped because its work was abandoned (`core/abandoning.py`)."""


class Admission(Protocol):
    """Decides which requests a model may send. Models whose calls leave this process or cost money ask first."""

    def admit(self, estimates: Sequence[tuple[int, Usage]]) -> int:
        """How many of the next requests may be sent, in order. These are recorded as sent.

        Args:
            estimates: the index of each request and an upper bound or estimate of its tokens.
        """
        ...

    def extend(self, index: int, more: Usage) -> bool:
        """Whether an admitted request may use this much more. May be called from any thread."""
        ...


class LanguageModel(Protocol):
    """A language model that preceptor can ask.

    Both operations yield batches of results as they complete, each result with the index of its request, so that the
    caller can record a batch before the next one starts. A request that cannot be answered yields a `JudgeFailure` and
    does not affect the others. A request that the admission refuses is not sent and has no result.
    """

    @property
    def identity(self) -> str:
        """Name and version of the model, precise enough that equal identities give equal results."""
        ...

    @property
    def chat(self) -> bool:
        """Whether the model takes conversations; a base model continues plain text only."""
        ...

    @property
    def prefill(self) -> bool:
        """Whether the caller can write the beginning of the model's answer to a conversation."""
        ...

    @property
    def context_window(self) -> int | None:
        """Most tokens of prompt and answer together; None if unknown."""
        ...

    @property
    def price(self) -> Price | None:
        """What tokens cost; None if unknown."""
        ...

    @property
    def concurrency(self) -> int:
        """How many requests to pass at once to keep the hardware busy."""
        ...

    def count_tokens(self, prompt: str | Conversation) -> int:
        """Number of tokens of a prompt; an overestimate if the tokenizer is on a server."""
        ...

    def choose(
        self, requests: Sequence[ChooseRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[ChoiceLogProbs | JudgeFailure]]:
        """Log-probability of every choice of every request."""
        ...

    def complete(
        self, requests: Sequence[CompleteRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[Completion | JudgeFailure]]:
        """A continuation of the prompt of every request."""
        ...


def plain_identity(model: LanguageModel) -> str:
    """The identity of a model that is asked in plain text. It may differ from the identity for conversations: a server
    may give log-probabilities for one and only votes for the other.
    """
    return str(getattr(model, "plain_identity", model.identity))


def pace_in_words(model: LanguageModel) -> str | None:
    """How many requests of a served model were in flight, if their number adapts to the server; None if it does not."""
    return getattr(model, "pace", None)


def is_recoverable(model: LanguageModel) -> bool:
    """Whether calls in flight when a process ends are found again by the next one (a batch endpoint's are)."""
    return bool(getattr(model, "recoverable", False))


def asked_identity(model: LanguageModel, thinking: ThinkingLevel | None, *, plain: bool = False) -> str:
    """The identity of a model as it is asked: a server may need votes for plain text or after a thought only.

    Args:
        thinking: how long it thinks; None if nothing is said of it.
        plain: whether it is asked in plain text.

    Raises: UsageError when the model cannot be asked to think so.
    """
    if thinking is None:
        return plain_identity(model) if plain else model.identity
    ask = getattr(model, "thinking_identity", None)
    if ask is None:
        raise UsageError(f"{model.identity} cannot think before it answers; leave out thinking")
    return str(ask(thinking))


def calls_of(model: LanguageModel, thinking: Thinking | None) -> int:
    """Calls that one question is expected to take: a server that gives no log-probabilities after a thought is asked
    for several answers.
    """
    count = getattr(model, "thinking_calls", None)
    return 1 if count is None or thinking is None or not thinking.on else int(count(thinking.level))


def in_order(batches: Iterable[Indexed[T]], count: int) -> list[T]:
    """All results of an operation in the order of their `count` requests.

    Raises: RuntimeError when the backend yielded a result twice or not at all.
    """
    results: dict[int, T] = {}
    for batch in batches:
        for index, result in batch:
            if index in results:
                raise RuntimeError(f"the backend answered request {index} twice")
            results[index] = result
    if len(results) != count:
        raise RuntimeError(f"the backend answered {len(results)} of {count} requests")
    return [results[index] for index in range(count)]
