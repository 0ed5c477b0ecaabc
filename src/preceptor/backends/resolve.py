"""Opens the model named by a model string. A backend is imported only when one of its models is opened."""

from preceptor.backends.base import LanguageModel
from preceptor.backends.connection import Connection
from preceptor.backends.names import is_served
from preceptor.backends.openai.address import Address
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.extras import require_local


def open_model(name: str, connection: Connection | None = None, *, unasked: bool = False) -> LanguageModel:
    """Opens the model behind a model string (`backends/names.py` has the forms).

    The weights of a local model are shared with whoever has it open already, so do not change them.

    Args:
        connection: settings of the connection to a model server.
        unasked: do not ask a server what it supports; assume the abilities of OpenAI's, which suffices to count calls.

    Raises: UsageError when there is no such model or a package that it needs is not installed, PreceptorError when it
        cannot be opened.
    """
    if name.startswith("scripted:"):
        return ScriptedModel.named(name.removeprefix("scripted:"))
    if name.startswith("litellm:"):
        from preceptor.backends.litellm.opening import open_provider

        return open_provider(name, connection, unasked=unasked)
    if is_served(name):
        from preceptor.backends.openai.abilities import ASSUMED
        from preceptor.backends.openai.model import OpenAIModel

        return OpenAIModel(Address.parse(name), connection, ASSUMED if unasked else None)
    require_local(name)
    from preceptor.backends.transformers.loading import load_shared
    from preceptor.backends.transformers.model import LocalModel

    return LocalModel(load_shared(name))
