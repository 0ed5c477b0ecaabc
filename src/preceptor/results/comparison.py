"""Finished runs, or evaluations, side by side, as `compare.json` holds them."""

from typing import Any

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.result import Evaluation
from preceptor.results.run import RunSummary


class RunSide(Frozen):
    """One of the runs that are compared, or a folder that holds an evaluation alone."""

    name: str
    """For tables and figures; no two sides have the same."""
    summary: RunSummary | None
    """None of a folder that holds an evaluation alone, and of a run that is not finished."""
    recipe: dict[str, Any] | None
    """Every setting that has a value; None of a folder that holds an evaluation alone."""
    constitution: str | None
    """Text of the file; None where there is none, or it cannot be found any more."""
    evaluation: Evaluation | None
    """Its own `evaluation.json`, where there is one."""


class Setting(Frozen):
    """A setting in which the sides differ."""

    key: str
    """Dotted, as one would set it: "rl.learning_rate"."""
    values: tuple[str | None, ...]
    """In the order of the sides, as text; None where a side has no such setting."""


class ResultRow(Frozen):
    """One measure of every side."""

    measure: str
    """With its unit: "held-out score, gain", "KL, nats", "judge calls"."""
    values: tuple[Estimate | float | None, ...]
    """In the order of the sides; None where it was not measured."""
    digits: int = 2
    """Places after the decimal point; thousands are marked off where there are none."""
    signed: bool = False
    """Whether a plus is written before what is above 0: for gains and differences."""
    percent: bool = False
    """Whether it is a share, shown as a percentage of whole points."""


class RunDifference(Frozen):
    """Two sides against each other by one measure, on the prompts of both, paired by prompt."""

    name: str
    against: str
    measure: str
    """"held-out score", "win rate", ..."""
    difference: Estimate
    """The measure of `name` less that of `against`, with its 95% interval over prompts."""
    p_value: float | None
    """Two-sided: sign flips of the prompts' differences. None with fewer than three prompts."""
    p_holm: float | None
    """After Holm's correction over all differences of this comparison."""

    @property
    def significant(self) -> bool:
        """Whether p_holm is below 0.05 and the interval leaves 0 out."""
        low, high = self.difference.low, self.difference.high
        apart = low is not None and high is not None and (low > 0 or high < 0)
        return apart and self.p_holm is not None and self.p_holm < 0.05


class ConstitutionVersion(Frozen):
    """A text that one or several sides were judged by; sides with the same text share one."""

    title: str
    """Name, version and the beginning of the hash."""
    text: str | None
    """None where the file cannot be found any more."""
    sides: tuple[str, ...]
    """Names of the sides that used it."""
    note: str | None = None
    """What a reader should know of it, such as that the file has changed since the run."""


class ComparedRuns(Frozen):
    """All that the report shows, and what `compare.json` holds."""

    sides: tuple[RunSide, ...]
    settings: tuple[Setting, ...]
    """Only what differs."""
    results: tuple[ResultRow, ...]
    differences: tuple[RunDifference, ...]
    """Every two sides that have held-out prompts in common; empty where none have."""
    constitutions: tuple[ConstitutionVersion, ...]
    """In the order in which the sides first use them: the report shows each one's difference from the one before, with
    the results of its sides."""
    notes: tuple[str, ...] = ()
    """What a reader should know before believing the table: prompts that differ, runs that are not finished."""
