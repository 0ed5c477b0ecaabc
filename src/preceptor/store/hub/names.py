"""Names of datasets on the Hugging Face Hub: `hf:ORG/NAME[@REVISION][/CONFIG][:SPLIT]`.

Models have names of the same form, but no setting takes both.
"""

import dataclasses
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.store.hub.errors import explained, hub_address

FORM = "hf:ORG/NAME[@REVISION][/CONFIG][:SPLIT]"
_NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([^\s@/:]+))?(?:/([\w.-]+))?(?::([\w.-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubDataset:
    """One split of a dataset on the hub."""

    repository: str
    """`ORG/NAME`."""
    revision: str | None = None
    """A commit, a branch or a tag; None for the newest commit."""
    config: str | None = None
    """None for the only one, or the default."""
    split: str | None = None
    """None for the only one, or "train"."""

    @classmethod
    def parse(cls, name: str) -> "HubDataset":
        """The dataset of a name.

        Raises: UsageError when it has another form.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise UsageError(f'"{name}": expected the name of a dataset as {FORM}, or a file')
        return cls(found[1], found[2], found[3], found[4])

    def __str__(self) -> str:
        parts = (("@", self.revision), ("/", self.config), (":", self.split))
        return f"hf:{self.repository}" + "".join(mark + value for mark, value in parts if value)

    def at_commit(self) -> "HubDataset":
        """The dataset with the commit that its revision is now. One process asks the hub once.

        Raises: UsageError when there is no such dataset or revision, or it is gated; PreceptorError when the hub
            cannot be reached.
        """
        if self.revision is not None and _COMMIT.fullmatch(self.revision):
            return self
        return dataclasses.replace(self, revision=_commit(self.repository, self.revision, hub_address()))


def is_on_hub(name: str | Path) -> bool:
    """Whether this names a dataset on the hub, and not a file."""
    return str(name).startswith("hf:") and not Path(name).exists()


def with_commit(name: str) -> str:
    """The name of a dataset on the hub with its commit, so that it means the same rows forever; any other name as it
    is.

    Raises: as `HubDataset.at_commit`.
    """
    return str(HubDataset.parse(name).at_commit()) if is_on_hub(name) else name


@cache
def _commit(repository: str, revision: str | None, address: str) -> str:
    from huggingface_hub import HfApi

    try:
        commit = HfApi(endpoint=address).dataset_info(repository, revision=revision).sha
    except Exception as error:
        raise explained(error, str(HubDataset(repository, revision)), f"datasets/{repository}") from error
    assert commit is not None  # the hub says it always
    return commit
