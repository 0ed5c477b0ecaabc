"""Publishing labels or a run on the Hugging Face Hub."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.core.progress import Progress
from preceptor.display.progress import shown
from preceptor.results.label import PARQUET, LabelResult
from preceptor.results.publication import Publication, PublishedFile
from preceptor.runs.result import RunResult
from preceptor.store.files import MANIFEST, check_folder
from preceptor.store.hub import sending
from preceptor.store.hub.outgoing import Findings, checked, is_text
from preceptor.store.hub.sending import Repository, RepositoryKind, Sent
from preceptor.store.lock import exclusive
from preceptor.store.masking import MISSED
from preceptor.store.outcomes import Outcomes
from preceptor.store.output import output_folder
from preceptor.store.own_folder import kind_of

_NAME = re.compile(r"(?:hf:)?([\w-][\w.-]*/[\w-][\w.-]*)")
_LABELS = ("README.md", PARQUET, "summary.json", "label.json", "constitutions")
_OF_A_RUN = ("summary.json", "report.html", "report.md")
_IN_THE_CARD = "path/to/this/folder"
"""Where the card of a dataset shows how to load it."""


@dataclass(frozen=True)
class _Published:
    """What a folder holds for others."""

    folder: Path
    kind: RepositoryKind
    sign: str
    """A file that tells its repository from others."""
    files: dict[str, Path]
    """The file for each path in the repository."""
    edited: Mapping[str, Callable[[str], str]] = field(default_factory=dict[str, Callable[[str], str]])

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the folder holds besides."""
        sent = {path.relative_to(self.folder).parts[0] for path in self.files.values()}
        return tuple(sorted({path.name for path in self.folder.iterdir()} - sent))


def publish(
    folder: LabelResult | RunResult | str | Path,
    name: str,
    *,
    send: bool = False,
    public: bool = False,
    mask: bool = False,
    also: Sequence[str] = (),
    progress: Progress | None = None,
) -> Publication:
    """Sends labels (as a dataset) or a finished run's kept checkpoint (as a model) to the Hugging Face Hub, in one
    commit. Without `send`, nothing is sent and no request is made: the result says what would be.

    Of labels: the card, `preferences.parquet`, the summary, `label.json` and the constitutions. Of a run: the kept
    checkpoint with its card, the summary and the report. Ledgers, logs, batches and states stay here.

    Texts are checked by rules for secrets and personal data; a secret is an error unless `mask` replaces it.

    Examples:
        >>> publish("labels", "me/preferences")  # doctest: +SKIP
        >>> publish("labels", "me/preferences", send=True)  # doctest: +SKIP

    Args:
        folder: the labels or the run, or their folder.
        name: the repository, "ORG/NAME"; it is created if there is none.
        send: send it; the token comes from `HF_TOKEN` or `hf auth login`.
        public: let everybody read it; otherwise the repository is private.
        mask: replace secrets and personal data that rules find, as in "[EMAIL 1]", in what is sent.
        also: further files or folders within the folder to send, for instance "failures.jsonl".
        progress: by default a bar on a terminal, and lines elsewhere.

    Raises: UsageError when the folder holds neither, is not finished or holds a secret, or the repository holds
        something else; PreceptorError when a file is damaged, or the hub refuses or cannot be reached.
    """
    repository = Repository(_checked_name(name), "dataset", private=not public)
    path = folder.path if isinstance(folder, LabelResult | RunResult) else Path(folder)
    kind = _kind(path)
    with shown(progress) as display, exclusive(path):
        display.stage("checking the texts")
        published = _labels(path, repository.name) if kind == "labels" else _run(path)
        repository = replace(repository, kind=published.kind)
        further = _within(path, also)
        published = replace(published, files=published.files | further)
        scratch = output_folder(None)
        ready, findings = checked(published.files, scratch.path, mask=mask, edited=published.edited)
        sent = None
        if send:
            display.stage(f"sending to {repository.url}")
            sent = sending.send(repository, ready, sign=published.sign, message="Published by preceptor")
        warnings = (*_finds(findings, mask), *(_unchecked(name) for name in further if not is_text(name)))
        return _result(repository, published, ready, findings, warnings, sent)


def _checked_name(name: str) -> str:
    found = _NAME.fullmatch(name)
    if found is None:
        raise UsageError(f'"{name}": expected the name of a repository on the Hugging Face Hub as ORG/NAME')
    return found[1]


def _kind(folder: Path) -> str:
    """What a folder holds that can be published. Raises: UsageError if it holds neither labels nor a run."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; name a folder of labels or of a run")
    kind = kind_of(folder)
    if kind not in ("labels", "run"):
        held = f"it holds other work ({kind})" if kind else "preceptor did not write it"
        raise UsageError(f"{folder}: is not a folder of labels or of a run: {held}")
    return kind


def _labels(folder: Path, name: str) -> _Published:
    unfinished = (
        f"{folder}: this labelling is not finished; run `preceptor label` with the same folder again, then publish"
    )
    if not all((folder / each).is_file() for each in ("README.md", PARQUET, LabelResult.FILE)):
        raise UsageError(unfinished)
    result = LabelResult.load(folder)
    if sum(1 for _ in Outcomes(folder).preference_rows()) != len(result):
        raise UsageError(unfinished)
    edited = {"README.md": lambda text: text.replace(_IN_THE_CARD, name)}
    return _Published(folder, "dataset", "label.json", _within(folder, _LABELS), edited)


def _run(folder: Path) -> _Published:
    run = RunResult.load(folder)
    kept = Path(run.best)
    check_folder(kept)
    files = {path.relative_to(kept).as_posix(): path for path in _files(kept) if path.name != MANIFEST}
    return _Published(folder, "model", "summary.json", _within(folder, _OF_A_RUN) | files)


def _within(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Files within a folder, and those of folders in it, by their paths in it.

    Raises: UsageError for a name of nothing in it, and a link to something outside.
    """
    files: dict[str, Path] = {}
    for name in names:
        path = folder / name
        for each in _files(path) if path.is_dir() else [path]:
            if ".." in Path(name).parts or not each.is_file() or not each.resolve().is_relative_to(folder.resolve()):
                raise UsageError(f"{folder}: there is no {name} in it that can be published")
            files[each.relative_to(folder).as_posix()] = each
    return files


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _finds(findings: Findings, mask: bool) -> list[str]:
    """What the rules found, in words."""
    if not findings.kinds:
        return []
    counted = ", ".join(f"{number} {kind}" for kind, number in sorted(findings.kinds.items()))
    done = "it is replaced in what is sent" if mask else "it is sent as it is unless you have it masked"
    return [f"rules find what looks like personal data ({counted}; first in {findings.first}): {done}. {MISSED}"]


def _unchecked(name: str) -> str:
    return f"{name} is not text: what it holds was not checked for secrets and personal data"


def _result(
    repository: Repository,
    published: _Published,
    ready: Mapping[str, Path],
    findings: Findings,
    warnings: tuple[str, ...],
    sent: Sent | None,
) -> Publication:
    files = [
        PublishedFile(
            name=name,
            bytes=path.stat().st_size,
            source=published.files[name].relative_to(published.folder).as_posix(),
            changed=path != published.files[name],
        )
        for name, path in sorted(ready.items())
    ]
    return Publication(
        repository=repository.name,
        kind=repository.kind,
        url=repository.url,
        private=repository.private,
        files=tuple(files),
        left_out=published.left_out,
        found=dict(findings.kinds),
        warnings=warnings,
        sent=sent is not None,
        commit=None if sent is None else sent.commit,
        unchanged=sent is not None and not sent.changed,
    )
