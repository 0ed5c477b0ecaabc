"""From a model string to a model. The heavy backends are imported only when one of their models is opened."""

from preceptor.backends.base import LanguageModel
from preceptor.backends.scripted import ScriptedModel

FORMS = {
    "embedded": "SmolLM2-135M-Instruct, from the Python package index, kept in the cache",
    "hf:ORG/NAME[@REVISION]": "a model on the Hugging Face hub",
    "FOLDER": "a local folder in Hugging Face format",
    "FILE.gguf": "a local GGUF file, dequantised in memory",
    "scripted:random": "a judge that knows nothing: a control",
    "scripted:first": "a judge that always prefers the first choice: a control",
}
"""Every form of a model string, with its meaning."""


def open_model(name: str) -> LanguageModel:
    """Opens the model behind a model string (`preceptor models` lists the forms).

    Raises: UsageError when there is no such model, PreceptorError when it cannot be opened.
    """
    if name.startswith("scripted:"):
        return ScriptedModel.named(name.removeprefix("scripted:"))
    from preceptor.backends.transformers.loading import load
    from preceptor.backends.transformers.model import LocalModel

    return LocalModel(load(name))
