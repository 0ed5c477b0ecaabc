"""What a server can do: asked once, before the first question, in about eight calls of one token."""

import itertools
from dataclasses import dataclass
from typing import Any

from preceptor.backends.openai.address import Address
from preceptor.backends.openai.answers import Answer, LogProbsError, ModelCard, ModelList
from preceptor.backends.openai.client import Client, RefusedError, UnavailableError
from preceptor.backends.openai.wire import NEUTRAL_SAMPLING, WHOLE_DISTRIBUTION, most_probable, question
from preceptor.core.errors import PreceptorError, nearest
from preceptor.core.types import Conversation, Message

MOST_LISTED = 20
FEWER_LISTED = 5
"""Counts of most probable tokens to ask for: what most servers allow, and what all do that give any."""
BROKEN_RETRIES = 1
"""Of an endpoint that answers 500, where the other one works."""
VLLM_PREFILL = {"continue_final_message": True, "add_generation_prompt": False}

_GREETING: Conversation = (Message(role="user", content="Hi"),)
_BEGUN = "Seventeen umbrellas"
"""What no model would say by itself."""


@dataclass(frozen=True)
class Endpoint:
    """How one of the two endpoints is asked."""

    listed: int
    """Most probable tokens that it can be asked for; 0 where it gives no log-probabilities."""
    sampling: dict[str, Any]
    """Settings that keep it from bending the model's distribution."""


@dataclass(frozen=True)
class Prefill:
    """How a server continues a begun answer."""

    flags: dict[str, Any]
    """What makes it do so."""
    keeps_trailing_space: bool
    """Whether a begun answer may end with a space. Many chat templates strip it."""
    echoes: bool
    """Whether the server repeats the beginning in its answer."""


@dataclass(frozen=True)
class Abilities:
    """What a server can do with a model."""

    chat: Endpoint | None
    text: Endpoint | None
    prefill: Prefill | None
    """None where nothing makes the server continue a begun answer to a conversation."""
    context_window: int | None

    def sampling(self, prompt: object) -> dict[str, Any]:
        """The settings, beside those of the API, that the endpoint of a prompt takes."""
        endpoint = self.endpoint(prompt)
        return endpoint.sampling if endpoint else {}

    def endpoint(self, prompt: object) -> Endpoint | None:
        """The one that a prompt goes to: /completions for a plain text."""
        return self.text if isinstance(prompt, str) else self.chat


ASSUMED = Abilities(chat=Endpoint(MOST_LISTED, {}), text=None, prefill=None, context_window=None)
"""What is assumed of a server that is not probed: it offers chat and log-probabilities, as OpenAI does, and does not
continue an answer that was begun.
"""


async def probe(client: Client, address: Address, vote_tokens: int) -> Abilities:
    """Asks the server what it can do.

    Raises: PreceptorError when there is no such server or model, or it takes no question at all.
    """
    try:
        card = await _card(client, address)
        chat, text = await _endpoints(client, address, vote_tokens)
        prefill = await _prefill(client, address) if chat else None
    except UnavailableError as error:
        raise PreceptorError(
            f"no model server answers at {address.base_url}: {error}; start it, or correct the address"
        ) from None
    return Abilities(chat, text, prefill, card.context_window)


async def _card(client: Client, address: Address) -> ModelCard:
    """The model's entry in the server's list; an empty one where the server has no list."""
    try:
        models = (await client.call("/models", ModelList, patient=False)).data
    except RefusedError:
        return ModelCard(id=address.name)
    cards = {card.id: card for card in models}
    if address.name not in cards:
        raise PreceptorError(
            f'{address.base_url} has no model "{address.name}"; '
            + (nearest(address.name, cards)[:300] if cards else "it has none")
        )
    return cards[address.name]


async def _endpoints(client: Client, address: Address, vote_tokens: int) -> tuple[Endpoint | None, Endpoint | None]:
    """Those for conversations and for plain text; None for one that refuses, or breaks while the other one answers.

    (Some servers answer 500 where they have no such endpoint.)
    Raises: UnavailableError; PreceptorError when there is neither.
    """
    found: list[Endpoint | None] = []
    refusals: list[str] = []
    broken: UnavailableError | None = None
    prompts: tuple[str | Conversation, ...] = (_GREETING, "Hi")
    for prompt in prompts:
        retries = BROKEN_RETRIES if any(found) else None
        try:
            endpoint, refusal = await _endpoint(client, address, prompt, vote_tokens, retries)
        except UnavailableError as error:
            if error.status != 500:
                raise
            endpoint, refusal, broken = None, str(error), error
        found.append(endpoint)
        refusals.append(refusal)
    chat, text = found
    if chat is None and text is None:
        raise broken or PreceptorError(
            f"{address} takes neither conversations ({refusals[0]}) nor plain text ({refusals[1]}); "
            "is it a language model, and does the address end in /v1?"
        )
    return chat, text


async def _endpoint(
    client: Client, address: Address, prompt: str | Conversation, vote_tokens: int, broken_retries: int | None
) -> tuple[Endpoint | None, str]:
    """The endpoint for this kind of prompt by the first way of asking that it does not refuse, or its last refusal."""
    path, body = question(address.name, prompt, "", {})
    refusal = ""
    neutral: dict[str, Any] = dict(NEUTRAL_SAMPLING)
    for count, sampling in itertools.product((MOST_LISTED, FEWER_LISTED, 0), (neutral, {})):
        answering = most_probable(path, count) if count else WHOLE_DISTRIBUTION
        try:
            limit = length(address, path, 1 if count else vote_tokens)
            whole = body | sampling | answering | limit
            answer = await client.call(path, Answer, whole, broken_retries=broken_retries)
        except RefusedError as error:
            refusal = str(error)
            continue
        try:
            return Endpoint(count if len(answer.positions[0].top) > 1 else 0, sampling), ""
        except LogProbsError:  # a server may also leave out silently what it cannot give
            return Endpoint(0, sampling), ""
    return None, refusal


async def _prefill(client: Client, address: Address) -> Prefill | None:
    """Whether the server continues a begun answer, and how.

    Told from the prompt's length as the server counts it: a begun answer "1" that is continued adds exactly its own
    token. Where the answer is closed and a new one begun, the tokens of a turn's end and beginning are added as well.
    (Told from what a model says, a model that goes on with its own last message would pass for a server that does.)
    """

    async def ask(begun: str, flags: dict[str, Any]) -> Answer:
        path, body = question(address.name, _GREETING, begun, flags)
        return await client.call(path, Answer, body | {"temperature": 0.0} | length(address, path, 1))

    ways: tuple[dict[str, Any], ...] = (VLLM_PREFILL, {})
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
    """The limit on an answer's tokens. Only OpenAI's own server knows the new name, and for some models no other."""
    new = address.hosted and path == "/chat/completions"
    return {"max_completion_tokens" if new else "max_tokens": tokens}
