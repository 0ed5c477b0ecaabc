"""What every table of a reproduction is, and what it is given to run.

A table is one class. It says what data it needs and by which judges it wants people's comparisons labelled, and `run`
makes its rows. All tables of a folder share one audit for each task and one reward model for each set of labels, so
nothing is judged or trained twice.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from preceptor.backends.connection import Connection
from preceptor.core.hashing import content_hash
from preceptor.core.progress import Progress
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.paper.data import PaperData, write_people
from preceptor.methods.paper.numbers import Task
from preceptor.methods.paper.scales import Scale
from preceptor.results.audit import AuditResult
from preceptor.results.reproduction import Findings
from preceptor.store.files import write_rows, writing
from preceptor.store.ledger import copy_ledger
from preceptor.store.preference_row import PreferenceRow
from preceptor.store.rows import read_raw_rows
from preceptor.store.shards import LEDGER
from preceptor.tasks.audit import audit
from preceptor.tasks.label import label

Judged = Mapping[Task, Sequence[JudgeSpec]]
"""By whom each task's comparisons are labelled."""
MOST_FAILURES = 0.5
"""Labelling stops when a larger share fails: a small judge that gives reasons fails often, a server that is down
always."""


@dataclass(frozen=True)
class Setup:
    """What a reproduction is made with."""

    policy: str
    """Model string of the policy, which reward models start from too."""
    judges: tuple[str, ...]
    """Model strings: the labeller first, the smallest last."""
    data: PaperData
    scale: Scale
    seed: int = 0
    connection: Connection | None = None
    held_out: str | None = None
    """Model string of a judge that labels nothing, and measures policies; None for the second judge."""

    @property
    def measured_by(self) -> str:
        """The judge that chooses checkpoints and compares policies: one that does not label, if there is one."""
        return self.held_out or (*self.judges, self.labeller)[1]

    @property
    def labeller(self) -> str:
        """The judge that labels, the paper's PaLM 2 L."""
        return self.judges[0]


class PaperTable(ABC):
    """One table of the paper. A new one is a class and its line in `registry`."""

    name: ClassVar[str]
    """On the command line, and of its folder."""
    title: ClassVar[str]
    source: ClassVar[str]
    """Where it is in the paper, such as "Table 2"."""
    columns: ClassVar[tuple[str, ...]]
    """What a row's `cells` are."""

    @abstractmethod
    def lacks(self, setup: Setup) -> str | None:
        """What it needs and is not there, for a sentence that begins with "needs"; None if it can be run."""

    def judged(self, setup: Setup) -> Judged:
        """The judges whose labels of people's comparisons it uses; only for tasks that have such comparisons."""
        del setup
        return {}

    def planned(self, setup: Setup) -> tuple[str, ...]:
        """What `run` will train and measure, in sentences; only for tables that train policies.

        Raises: UsageError when the scale's settings cannot be run here.
        """
        del setup
        return ()

    def is_current(self, work: "Work") -> bool:
        """Whether the rows that an earlier process left are still those that `run` would give."""
        del work
        return True

    @abstractmethod
    def run(self, work: "Work") -> Findings:
        """Its rows, from what earlier processes left in its folder and what is measured now.

        Raises: PreceptorError when a model cannot be asked or trained.
        """


@dataclass(frozen=True)
class Work:
    """What a table is given to run."""

    setup: Setup
    root: Path
    """The folder of the reproduction."""
    folder: Path
    """The table's own folder in it, which exists."""
    progress: Progress
    judged: Judged
    """What all tables together want labelled."""
    audits: "dict[Task, AuditResult]" = field(default_factory=dict["Task", "AuditResult"])
    """Those that this process has made; all tables share it."""

    def people(self, task: Task) -> Path:
        """The folder with people's comparisons of a task: `training.jsonl` to learn from, `audited.jsonl` with the
        first of these, and `held_out.jsonl` of other prompts.
        """
        file, into = self.setup.data.file(task, "preferences"), self.root / "data" / task
        assert file is not None  # the table checked
        write_people(task, file, self.setup.scale, self.setup.seed, into)
        return into

    def audit(self, task: Task) -> AuditResult:
        """All judges that the tables want for a task, measured on `audited.jsonl` of its people."""
        if task not in self.audits:
            self.progress.note(f"judging people's comparisons: {task}")
            self.audits[task] = audit(
                self.people(task) / "audited.jsonl",
                judges=list(self.judged[task]),
                out=self.root / "audits" / task,
                connection=self.setup.connection,
                progress=self.progress,
            )
        return self.audits[task]

    def labels(self, task: Task, judge: JudgeSpec) -> list[PreferenceRow]:
        """A judge's label of each audited comparison that it answered."""
        audited = self.audit(task)[judge]
        rows = read_raw_rows(self.root / "audits" / task / "judgements.jsonl")
        return [
            PreferenceRow.read(row, place)
            for place, row in rows
            if isinstance(row, dict)
            and "p_chosen" in row
            and (row["judge"], row["constitution"], row["variant"])
            == (audited.judge, audited.constitution, audited.variant)
        ]

    def labels_file(self, task: Task, judge: JudgeSpec) -> Path:
        """A judge's labels of all of `training.jsonl`, as a file to train on. What the audit asked is not repeated."""
        name = f"{task}-{content_hash(judge.model_dump(mode='json'))[:12]}"
        folder, audited = self.root / "labels", self.setup.scale.audited.get(task, 1.0)
        with writing(folder):
            folder.mkdir(exist_ok=True)
        if audited == 1.0:
            path = folder / f"{name}.jsonl"
            if not path.exists():
                write_rows(path, [label.wire() for label in self.labels(task, judge)])
            return path
        self.audit(task)
        copy_ledger(self.root / "audits" / task / LEDGER, folder / name / LEDGER)
        self.progress.note(f"labelling people's comparisons: {task}, {judge.model}, {judge.way}")
        label(
            self.people(task) / "training.jsonl",
            judges=judge,
            out=folder / name,
            max_failure_rate=MOST_FAILURES,
            connection=self.setup.connection,
            progress=self.progress,
        )
        return folder / name / "preferences.jsonl"
