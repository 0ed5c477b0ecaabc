"""Opens the model named by a model string. A backend is imported only when one of its models is opened."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from preceptor.backends.base import LanguageModel
from preceptor.backends.connection import Connection
from preceptor.backends.names import is_served
from preceptor.backends.openai.address import Address
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.errors import UsageError
from preceptor.core.extras import require_local

if TYPE_CHECKING:
    from preceptor.backends.openai.batch import BatchStore


def check_batch(connection: Connection | None, names: Iterable[str]) -> None:
    """Raises: UsageError where a batch endpoint is asked for, and none of the models is behind a server."""
    if connection and connection.batch and not any(name.startswith("openai:") for name in names):
        raise UsageError(
            "a batch needs a server with a batch endpoint: name a model openai:NAME[@BASE_URL], or leave out --batch"
        )


def open_model(
    name: str, connection: Connection | None = None, *, unasked: bool = False, batches: "BatchStore | None" = None
) -> LanguageModel:
    """Opens the model behind a model string (`backends/names.py` has the forms).

    The weights of a local model are shared with whoever has it open already, so do not change them.

    Args:
        connection: settings of the connection to a model server.
        unasked: do not ask a server what it supports; assume the abilities of OpenAI's, which suffices to count calls.
        batches: keeps the batches of a connection that sends calls to a batch endpoint.

    Raises: UsageError when there is no such model or a package that it needs is not installed, PreceptorError when it
        cannot be opened.
    """
    if name.startswith("scripted:"):
        return ScriptedModel.named(name.removeprefix("scripted:"))
    if name.startswith("litellm:"):
        from preceptor.backends.litellm.opening import open_provider

        if connection and connection.batch:
            raise UsageError(f"{name}: batches are sent to OpenAI's form of a batch endpoint only; leave out --batch")
        return open_provider(name, connection, unasked=unasked)
    if is_served(name):
        from preceptor.backends.openai.abilities import ASSUMED
        from preceptor.backends.openai.batched import BatchedModel
        from preceptor.backends.openai.model import OpenAIModel

        abilities = ASSUMED if unasked else None
        if connection and connection.batch:
            return BatchedModel(Address.parse(name), connection, abilities, batches)
        return OpenAIModel(Address.parse(name), connection, abilities)
    require_local(name)
    from preceptor.backends.transformers.loading import load_shared
    from preceptor.backends.transformers.model import LocalModel

    return LocalModel(load_shared(name))
