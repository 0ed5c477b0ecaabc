"""What the reproduction of a paper returns: its tables, each number beside the paper's own."""

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from preceptor.core.numbers import dollars, estimate, number, percent, share
from preceptor.core.types import Frozen, JsonObject
from preceptor.display.table import Column, Table
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.verdict import verdict_on
from preceptor.results.base import ReportedResult, Tabular

Unit = Literal["share", "difference", "number", "dollars", "seconds"]
"""`share` is between 0 and 1, and `difference` that of two shares; both are shown in per cent."""
Status = Literal["done", "not run", "to come"]
NO_DATA = "not measured"


class PaperRow(Frozen):
    """One number of a table, measured here, beside the paper's."""

    cells: tuple[str, ...]
    """What the number is about: a text for each column of its table."""
    ours: Estimate | None = None
    """None if it was not measured; `remark` says why."""
    paper: float | None = None
    """The paper's number, in the same unit; None if the paper has none."""
    unit: Unit = "share"
    chance: float | None = None
    """What guessing would give, if that is known: one half for agreement."""
    remark: str = ""
    """Why there is no number, or a reason to doubt it."""

    @property
    def verdict(self) -> str:
        """What the number shows, in a word or two; empty where there is nothing to show."""
        if self.ours is None:
            return NO_DATA if self.remark else ""
        if self.chance is None:
            return ""
        if self.ours.interval is None:
            return "too few rows"
        found = verdict_on(self.ours, self.chance)
        return {"better": "above chance", "worse": "below chance"}.get(found, "within chance")

    @property
    def ours_in_words(self) -> str:
        """The number measured here, with its interval; empty if there is none."""
        return "" if self.ours is None else _shown(self.ours, self.unit)

    @property
    def paper_in_words(self) -> str:
        """The paper's number; empty if it has none."""
        return "" if self.paper is None else _of_paper(self.paper, self.unit)


class Findings(Frozen):
    """What running a table gave."""

    rows: tuple[PaperRow, ...]
    notes: tuple[str, ...] = ()
    """How it differs from the paper's, sentence by sentence."""
    warnings: tuple[str, ...] = ()
    """Reasons to doubt its numbers."""


class ReproducedTable(Frozen):
    """One table of the paper."""

    name: str
    """As on the command line."""
    title: str
    source: str
    """Where it is in the paper, such as "Table 2"."""
    columns: tuple[str, ...]
    """Names of the columns that say what a number is about."""
    status: Status
    """`to come` if the process ended before its turn."""
    needs: str = ""
    """The data that it lacks, if it was not run."""
    findings: Findings = Findings(rows=())
    seconds: float = 0.0

    @property
    def in_words(self) -> str:
        """Its status in a sentence."""
        if self.status == "not run":
            return f"Not run: needs {self.needs}."
        return "Not run yet: start the same work again." if self.status == "to come" else ""

    def table(self) -> Table:
        """The rows, ours beside the paper's."""
        named = [Column(name) for name in self.columns]
        found = self.findings
        return Table(
            (*named, Column("here", "right"), Column("n", "right"), Column("paper", "right"), Column("")),
            [(*row.cells, row.ours_in_words, *_n(row), row.paper_in_words, _said(row)) for row in found.rows],
            title=f"{self.title} ({self.source})",
            warnings=found.warnings,
            notes=[*([self.in_words] if self.in_words else []), *found.notes],
        )


class PlannedTable(Frozen):
    """What one table would run."""

    name: str
    needs: str = ""
    """The data that it lacks; empty if it can be run."""
    judged: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """By task, the judges that would label people's comparisons, and how each is asked; tables share these labels."""
    trains: tuple[str, ...] = ()
    """What would be trained and measured, in sentences; tables share these policies."""


class ReproductionPlan(Tabular):
    """What a reproduction would run; see `plan_reproduction`."""

    scale: str
    tables: tuple[PlannedTable, ...]

    def table(self) -> Table:
        """A line for each table, and below them what would be trained."""
        rows = [(table.name, f"needs {table.needs}" if table.needs else _labels(table)) for table in self.tables]
        trains = dict.fromkeys(sentence for table in self.tables for sentence in table.trains)
        return Table((Column("table"), Column("labels of people's comparisons")), rows, notes=[*trains])


def _labels(table: PlannedTable) -> str:
    return "; ".join(f"{task}: {', '.join(judges)}" for task, judges in table.judged.items()) or "none"


class ReproductionResult(ReportedResult):
    """The tables of a paper, measured with other models and data.

    Examples:
        >>> result = ReproductionResult.load("reproductions/rlaif-paper-tiny")  # doctest: +SKIP
        >>> result["alignment"].findings.rows[0].ours  # doctest: +SKIP
    """

    FILE: ClassVar[str] = "reproduction.json"

    paper: str
    """Authors, title and version."""
    scale: str
    policy: str
    judges: tuple[str, ...]
    """Model strings, the labeller first."""
    seed: int
    data: dict[str, str]
    """What each file of data is used for, by its path in the folder of data."""
    tables: tuple[ReproducedTable, ...]
    environment: JsonObject

    def __getitem__(self, name: str) -> ReproducedTable:
        """The table of that name.

        Raises: KeyError if it is not among those asked for.
        """
        found = next((table for table in self.tables if table.name == name), None)
        if found is None:
            raise KeyError(f'no table "{name}"; there are {", ".join(table.name for table in self.tables)}')
        return found

    @property
    def done(self) -> tuple[ReproducedTable, ...]:
        """The tables that were run."""
        return tuple(table for table in self.tables if table.status == "done")

    @property
    def headline(self) -> str:
        """How many tables were run, and how many of their numbers chance does not explain."""
        tested = [row for table in self.done for row in table.findings.rows if row.chance is not None and row.ours]
        beyond = sum(row.verdict in ("above chance", "below chance") for row in tested)
        ran = f"{len(self.done)} of {len(self.tables)} tables were run"
        if not tested:
            return f"{ran}."
        return f"{ran}; {beyond} of {len(tested)} numbers that can be compared with chance differ from it."

    @property
    def warnings(self) -> dict[str, tuple[tuple[str, ...], str]]:
        """For each table, the warnings that no table above it has, and a sentence on those that one has."""
        said, by_table = set[str](), dict[str, tuple[tuple[str, ...], str]]()
        for table in self.tables:
            every = table.findings.warnings
            new = tuple(warning for warning in every if warning not in said)
            above = len(every) - len(new)
            reasons = "1 reason to doubt it stands" if above == 1 else f"{above} reasons to doubt it stand"
            by_table[table.name] = new, f"{reasons} above, at other tables." if above else ""
            said.update(new)
        return by_table

    def table(self) -> Table:
        """All tables, one below the other; a warning that several have is printed once."""
        shown: list[Table] = []
        for table in self.tables:
            warnings, above = self.warnings[table.name]
            plain = table.table()
            shown.append(replace(plain, warnings=warnings, notes=[*([above] if above else []), *plain.notes]))
        return Table((), (), headline=self.headline, more=shown)


def _shown(e: Estimate, unit: Unit) -> str:
    if unit == "share":
        return share(e)
    if unit == "difference":
        return estimate(Estimate(value=100 * e.value, low=_times(e.low), high=_times(e.high), n=e.n), 0, signed=True)
    return dollars(e.value, 4) if unit == "dollars" else estimate(e, _digits(e.value))


def _times(end: float | None) -> float | None:
    return None if end is None else 100 * end


def _of_paper(value: float, unit: Unit) -> str:
    if unit == "share":
        return percent(value, 0 if round(100 * value, 6).is_integer() else 1)
    if unit == "difference":
        return number(100 * value, 0, signed=True)
    return dollars(value) if unit == "dollars" else number(value, _digits(value))


def _digits(value: float) -> int:
    return 0 if abs(value) >= 100 else 2


def _n(row: PaperRow) -> tuple[str]:
    return ("" if row.ours is None else f"{row.ours.n:,}",)


def _said(row: PaperRow) -> str:
    return "; ".join(filter(None, (row.verdict, row.remark)))
