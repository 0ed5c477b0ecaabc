"""Detects what a server supports: once, before the first request, in about eight calls of one token."""

import itertools
import re
from dataclasses import dataclass

from preceptor.backends.openai.address import Address
from preceptor.backends.openai.answers import Answer, LogProbsError, ModelCard, ModelList
from preceptor.backends.openai.client import Client, RefusedError, UnavailableError
from preceptor.backends.openai.wire import NEUTRAL_SAMPLING, WHOLE_DISTRIBUTION, most_probable, question
from preceptor.core.errors import PreceptorError, nearest
from preceptor.core.types import Conversation, JsonObject, Message

MOST_LISTED = 20
FEWER_LISTED = 5
"""How many of the most probable tokens to ask for: the limit of most servers, and a number that all of them allow."""
BROKEN_RETRIES = 1
"""Retries of an endpoint that answers 500 while the other one works."""
VLLM_PREFILL: JsonObject = {"continue_final_message": True, "add_generation_prompt": False}

_GREETING: Conversation = (Message(role="user", content="Hi"),)
_BEGUN = "Seventeen umbrellas"
"""Words with which no model would begin an answer."""


@dataclass(frozen=True)
class Endpoint:
    """How to ask one of the two endpoints."""

    listed: int
    """How many of the most probable tokens it lists; 0 if it gives no log-probabilities."""
    sampling: JsonObject
    """Settings that keep it from changing the model's distribution."""
    bare: bool = False
    """Whether it refuses every setting of sampling, as some models that think do; then none is sent."""


@dataclass(frozen=True)
class Prefill:
    """How a server continues a given beginning of an answer."""

    flags: JsonObject
    """Fields of the request that make it continue."""
    keeps_trailing_space: bool
    """Whether the given beginning may end with a space. Many chat templates strip it."""
    echoes: bool
    """Whether the server repeats the beginning in its answer."""


@dataclass(frozen=True)
class Abilities:
    """What a server supports for a model."""

    chat: Endpoint | None
    text: Endpoint | None
    prefill: Prefill | None
    """None if the server cannot continue a given beginning of an answer."""
    context_window: int | None

    def sampling(self, prompt: object) -> JsonObject:
        """The settings beyond the API's own that the endpoint for this prompt accepts."""
        endpoint = self.endpoint(prompt)
        return endpoint.sampling if endpoint else {}

    def endpoint(self, prompt: object) -> Endpoint | None:
        """The endpoint for this prompt: /completions for plain text."""
        return self.text if isinstance(prompt, str) else self.chat


ASSUMED = Abilities(chat=Endpoint(MOST_LISTED, {}), text=None, prefill=None, context_window=None)
"""Abilities assumed without asking a server, those of OpenAI's: it takes conversations and gives log-probabilities, but
does not continue the beginning of an answer.
"""


async def probe(client: Client, address: Address, vote_tokens: int) -> Abilities:
    """Asks the server what it supports.

    Raises: PreceptorError when there is no such server or model, or it takes no request at all.
    """
    try:
        card = await _card(client, address)
        chat, text = await _endpoints(client, address, vote_tokens)
        prefill = await _prefill(client, address) if chat and not address.turns_only else None
    except UnavailableError as error:
        raise PreceptorError(
            f"no model server answers at {address.place}: {error}; start it, or correct the address"
        ) from None
    return Abilities(chat, text, prefill, card.context_window)


async def _card(client: Client, address: Address) -> ModelCard:
    """The model's entry in the server's list of models; an empty one where the server has no list."""
    try:
        models = (await client.call("/models", ModelList, patient=False)).data
    except RefusedError:
        return ModelCard(id=address.name)
    cards = {card.id: card for card in models}
    if address.name not in cards:
        raise PreceptorError(
            f'{address.place} has no model "{address.name}"; '
            + (nearest(address.name, cards)[:300] if cards else "it has none")
        )
    return cards[address.name]


async def _endpoints(client: Client, address: Address, vote_tokens: int) -> tuple[Endpoint | None, Endpoint | None]:
    """The endpoints for conversations and for plain text; None for one that refuses, or that fails while the other
    answers: some servers answer 500 for an endpoint that they do not have.

    Raises: UnavailableError; PreceptorError when there is neither.
    """
    endpoints: list[Endpoint | None] = []
    refusals: list[str] = []
    broken: UnavailableError | None = None
    prompts: tuple[str | Conversation, ...] = (_GREETING, "Hi")
    for prompt in prompts[:1] if address.turns_only else prompts:
        retries = BROKEN_RETRIES if any(endpoints) else None
        try:
            endpoint, refusal = await _endpoint(client, address, prompt, vote_tokens, retries)
        except UnavailableError as error:
            if error.status != 500:
                raise
            endpoint, refusal, broken = None, str(error), error
        endpoints.append(endpoint)
        refusals.append(refusal)
    if address.turns_only and not any(endpoints):
        raise broken or PreceptorError(f"{address.place} refuses {address.name}: {refusals[0][:200]}")
    chat, text = (*endpoints, None)[:2]
    if chat is None and text is None:
        raise broken or PreceptorError(
            f"{address} takes neither conversations ({refusals[0]}) nor plain text ({refusals[1]}); "
            "is it a language model, and does the address end in /v1?"
        )
    return chat, text


async def _endpoint(
    client: Client, address: Address, prompt: str | Conversation, vote_tokens: int, broken_retries: int | None
) -> tuple[Endpoint | None, str]:
    """The endpoint for this kind of prompt, by the first form of request that it accepts; or its last refusal."""
    path, body = question(address.name, prompt, "", {})
    refusal = ""
    neutral: JsonObject = dict(NEUTRAL_SAMPLING)
    ways = [*itertools.product((MOST_LISTED, FEWER_LISTED, 0), (neutral, {}), (False,)), (0, JsonObject(), True)]
    for count, sampling, bare in ways:
        if bare and not re.search("temperature|top_p", refusal):
            break
        answering = {} if bare else most_probable(path, count) if count else WHOLE_DISTRIBUTION
        try:
            limit = length(address, path, 1 if count else vote_tokens)
            whole = body | sampling | answering | limit
            answer = await client.call(path, Answer, whole, broken_retries=broken_retries)
        except RefusedError as error:
            refusal = str(error)
            if not count and "output limit was reached" in refusal:  # it accepted the request, and thought too long
                return Endpoint(0, sampling, bare), ""
            continue
        try:
            return Endpoint(count if len(answer.positions[0].top) > 1 else 0, sampling), ""
        except LogProbsError:  # some servers silently leave out log-probabilities that they cannot give
            return Endpoint(0, sampling, bare), ""
    return None, refusal


async def _prefill(client: Client, address: Address) -> Prefill | None:
    """Whether the server continues the beginning of an answer, and how.

    The server's count of prompt tokens shows it: the beginning "1" adds exactly one token if the answer is continued;
    if the server closes it and starts a new one, the tokens that end and start a turn are added too. The model's words
    do not show it, because some models continue their own last message anyway.
    """

    async def ask(begun: str, flags: JsonObject) -> Answer:
        path, body = question(address.name, _GREETING, begun, flags)
        return await client.call(path, Answer, body | {"temperature": 0.0} | length(address, path, 1))

    ways: tuple[JsonObject, ...] = (VLLM_PREFILL, {})
    for flags in ways:
        try:
            alone = (await ask("", {})).prompt_tokens
            if (await ask("1", flags)).prompt_tokens - alone == 1:
                keeps = (await ask("1 ", flags)).prompt_tokens - alone == 2
                echoes = ((await ask(_BEGUN, flags)).text or "").startswith(_BEGUN)
                return Prefill(flags, keeps, echoes)
        except RefusedError:
            continue
    return None


def length(address: Address, path: str, tokens: int) -> dict[str, int]:
    """The limit on the tokens of an answer. OpenAI's server needs the new name for some models."""
    new = address.hosted and path == "/chat/completions"
    return {"max_completion_tokens" if new else "max_tokens": tokens}
