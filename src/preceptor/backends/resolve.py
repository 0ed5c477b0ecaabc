"""From a model string to a model. The heavy backends are imported only when one of their models is opened."""

from preceptor.backends.base import LanguageModel
from preceptor.backends.scripted import ScriptedModel


def open_model(name: str) -> LanguageModel:
    """Opens the model behind a model string (`backends/names.py` has the forms).

    Raises: UsageError when there is no such model, PreceptorError when it cannot be opened.
    """
    if name.startswith("scripted:"):
        return ScriptedModel.named(name.removeprefix("scripted:"))
    from preceptor.backends.transformers.loading import load
    from preceptor.backends.transformers.model import LocalModel

    return LocalModel(load(name))
