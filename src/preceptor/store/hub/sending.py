"""Sends files to a repository on the Hugging Face Hub, in one commit.

A commit holds all of its files or does not exist. Large files are sent before it and kept by the hub under their hash,
so what a killed process sent already is not sent again, and files that the repository has are left out.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.extras import require
from preceptor.core.secrets import without_secret
from preceptor.core.ticks import tick
from preceptor.store.hub.errors import LOG_IN, explained, hub_address

if TYPE_CHECKING:
    from huggingface_hub import HfApi

RepositoryKind = Literal["dataset", "model"]
_EVERYBODYS = {".gitattributes", "README.md"}
"""Files that a repository may have before anything is published in it."""


@dataclass(frozen=True)
class Repository:
    """A repository on the hub, which need not exist."""

    name: str
    """`ORG/NAME`."""
    kind: RepositoryKind
    private: bool
    """Whether it must be hidden from everybody but its owners."""

    @property
    def page(self) -> str:
        """Its page on the hub, without the hub's address."""
        return f"datasets/{self.name}" if self.kind == "dataset" else self.name

    @property
    def url(self) -> str:
        """The address of its page."""
        return f"{hub_address()}/{self.page}"


@dataclass(frozen=True)
class Sent:
    """What sending did."""

    commit: str
    """The repository's newest commit."""
    changed: bool
    """Whether the commit is new; False if the repository already held the same files."""


def send(repository: Repository, files: Mapping[str, Path], *, sign: str, message: str) -> Sent:
    """Sends files to a repository, which is created if there is none. Files that it has besides stay.

    Args:
        files: the file on this disk for each path in the repository.
        sign: a path that every repository has in which the same kind of files was published.
        message: of the commit.

    Raises: UsageError when there is no token, or the repository holds other files or is public and must not be;
        PreceptorError when the hub refuses or cannot be reached. No message contains the token.
    """
    require("publishing on the Hugging Face Hub needs", "huggingface_hub")
    from huggingface_hub import HfApi, get_token

    token = get_token()
    if not token:
        raise UsageError(f"{repository.name}: publishing needs a token that may write there; {LOG_IN}")
    try:
        with _quiet():
            return _sent(HfApi(endpoint=hub_address(), token=token), repository, files, sign, message)
    except PreceptorError:
        raise
    except Exception as error:  # of huggingface_hub, httpx and hf_xet
        said = explained(error, repository.name, repository.page, doing="sent")
        raise type(said)(without_secret(str(said), token)) from None  # its own message may quote the token


def _sent(api: "HfApi", repository: Repository, files: Mapping[str, Path], sign: str, message: str) -> Sent:
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import RepositoryNotFoundError

    before = None
    try:
        of_kind = api.dataset_info if repository.kind == "dataset" else api.model_info
        info = of_kind(repository.name)
        _check(repository, {file.rfilename for file in info.siblings or ()}, bool(info.private), sign)
        before = info.sha
    except RepositoryNotFoundError:
        api.create_repo(repository.name, repo_type=repository.kind, private=repository.private, exist_ok=True)
    size = sum(path.stat().st_size for path in files.values())
    tick(f"sending to {repository.name}", 0, size)
    commit = api.create_commit(
        repository.name,
        [CommitOperationAdd(name, path) for name, path in files.items()],
        commit_message=message,
        repo_type=repository.kind,
    )
    tick(f"sending to {repository.name}", size, size)
    return Sent(commit.oid, commit.oid != before)


def _check(repository: Repository, held: set[str], private: bool, sign: str) -> None:
    """Raises: UsageError for an existing repository that is public and must not be, or in which something else is."""
    if repository.private and not private:
        raise UsageError(
            f"{repository.url}: everybody can read this {repository.kind}; make it private on its page, or publish for "
            f"everybody with public=True (`preceptor publish FOLDER {repository.name} --send --public`)"
        )
    if sign not in held and (others := sorted(held - _EVERYBODYS)):
        raise UsageError(
            f"{repository.url}: this {repository.kind} already holds other files ({others[0]}, but no {sign}); name a "
            "repository that does not exist, or an empty one"
        )


@contextmanager
def _quiet() -> Generator[None]:
    """Within the context, huggingface_hub shows no bars and no messages of its own."""
    from huggingface_hub import utils

    level, hidden = utils.logging.get_verbosity(), utils.are_progress_bars_disabled()
    utils.logging.set_verbosity_error()
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.logging.set_verbosity(level)
        if not hidden:
            utils.enable_progress_bars()
