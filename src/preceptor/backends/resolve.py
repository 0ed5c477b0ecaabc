"""From a model string to a model. The heavy backends are imported only when one of their models is opened."""

from preceptor.backends.base import LanguageModel
from preceptor.backends.connection import Connection
from preceptor.backends.openai.address import Address
from preceptor.backends.scripted import ScriptedModel


def open_model(name: str, connection: Connection | None = None, *, unasked: bool = False) -> LanguageModel:
    """Opens the model behind a model string (`backends/names.py` has the forms).

    Args:
        connection: how a served model is reached.
        unasked: do not ask a server what it can do, but take it for one like OpenAI's: enough to count what would be
            asked.

    Raises: UsageError when there is no such model, PreceptorError when it cannot be opened.
    """
    if name.startswith("scripted:"):
        return ScriptedModel.named(name.removeprefix("scripted:"))
    if name.startswith("openai:"):
        from preceptor.backends.openai.abilities import ASSUMED
        from preceptor.backends.openai.model import OpenAIModel

        return OpenAIModel(Address.parse(name), connection, ASSUMED if unasked else None)
    from preceptor.backends.transformers.loading import load
    from preceptor.backends.transformers.model import LocalModel

    return LocalModel(load(name))
