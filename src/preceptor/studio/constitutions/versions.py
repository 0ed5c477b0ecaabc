"""Every version of a constitution that is known: from files, from copies kept beside work, from what work recorded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.raters import ConstitutionName
from preceptor.judging.constitution import Constitution, load_constitution, shipped_constitutions
from preceptor.judging.kept import FOLDER, constitution_toml
from preceptor.results.label import LabelResult
from preceptor.results.run import RunSummary
from preceptor.results.tuning import TuneResult, in_words
from preceptor.runs.directory import RunDirectory
from preceptor.studio.folders import Library, Work

SHIPPED = "ships with preceptor"
_MOST_FILES = 500
"""TOML files that are tried in one folder."""


@dataclass(frozen=True)
class Use:
    """Work that was judged by a version."""

    work: Work
    what: str
    """What the version did there, in words."""
    summary: RunSummary | None = None
    """The result of a run that was trained by it."""
    result: str | None = None
    """What came of other work, in words."""


@dataclass(frozen=True)
class Version:
    """One version of a constitution."""

    hash: str
    name: str
    version: str
    summary: str
    constitution: Constitution | None = None
    """None if no file holds its text any more."""
    places: tuple[str, ...] = ()
    """Where its text is."""
    uses: tuple[Use, ...] = ()

    @property
    def title(self) -> str:
        """Name, version and the beginning of the hash."""
        return f"{self.name} {self.version} ({self.hash[:8]})"


@dataclass
class _Known:
    """The versions so far, by hash."""

    versions: dict[str, Version] = field(default_factory=dict[str, Version])

    def text(self, constitution: Constitution, place: str) -> None:
        """Records where the text of a version is."""
        known = self.versions.get(constitution.hash) or _version(constitution)
        places = dict.fromkeys((*known.places, place))
        self.versions[constitution.hash] = replace(known, constitution=constitution, places=tuple(places))

    def used(self, constitution: ConstitutionName, use: Use, summary: str = "") -> None:
        """Records work that used a version."""
        known = self.versions.get(constitution.hash) or Version(
            constitution.hash, constitution.name, constitution.version, summary
        )
        self.versions[constitution.hash] = replace(known, uses=(*known.uses, use))


def versions(library: Library, own: Path) -> list[Version]:
    """All versions, by name and version; those that some work used come first.

    Args:
        own: the studio's folder of saved versions.
    """
    known = _Known()
    for constitution in _shipped():
        known.text(constitution, SHIPPED)
    for folder in (*library.folders, *(folder / FOLDER for folder in library.folders), own):
        for path, constitution in _in_folder(folder):
            known.text(constitution, str(path))
    for work in library.works():
        kept = [constitution for path, constitution in _in_folder(work.path / FOLDER) if constitution.hash == path.stem]
        for constitution in kept:
            known.text(constitution, f"{work.name}/{FOLDER}")
        _uses(library, work, kept, known)
    return sorted(known.versions.values(), key=lambda version: (not version.uses, version.name, version.version))


def _version(constitution: Constitution) -> Version:
    return Version(constitution.hash, constitution.name, constitution.version, constitution.summary)


def _in_folder(folder: Path) -> Iterator[tuple[Path, Constitution]]:
    """The constitutions among the TOML files of a folder."""
    try:
        paths = sorted(folder.glob("*.toml"))[:_MOST_FILES]
        marks = [(path, path.stat().st_mtime_ns) for path in paths if path.is_file()]
    except OSError:
        return
    for path, changed in marks:
        constitution = _read(path, changed)
        if constitution is not None:
            yield path, constitution


@lru_cache(maxsize=2000)
def _read(path: Path, _changed: int) -> Constitution | None:
    try:
        return load_constitution(str(path))
    except UsageError:  # a recipe, a file of judges
        return None


@cache
def _shipped() -> tuple[Constitution, ...]:
    return tuple(map(load_constitution, shipped_constitutions()))


def _uses(library: Library, work: Work, kept: Sequence[Constitution], known: _Known) -> None:
    """Records what a folder used, as far as it says so."""
    try:
        if work.kind == "labels":
            file = work.path / LabelResult.FILE
            labels = library.remembered("labels", file, lambda: LabelResult.load(work.path))
            for facts in labels.constitutions:
                use = Use(work, f"labelled {labels.counts.preferences:,} comparisons")
                known.used(facts, use, facts.summary)
        elif work.kind == "run":
            file = work.path / "summary.json"  # missing until the run is finished
            summary = library.remembered("run", file, lambda: RunDirectory.open(work.path).finished())
            if summary is not None and summary.constitution is not None:
                recorded = summary.constitution
                facts = ConstitutionName(name=recorded.name, version=recorded.version, hash=recorded.hash)
                known.used(facts, Use(work, "trained a policy", summary), recorded.summary)
        elif work.kind == "tuning":
            tuned = library.remembered("tuning", work.path / TuneResult.FILE, lambda: TuneResult.load(work.path))
            for wording in tuned.wordings:
                is_best = wording.constitution.hash == tuned.best.hash
                use = Use(work, in_words(wording), result=tuned.headline if is_best else None)
                known.used(wording.constitution, use)
        elif work.kind in ("audit", "evaluation"):
            what = "judged in an audit" if work.kind == "audit" else "judged an evaluation"
            for constitution in kept:
                known.used(_name(constitution), Use(work, what), constitution.summary)
    except PreceptorError:  # unfinished or damaged work is shown where it is listed
        return


def _name(constitution: Constitution) -> ConstitutionName:
    return ConstitutionName(name=constitution.name, version=constitution.version, hash=constitution.hash)


def toml_of(version: Version) -> str | None:
    """The text of a version as its author wrote it, if that file is still there; else as preceptor kept it; None if
    neither is there.
    """
    return None if version.constitution is None else _written(version) or constitution_toml(version.constitution)


def comparable_texts(one: Version, other: Version) -> tuple[str, str] | None:
    """The texts of two versions as their authors wrote them; if one of these is gone, both as preceptor keeps them, so
    that they differ in nothing but what they say. None if a text is not there at all.
    """
    if one.constitution is None or other.constitution is None:
        return None
    written = _written(one), _written(other)
    if written[0] is None or written[1] is None:
        return constitution_toml(one.constitution), constitution_toml(other.constitution)
    return written[0], written[1]


def _written(version: Version) -> str | None:
    """The text as its author wrote it; None if that file is not in the studio's folders."""
    for place in version.places:
        try:
            if place == SHIPPED:
                shipped = files("preceptor.judging.constitutions") / f"{version.name}.toml"
                return shipped.read_text(encoding="utf-8")
            if place.endswith(".toml"):
                return Path(place).read_text(encoding="utf-8")
        except OSError:
            continue
    return None
