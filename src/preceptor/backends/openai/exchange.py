"""The calls that one request takes."""

from typing import Any

from preceptor.backends.openai.abilities import Abilities, Endpoint, length
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.answers import Answer
from preceptor.backends.openai.client import Client
from preceptor.backends.openai.wire import defused, most_probable, question
from preceptor.core.types import Conversation, Usage, total_usage


class Exchange:
    """Asks for continuations of one prompt and adds up what that takes."""

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
        self._usages: list[Usage] = []

    @property
    def usage(self) -> Usage:
        """Tokens of all calls so far."""
        return total_usage(self._usages)

    def can_begin(self, begun: str) -> bool:
        """Whether the server can be made to continue an answer that begins so (after the request's own prefill)."""
        if not begun or isinstance(self._prompt, str):
            return True
        prefill = self._abilities.prefill
        return prefill is not None and (prefill.keeps_trailing_space or not begun[-1].isspace())

    async def list_tokens(self, begun: str, max_tokens: int) -> Answer:
        """The greedy continuation with the most probable tokens at each of its places."""
        return await self._ask(begun, max_tokens, lambda path: most_probable(path, self.endpoint.listed))

    async def sample(self, max_tokens: int, settings: dict[str, Any]) -> Answer:
        """A continuation under the API's sampling settings."""
        return await self._ask("", max_tokens, lambda _: settings)

    async def _ask(self, begun: str, max_tokens: int, answering: Any) -> Answer:
        prefill = self._abilities.prefill
        path, body = question(self._address.name, self._prompt, self._prefill + begun, prefill.flags if prefill else {})
        answer = await self._client.call(
            path,
            Answer,
            body | self.endpoint.sampling | length(self._address, path, max_tokens) | answering(path),
            tokens=self._prompt_tokens + max_tokens,
        )
        self._usages.append(answer.usage)
        if prefill and prefill.echoes and not isinstance(self._prompt, str):
            return answer.without(self._prefill + begun)
        return answer
