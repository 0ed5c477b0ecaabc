"""A model behind an OpenAI-compatible server as a `LanguageModel`."""

import threading
from asyncio import CancelledError
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from preceptor.backends.base import (
    UNWANTED,
    Admission,
    ChoiceLogProbs,
    ChooseRequest,
    CompleteRequest,
    Completion,
    Indexed,
    Price,
    Thinking,
    ThinkingLevel,
)
from preceptor.backends.connection import Connection
from preceptor.backends.openai.abilities import Abilities, Endpoint, probe
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.answers import Answer
from preceptor.backends.openai.background import Background, Group
from preceptor.backends.openai.choosing import by_log_probs, by_votes, places
from preceptor.backends.openai.client import Client, RefusedError, UnavailableError
from preceptor.backends.openai.exchange import Exchange, estimated_tokens
from preceptor.backends.openai.http import HttpTransport
from preceptor.backends.openai.keys import NO_KEY, key_for
from preceptor.backends.openai.prices import price_of
from preceptor.backends.openai.thinking import (
    ASSUMED_THINKING,
    ThinkingWay,
    by_thinking,
    probe_thinking,
    request_fields,
    unfinished,
)
from preceptor.backends.openai.transport import Transport
from preceptor.backends.openai.wire import response_format
from preceptor.core.abandoning import current_work
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import Conversation, JsonObject, JudgeFailure

USUAL_CONCURRENCY = 64
"""Requests to pass at once where the number in flight adapts to the server."""
RequestT = TypeVar("RequestT", ChooseRequest, CompleteRequest)
ResultT = TypeVar("ResultT")


class OpenAIModel:
    """A served model. The server is first contacted when a request is made, or when its abilities are needed.

    The key is read when the model is opened: OPENAI_API_KEY for OpenAI's own server (api.openai.com), PRECEPTOR_API_KEY
    for all others. Neither key is sent to the other's servers.
    When the server is gone, all requests after the first few fail at once; open the model again when it is back.
    """

    def __init__(
        self,
        address: Address,
        connection: Connection | None = None,
        abilities: Abilities | None = None,
        transport: Transport | None = None,
        listed: Price | None = None,
    ) -> None:
        """Args:
            abilities: what to assume that the server supports; None to ask it.
            transport: carries each attempt at a call; HTTP by default.
            listed: the list price, where it is not one of OpenAI's own.

        Raises: UsageError for a malformed key, or one that would be sent in clear text.
        """
        self.address = address
        self.connection = connection or Connection()
        self.concurrency = self.connection.concurrency or USUAL_CONCURRENCY
        self.price: Price | None = price_of(address, self.connection.prices, listed)
        key = key_for(address) or NO_KEY
        carried = transport or HttpTransport(address, self.connection, key)
        self._client = Client(address, self.connection, key, carried)
        self._asking = self._client
        """Makes the calls that answer requests; what the server supports is asked by `_client`."""
        self._background = Background(self._client.close)
        self._abilities = abilities
        self._unasked = abilities is not None
        self._ways: dict[ThinkingLevel, ThinkingWay] = {}
        """How the server is asked to think, by level."""
        self._probing = threading.Lock()
        self._enforces_schemas = True
        """Whether the server takes JSON schemas; False once it has answered a request only without one."""

    @property
    def recoverable(self) -> bool:
        """Whether calls in flight when the process ends are found again by the next one, so that none is lost."""
        return False

    def preflight(self) -> Abilities:
        """Asks the server, once, what it supports.

        Raises: PreceptorError, in one line, when there is no such server or model, or the key is wrong.
        """
        if self._abilities is None:
            with self._probing:
                if self._abilities is None:
                    asked = probe(self._client, self.address, self.connection.vote_tokens)
                    self._abilities = self._background.start(asked).result()
        return self._abilities

    @property
    def identity(self) -> str:
        """The model string, with the number of votes if the server gives no log-probabilities for conversations (or for
        plain text, if it takes no conversations).
        """
        abilities = self.preflight()
        return self._identity(abilities.chat or abilities.text)

    @property
    def plain_identity(self) -> str:
        """The same for plain text, which another endpoint answers, perhaps only by votes."""
        abilities = self.preflight()
        return self._identity(abilities.text or abilities.chat)

    def _identity(self, endpoint: Endpoint | None, way: str = "") -> str:
        voting = endpoint is not None and endpoint.listed == 0
        votes = f"#votes{self.connection.votes}x{self.connection.vote_tokens}" if voting else ""
        return f"{self.address}{way}{votes}"

    @property
    def pace(self) -> str | None:
        """How many requests were in flight, in words; None if their number is fixed."""
        if self.connection.concurrency is not None:
            return None
        limit = self._asking.limit
        return f"{self.address}: at most {limit.most} requests in flight, {limit.now} at the end"

    def thinking_identity(self, level: ThinkingLevel) -> str:
        """The identity as the model is asked to think, or not to: with the way of asking, which the server is tried
        for, and with the number of votes if the server gives no log-probabilities after a thought.

        Raises: UsageError when the model cannot think, or cannot be kept from thinking; PreceptorError as `preflight`.
        """
        way, tokens = self._way(level), Thinking(level).tokens
        if level == "off":
            return self._identity(self.preflight().chat, f"#thinks-not-{way.name}")
        window = self.context_window
        if window is not None and tokens >= window:
            raise UsageError(
                f"{self.address} has a window of {window:,} tokens, which does not hold a thought of up to {tokens:,}; "
                "give a smaller number of tokens"
            )
        return self._identity(Endpoint(way.listed, {}), f"#thinks-{way.name}")

    def thinking_calls(self, level: ThinkingLevel) -> int:
        """Calls for one verdict after a thought.

        Raises: as `thinking_identity`.
        """
        return 1 if self._way(level).listed else self.connection.votes

    def _way(self, level: ThinkingLevel) -> ThinkingWay:
        abilities = self.preflight()
        with self._probing:
            if level not in self._ways:
                self._ways[level] = self._probed(abilities, level)
            return self._ways[level]

    def _probed(self, abilities: Abilities, level: ThinkingLevel) -> ThinkingWay:
        if self._unasked:
            return ASSUMED_THINKING
        asked = probe_thinking(self._client, self.address, abilities, level, self.connection.vote_tokens)
        return self._background.start(asked).result()

    @property
    def chat(self) -> bool:
        """Whether the server takes conversations with this model."""
        return self.preflight().chat is not None

    @property
    def prefill(self) -> bool:
        """Whether the server continues a given beginning of an answer."""
        return self.preflight().prefill is not None

    @property
    def context_window(self) -> int | None:
        """From the server's list of models; None where the list does not say."""
        return self.preflight().context_window

    def count_tokens(self, prompt: str | Conversation) -> int:
        """An overestimate: one token for every three bytes and eight for every message."""
        texts = [prompt] if isinstance(prompt, str) else [message.content for message in prompt]
        return sum(estimated_tokens(text) + 8 for text in texts)

    def choose(
        self, requests: Sequence[ChooseRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[ChoiceLogProbs | JudgeFailure]]:
        """From the most probable tokens, or from votes if the server gives no log-probabilities.

        Raises: PreceptorError when the server takes no request at all; ValueError for a prefill it does not support.
        """
        return self._each(requests, self._choose, admission)

    def complete(
        self, requests: Sequence[CompleteRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[Completion | JudgeFailure]]:
        """Sampled or greedy continuations, yielded as by `choose`. Seeds are passed on; most servers honour them."""
        return self._each(requests, self._complete, admission)

    def close(self) -> None:
        """Closes the connections. The model cannot be used afterwards."""
        self._background.close()

    def _each(
        self,
        requests: Sequence[RequestT],
        ask: Callable[[RequestT, Exchange], Coroutine[Any, Any, ResultT]],
        admission: Admission | None,
    ) -> Iterator[Indexed[ResultT | JudgeFailure]]:
        """Keeps at most as many requests in flight as the limit allows; new ones start only while the caller consumes
        results.

        A batch holds all results that have arrived. The next requests are in flight before the batch is yielded, so the
        caller waits for the disk once per batch, and no request waits for the caller. If the budget allows no further
        request, those in flight may use less than was reserved for them; iteration ends when none is left. Results are
        yielded before an error ends the iteration.
        """
        exchanges = [self._exchange(index, request, admission) for index, request in enumerate(requests)]
        waiting = deque(range(len(requests)))  # all exchanges are made before anything is spent
        group: Group[ResultT | JudgeFailure] = self._background.group()
        batch: Indexed[ResultT | JudgeFailure] = []
        work = current_work()
        with ExitStack() as ending:
            ending.callback(group.cancel)
            ending.enter_context(work.telling(lambda: group.drop(self._asking.sending)))
            while True:
                if not work.wanted:
                    batch += [(index, UNWANTED) for index in waiting]
                    waiting.clear()
                following = list(islice(waiting, max(0, self._asking.limit.now - group.flying)))
                if admission and following:
                    following = following[: admission.admit([(i, exchanges[i].estimate) for i in following])]
                for _ in following:
                    waiting.popleft()
                group.start([(i, partial(self._one, ask, requests[i], exchanges[i])) for i in following])
                if batch:
                    yield batch
                    batch = []
                    continue  # its cost is known now
                if not group.flying:
                    return
                taken = group.take()
                batch = [(index, result) for index, result in taken if not isinstance(result, BaseException)]
                if error := next((result for _, result in taken if isinstance(result, BaseException)), None):
                    if batch:
                        yield batch
                    closed = PreceptorError(f"{self.address} was closed while it was asked")
                    raise closed if isinstance(error, CancelledError) else error

    def _exchange(self, index: int, request: ChooseRequest | CompleteRequest, admission: Admission | None) -> Exchange:
        abilities = self.preflight()
        if abilities.endpoint(request.prompt) is None:
            kinds = ("plain text", "conversations") if abilities.chat is None else ("conversations", "plain text")
            raise UsageError(f"{self.address} takes {kinds[0]} only, no {kinds[1]}")
        if request.prefill and not isinstance(request.prompt, str) and abilities.prefill is None:
            raise ValueError(f"{self.address} does not continue a begun answer; ask without a prefill")
        top_k = isinstance(request, CompleteRequest) and request.top_k is not None
        if top_k and "top_k" not in abilities.sampling(request.prompt):
            raise UsageError(f"{self.address} samples from all tokens: set top_k = 0 in the judge's settings")
        tokens = self.count_tokens(request.prompt)
        exchange = Exchange(self._asking, self.address, abilities, request.prompt, request.prefill, tokens)
        thinking = request.thinking
        if thinking is not None and not thinking.on:
            exchange.added = self._way(thinking.level).fields
        if thinking is not None and thinking.on:
            votes, answer = self.thinking_calls(thinking.level), self.connection.vote_tokens
            completes = isinstance(request, CompleteRequest)
            exchange.expect(
                1 if completes else votes, thinking.tokens + (request.max_new_tokens if completes else answer)
            )
        elif isinstance(request, CompleteRequest):
            exchange.expect(1, request.max_new_tokens)
        elif exchange.endpoint.listed:
            exchange.expect(1, places(request.choices))
        else:
            exchange.expect(self.connection.votes, self.connection.vote_tokens)
        if admission:
            exchange.may_exceed = partial(admission.extend, index)
        return exchange

    async def _one(
        self, ask: Callable[[RequestT, Exchange], Coroutine[Any, Any, ResultT]], request: RequestT, exchange: Exchange
    ) -> ResultT | JudgeFailure:
        try:
            result = await ask(request, exchange)
        except CancelledError:
            if exchange.work.wanted:
                raise
            result = UNWANTED
        except UnavailableError as error:
            result = error.failure
        except RefusedError as error:
            if error.status == 404:
                raise PreceptorError(f"{self.address.place} has the model {self.address.name} no longer") from None
            result = error.failure
        if isinstance(result, JudgeFailure):  # its calls were paid for nevertheless
            return result.model_copy(update={"usage": exchange.usage})
        return result

    async def _choose(self, request: ChooseRequest, exchange: Exchange) -> ChoiceLogProbs | JudgeFailure:
        if request.thinking is not None and request.thinking.on:
            way, connection = self._way(request.thinking.level), self.connection
            return await by_thinking(
                exchange, way, request.choices, request.thinking, connection.votes, connection.vote_tokens
            )
        if exchange.endpoint.listed:
            return await by_log_probs(exchange, request.choices)
        return await by_votes(exchange, request.choices, self.connection.votes, self.connection.vote_tokens)

    async def _structured(
        self,
        schema: JsonObject | None,
        ask: Callable[[int, JsonObject], Awaitable[Answer]],
        max_tokens: int,
        settings: JsonObject,
    ) -> Answer:
        """An answer with the schema enforced; without, once the server has refused a request because of the schema.

        Raises: RefusedError, UnavailableError, PreceptorError.
        """
        if schema is None or not self._enforces_schemas:
            return await ask(max_tokens, settings)
        try:
            return await ask(max_tokens, settings | response_format(schema))
        except RefusedError as error:
            if error.status == 404 or error.failure.reason == "prompt_too_long":
                raise
        answer = await ask(max_tokens, settings)  # refused again if the schema was not the reason
        self._enforces_schemas = False
        return answer

    async def _complete(self, request: CompleteRequest, exchange: Exchange) -> Completion | JudgeFailure:
        if request.thinking is not None and request.thinking.on:
            return await self._complete_thinking(request, request.thinking, exchange)
        settings: JsonObject = {"temperature": request.temperature, "top_p": 1.0, "seed": request.seed}
        if exchange.endpoint.bare:
            settings = {}
        if request.top_k is not None:
            settings["top_k"] = request.top_k
        if request.stop:
            settings["stop"] = list(request.stop)
        answer = await self._structured(request.schema, exchange.sample, request.max_new_tokens, settings)
        if answer.text is None:
            return JudgeFailure(reason="no_answer", detail=f"the model answered without text {answer.silence}".strip())
        return Completion(answer.text, answer.finished, exchange.usage)

    async def _complete_thinking(
        self, request: CompleteRequest, thinking: Thinking, exchange: Exchange
    ) -> Completion | JudgeFailure:
        """A thought and a continuation in one answer, sampled as `by_thinking` samples."""
        most_tokens = thinking.tokens + request.max_new_tokens
        settings = request_fields(self._way(thinking.level), thinking.seed)
        answer = await self._structured(request.schema, exchange.think, most_tokens, settings)
        if problem := unfinished(answer, most_tokens):
            return problem
        return Completion((answer.said or "").strip(), answer.finished, exchange.usage, answer.thought)
