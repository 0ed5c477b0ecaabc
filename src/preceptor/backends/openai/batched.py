"""A served model whose calls go through the server's batch endpoint."""

import re
from functools import partial

from preceptor.backends.base import Admission, ChooseRequest, CompleteRequest
from preceptor.backends.connection import Connection
from preceptor.backends.openai.abilities import Abilities
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.batch import MOST_CALLS, ROWS_AT_ONCE, SHARE_OF_PRICE, BatchStore, BatchTransport
from preceptor.backends.openai.client import Client
from preceptor.backends.openai.exchange import Exchange
from preceptor.backends.openai.http import HttpTransport
from preceptor.backends.openai.keys import NO_KEY, key_for, line_without, words_without
from preceptor.backends.openai.model import OpenAIModel
from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash


class BatchedModel(OpenAIModel):
    """A served model that answers within a day and costs half. It has the identity of the model that answers at once,
    so a ledger's answers serve both. What the server supports is asked at once, at the full price of a few tokens.
    """

    def __init__(
        self,
        address: Address,
        connection: Connection,
        abilities: Abilities | None,
        store: BatchStore | None,
        *,
        gather_s: float = 2.0,
        poll_s: float = 1.0,
    ) -> None:
        """Args:
            store: keeps the batches of one or several models; None to count calls without making any.
            gather_s, poll_s: see `BatchTransport`.

        Raises: UsageError for a rate limit, which a batch has no use for, and where there is no store.
        """
        for limit in ("requests_per_minute", "tokens_per_minute"):
            if getattr(connection, limit) is not None:
                raise UsageError(f"{limit} has no meaning with batches: the server works through them as it likes")
        if store is None and abilities is None:
            raise UsageError("batches need a folder that keeps them; use them in label, audit and evaluate")
        key = key_for(address) or NO_KEY
        http = HttpTransport(address, connection, key)
        super().__init__(address, connection, abilities, http)
        self.price = self.price and self.price.times(SHARE_OF_PRICE)
        self.concurrency = ROWS_AT_ONCE
        if store is not None:
            own = store.inner(f"{re.sub(r'[^A-Za-z0-9.-]+', '-', address.name)[:60]}-{content_hash(str(address))[:8]}")
            shown, clean = partial(words_without, key), partial(line_without, key)
            sending = BatchTransport(http, own, shown, clean, gather_s=gather_s, poll_s=poll_s)
            self._asking = Client(address, connection.model_copy(update={"concurrency": MOST_CALLS}), key, sending)

    def _exchange(self, index: int, request: ChooseRequest | CompleteRequest, admission: Admission | None) -> Exchange:
        exchange = super()._exchange(index, request, admission)
        exchange.batched = True
        return exchange

    @property
    def recoverable(self) -> bool:
        """Always: the folder of batches says what is under way."""
        return True
