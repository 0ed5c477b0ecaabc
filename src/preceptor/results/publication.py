"""The result of publishing: what was sent to the Hugging Face Hub, or would be."""

from preceptor.core.types import Frozen
from preceptor.display.table import Column, Table
from preceptor.results.base import Tabular


class PublishedFile(Frozen):
    """A file of a publication."""

    name: str
    """Its path in the repository."""
    bytes: int
    source: str
    """Its path in the folder that is published."""
    changed: bool
    """Whether a copy is sent in which something is masked or replaced."""


class Publication(Tabular):
    """What was sent to a repository on the Hugging Face Hub, or would be."""

    repository: str
    """`ORG/NAME`."""
    kind: str
    """`dataset` or `model`."""
    url: str
    """The address of its page."""
    private: bool
    """Whether the repository must be private."""
    files: tuple[PublishedFile, ...]
    left_out: tuple[str, ...]
    """Files and folders of the published folder that are not sent."""
    found: dict[str, int]
    """What looks like personal data or secrets in the texts, by kind."""
    warnings: tuple[str, ...]
    """What to know before it is sent."""
    sent: bool
    """False for a dry run."""
    commit: str | None
    """The repository's newest commit after sending; None if nothing was sent."""
    unchanged: bool
    """Whether the repository already held exactly these files."""

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(file.bytes for file in self.files)

    def table(self) -> Table:
        """The files, and what became of them."""
        rows = [
            (file.name, f"{file.bytes:,}", file.source + (" (changed)" if file.changed else "")) for file in self.files
        ]
        who = "private" if self.private else "public"
        notes = [f"{len(self.files)} files, {self.bytes:,} bytes, to the {who} {self.kind} {self.url}"]
        notes += [f"left out: {', '.join(self.left_out)}"] if self.left_out else []
        return Table(
            (Column("file"), Column("bytes", "right"), Column("from")),
            rows,
            warnings=self.warnings,
            headline=self._headline,
            notes=notes,
        )

    @property
    def _headline(self) -> str:
        if not self.sent:
            return "Nothing was sent: this is what would be sent. Add --send (in Python: send=True) to send it."
        if self.unchanged:
            return f"The repository already held exactly these files; nothing changed (commit {self.commit})."
        return f"Sent, as commit {self.commit}."
