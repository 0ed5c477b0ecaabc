"""What goes wrong with the Hugging Face Hub, in one line for people."""

import os

from preceptor.core.errors import PreceptorError, UsageError

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def hub_address() -> str:
    """The address of the hub: `$HF_ENDPOINT`, else that of Hugging Face."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def explained(error: Exception, name: str, page: str, doing: str = "read") -> PreceptorError:
    """The error to raise in place of one of `huggingface_hub` or `datasets`.

    Args:
        name: what was asked for, as the message should call it.
        page: its page on the hub, such as "datasets/ORG/NAME".
        doing: what failed, as in "cannot be read".
    """
    from huggingface_hub import errors as hub

    cause = next((each for each in _chain(error) if isinstance(each, hub.HfHubHTTPError)), error)
    if isinstance(cause, hub.GatedRepoError) or "is a gated dataset" in str(error):  # so says `datasets`
        return UsageError(f"{name}: is gated; accept its terms at {hub_address()}/{page}, and {LOG_IN}")
    if isinstance(cause, hub.RepositoryNotFoundError):
        return UsageError(
            f"{name}: {hub_address()} has none of that name, or it is private; check the name, or {LOG_IN}"
        )
    if isinstance(cause, hub.RevisionNotFoundError):
        return UsageError(f"{name}: there is no such revision; name a commit, a branch or a tag")
    if isinstance(cause, hub.HfHubHTTPError):
        return _refused(name, cause.response.status_code, first_line(cause))
    if any(isinstance(each, ConnectionError | TimeoutError) or _of_http(each) for each in _chain(error)):
        return PreceptorError(
            f"{name}: {hub_address()} cannot be reached: {first_line(error)}; try again when it can be"
        )
    return PreceptorError(f"{name}: cannot be {doing}: {type(error).__name__}: {first_line(error)}")


def _refused(name: str, status: int, words: str) -> PreceptorError:
    if status in (401, 403):
        return PreceptorError(f"{name}: the hub refuses access (status {status}); {LOG_IN}, as somebody who may")
    return PreceptorError(f"{name}: the hub answers with status {status}: {words}")


def _of_http(error: BaseException) -> bool:
    """Whether this is an error of the connection in httpx, or in httpx2, which newer versions of the library use."""
    return any(each.__name__ == "TransportError" for each in type(error).__mro__)


def _chain(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
