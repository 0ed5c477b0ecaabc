"""Drafts: an edited constitution is checked, tried on a few rows, and saved as a new version. No file is replaced."""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.hashing import unit_hash
from preceptor.core.progress import Silence
from preceptor.core.types import JsonObject
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.judging.specs import JudgeSpec
from preceptor.store.files import write_text, writing
from preceptor.store.for_people import question
from preceptor.store.outcomes import Outcomes
from preceptor.store.selection import NOT_SAID
from preceptor.studio.folders import Work
from preceptor.studio.log import LOG
from preceptor.tasks.label import label

_LONGEST = 200_000
"""Characters of a draft."""
MOST_ROWS = 100
_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def check_draft(text: str, folder: Path) -> tuple[Constitution, Path]:
    """Writes a draft to a file named by its hash and reads it as every judge would.

    Raises: UsageError saying what is wrong with it.
    """
    if len(text) > _LONGEST:
        raise UsageError(f"the draft has {len(text)} characters; at most {_LONGEST} are expected")
    drafts = folder / "drafts"
    with writing(drafts):
        drafts.mkdir(parents=True, exist_ok=True)
    unchecked = drafts / f"unchecked-{threading.get_ident()}.toml"
    write_text(unchecked, text.replace("\r\n", "\n"))
    try:
        constitution = load_constitution(str(unchecked))
    except UsageError as error:
        unchecked.unlink()
        raise UsageError(str(error).replace(str(unchecked), "the draft")) from error
    path = drafts / f"{constitution.hash}.toml"
    unchecked.replace(path)
    return constitution, path


def save_version(text: str, folder: Path, known: Sequence[tuple[str, str, str]]) -> Path:
    """Saves a draft as a new version.

    Args:
        known: name, version and hash of every version that is known.

    Returns: the new file.
    Raises: UsageError if the draft is wrong, or its name and version belong to another text.
    """
    constitution, draft = check_draft(text, folder)
    taken = {hash for name, version, hash in known if (name, version) == (constitution.name, constitution.version)}
    if taken - {constitution.hash}:
        raise UsageError(
            f"{constitution.name} {constitution.version} exists with another text; raise `version` in the draft"
        )
    file = (
        f"{_NAME.sub('-', constitution.name).strip('.-') or 'constitution'}-{_NAME.sub('-', constitution.version)}.toml"
    )
    path = folder / file
    if path.exists() and load_constitution(str(path)).hash != constitution.hash:
        raise UsageError(f"{path}: exists with another text; raise `version` in the draft")
    write_text(path, text.replace("\r\n", "\n"))
    draft.unlink(missing_ok=True)
    return path


@dataclass
class Trial:
    """A draft that is tried on some rows, in a thread of its own."""

    number: int
    constitution: Constitution
    labels: Path
    """Its folder of labels, written as `preceptor label` writes them."""
    source: Work
    """The folder whose rows it is tried on."""
    rows: int
    status: Literal["running", "done", "failed"] = "running"
    problem: str = ""


class Trials:
    """The trials of this server, one at a time, since a judge on this machine needs all of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._trials: dict[int, Trial] = {}
        self._lock = threading.Lock()
        self._judging = threading.Lock()

    def start(
        self, draft: tuple[Constitution, Path], judge: JudgeSpec, source: Work, rows: int, budget: float
    ) -> Trial:
        """Begins a trial.

        Args:
            rows: how many rows of the source are judged, drawn by a hash of their ids.
            budget: the most dollars that it may cost.

        Raises: UsageError if the source holds no rows.
        """
        chosen = sample(source, rows)
        constitution, path = draft
        with self._lock:
            number = 1 + max((int(p.name) for p in self._folder.glob("[0-9]*") if p.name.isdigit()), default=0)
            with writing(self._folder):
                (self._folder / str(number)).mkdir(parents=True)
            trial = Trial(number, constitution, self._folder / str(number), source, len(chosen))
            self._trials[number] = trial
        spec = judge.model_copy(update={"constitution": str(path)})
        threading.Thread(target=self._run, args=(trial, spec, chosen, budget), daemon=True).start()
        return trial

    def find(self, number: int) -> Trial | None:
        """The trial of this number; None if this server did not begin it."""
        return self._trials.get(number)

    def _run(self, trial: Trial, judge: JudgeSpec, rows: Sequence[JsonObject], budget: float) -> None:
        try:
            with self._judging:
                label(rows, judges=[judge], out=trial.labels, budget=budget, max_failure_rate=1.0, progress=Silence())
            trial.status = "done"
        except PreceptorError as error:
            trial.problem, trial.status = str(error), "failed"
        except Exception as error:
            trial.problem, trial.status = f"a bug in preceptor: {type(error).__name__}: {error}", "failed"
            LOG.exception("a trial of a draft")


def sample(source: Work, rows: int) -> list[JsonObject]:
    """Comparisons of a folder of labels with what people said, drawn by a hash of their ids.

    Raises: UsageError if there are none.
    """
    if not 1 <= rows <= MOST_ROWS:
        raise UsageError(f"expected 1 to {MOST_ROWS} rows, got {rows}")
    drawn = sorted(Outcomes(source.path).preference_rows(), key=lambda row: unit_hash("trial", row.id))[:rows]
    if not drawn:
        raise UsageError(f"{source.name}: holds no labelled comparison")
    return [question(row, NOT_SAID) | ({} if row.human_p_a is None else {"label": row.human_p_a}) for row in drawn]
