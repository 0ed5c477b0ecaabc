"""Which models can be named, and fetching the embedded one."""

from preceptor.backends.names import FORMS
from preceptor.backends.transformers.embedded import embedded_directory, ensure_embedded
from preceptor.results.shipped import EmbeddedModel, ModelsResult


def models(*, fetch: bool = False) -> ModelsResult:
    """The forms of a model string, and where the embedded model is.

    Examples:
        >>> models().forms["scripted:random"]
        'a judge that knows nothing: a control'

    Args:
        fetch: download the embedded model into the cache if it is not there.

    Raises: UsageError when a package needed for the download is not installed; PreceptorError when it fails.
    """
    folder = ensure_embedded() if fetch else embedded_directory()
    return ModelsResult(forms=FORMS, embedded=EmbeddedModel(path=str(folder), cached=folder.is_dir()))
