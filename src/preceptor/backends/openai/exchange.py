"""The calls that answer one request."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from preceptor.backends.base import UNWANTED
from preceptor.backends.openai.abilities import Abilities, Endpoint, length
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.answers import Answer
from preceptor.backends.openai.client import Client, UnavailableError
from preceptor.backends.openai.wire import marked, most_probable, question
from preceptor.core.abandoning import current_work
from preceptor.core.control_tokens import defused
from preceptor.core.types import Conversation, JsonObject, Usage, total_usage


def estimated_tokens(text: str) -> int:
    """Overestimates the tokens of a text: one for every three bytes."""
    return math.ceil(len(text.encode("utf-8", "replace")) / 3)


class Exchange:
    """Requests continuations of one prompt and adds up their usage, including that of failed attempts."""

    def __init__(
        self,
        client: Client,
        address: Address,
        abilities: Abilities,
        prompt: str | Conversation,
        prefill: str,
        prompt_tokens: int,
    ) -> None:
        endpoint = abilities.endpoint(prompt)
        assert endpoint is not None
        self.endpoint: Endpoint = endpoint
        self.shown = client.shown
        self._client = client
        self._address = address
        self._abilities = abilities
        self._prompt = prompt
        self._prefill = defused(prefill)  # a rationale may quote what a candidate wrote
        self._prompt_tokens = prompt_tokens
        self.usages: list[Usage] = []
        """The usage of each attempt that was or may have been billed."""
        self.expected = 1
        self._expected_tokens = 0
        self.work = current_work()
        self.added: JsonObject = {}
        """Fields of every request, such as those that keep the model from thinking."""
        self.batched = False
        """Whether an answer takes as long as a batch, however many calls there are."""
        self.may_exceed: Callable[[Usage], bool] | None = None
        """Whether the budget allows this much more than the estimate; None if there is no budget."""

    def expect(self, calls: int, max_tokens: int) -> None:
        """Sets how many calls are expected and the most tokens of each answer."""
        self.expected, self._expected_tokens = calls, max_tokens

    @property
    def estimate(self) -> Usage:
        """Tokens of the expected calls; calls beyond them need permission one by one."""
        prompt_tokens = self._prompt_tokens + estimated_tokens(self._prefill)
        return Usage(
            prompt_tokens=self.expected * prompt_tokens,
            completion_tokens=self.expected * self._expected_tokens,
            estimated=True,
        )

    @property
    def usage(self) -> Usage:
        """Tokens of all calls so far."""
        return total_usage(self.usages)

    def can_begin(self, begun: str) -> bool:
        """Whether the server can continue this beginning (after the request's own prefill)."""
        if not begun or isinstance(self._prompt, str):
            return True
        prefill = self._abilities.prefill
        return prefill is not None and (prefill.keeps_trailing_space or not begun[-1].isspace())

    async def list_tokens(self, begun: str, max_tokens: int) -> Answer:
        """The greedy continuation, with the most probable tokens at each place."""
        return await self._ask(begun, max_tokens, lambda path: most_probable(path, self.endpoint.listed))

    async def sample(self, max_tokens: int, settings: JsonObject) -> Answer:
        """A continuation under the API's sampling settings."""
        return await self._ask("", max_tokens, lambda _: settings)

    async def think(self, max_tokens: int, settings: JsonObject) -> Answer:
        """A thought and an answer, with these settings and no others: models that think refuse many."""
        return await self._ask("", max_tokens, lambda _: settings, {})

    async def votes(self, ask: Callable[[int], Coroutine[Any, Any, Answer]], seeds: Sequence[int]) -> list[Answer]:
        """Several answers to the same question: one after the other, so that a provider's prompt cache serves the later
        ones; all of them together where they go into a batch.

        Args:
            ask: makes the call with a seed.
        """
        if not self.batched:
            return [await ask(seed) for seed in seeds]
        answers = await asyncio.gather(*map(ask, seeds), return_exceptions=True)
        if error := next((each for each in answers if isinstance(each, BaseException)), None):
            raise error
        return [each for each in answers if isinstance(each, Answer)]

    async def _ask(
        self,
        begun: str,
        max_tokens: int,
        answering: Callable[[str], JsonObject],
        sampling: JsonObject | None = None,
    ) -> Answer:
        sampling = self.endpoint.sampling if sampling is None else sampling
        prefill = self._abilities.prefill
        path, body = question(self._address.name, self._prompt, self._prefill + begun, prefill.flags if prefill else {})
        if self._address.caches_marked and "messages" in body:
            body["messages"] = marked(body["messages"], whole=self.expected > 1)
        bill = _Bill(self, self._prompt_tokens + estimated_tokens(self._prefill + begun), max_tokens)
        answer = await self._client.call(
            path,
            Answer,
            body | sampling | length(self._address, path, max_tokens) | self.added | answering(path),
            tokens=self._prompt_tokens + max_tokens,
            spending=bill,
        )
        self.usages.append(answer.usage(bill.estimate(answer.written)))
        if prefill and prefill.echoes and not isinstance(self._prompt, str):
            return answer.without(self._prefill + begun)
        return answer


class _Bill:
    """Estimates the cost of failed attempts at one call."""

    def __init__(self, exchange: Exchange, prompt_tokens: int, max_tokens: int) -> None:
        self._exchange = exchange
        self._prompt_tokens = prompt_tokens
        self._max_tokens = max_tokens

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for the answer."""
        return self._exchange.work.wanted

    def begin(self) -> None:
        """Records that an attempt is about to be sent.

        Raises: UnavailableError for a call that nobody waits for, and for one beyond the expected ones that the budget
            does not allow.
        """
        exchange = self._exchange
        if not self.wanted:
            raise UnavailableError(UNWANTED.detail)
        if exchange.may_exceed and len(exchange.usages) >= exchange.expected:
            if not exchange.may_exceed(self.estimate("")):
                raise UnavailableError("the budget does not allow the calls that this request needs")
            exchange.expected += 1

    def estimate(self, text: str) -> Usage:
        """The usage of an answer with this text, up to its token limit; the whole limit if the text is empty."""
        written = min(estimated_tokens(text), self._max_tokens) if text else self._max_tokens
        return Usage(prompt_tokens=self._prompt_tokens, completion_tokens=written, estimated=True)

    def lose(self, text: str) -> None:
        """Counts an attempt that gave no usable answer and may have been billed."""
        self._exchange.usages.append(self.estimate(text))
