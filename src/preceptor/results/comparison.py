"""Finished runs, or evaluations, side by side, as in `compare.json`."""

from collections.abc import Sequence
from typing import ClassVar

from preceptor.core.numbers import estimate, listed, number, p_value, percent, share
from preceptor.core.types import Frozen, JsonObject
from preceptor.display.table import Column, Table
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.result import Evaluation
from preceptor.results.arms import of_run
from preceptor.results.base import ReportedResult
from preceptor.results.run import RunSummary

_SETTINGS_NAMED = 4
"""How many settings the headline names at most."""


class RunSide(Frozen):
    """One of the runs that are compared, or a folder that holds an evaluation alone."""

    name: str
    """For tables and figures; no two sides have the same."""
    summary: RunSummary | None
    """None for a folder that holds only an evaluation, and for an unfinished run."""
    recipe: JsonObject | None
    """Every setting that has a value; None for a folder that holds only an evaluation."""
    constitution: str | None
    """Text of the constitution's file; None if there is none, or the file is gone."""
    evaluation: Evaluation | None
    """Its own `evaluation.json`, if there is one."""


class Setting(Frozen):
    """A setting in which the sides differ."""

    key: str
    """Dotted, as for `--set`: "rl.learning_rate"."""
    values: tuple[str | None, ...]
    """As text, in the order of the sides; None where a side has no such setting."""


class ResultRow(Frozen):
    """One measure of every side."""

    measure: str
    """With its unit: "held-out score, gain", "KL, nats", "judge calls"."""
    values: tuple[Estimate | float | None, ...]
    """In the order of the sides; None where it was not measured."""
    digits: int = 2
    """Places after the decimal point; whole numbers get a thousands separator."""
    signed: bool = False
    """Whether positive values get a plus sign: for gains and differences."""
    percent: bool = False
    """Whether it is a share, shown as a percentage of whole points."""

    @property
    def texts(self) -> list[str]:
        """The values as they are shown, each with its interval."""
        return [self._text(value) for value in self.values]

    def _text(self, value: Estimate | float | None) -> str:
        if isinstance(value, Estimate):
            return share(value) if self.percent else estimate(value, self.digits, self.signed)
        return percent(value) if self.percent else number(value, self.digits, self.signed)


class RunDifference(Frozen):
    """Two sides against each other by one measure, on the prompts of both, paired by prompt."""

    name: str
    against: str
    measure: str
    """"held-out score", "win rate", ..."""
    difference: Estimate
    """The measure of `name` minus that of `against`, with its 95% interval over prompts."""
    p_value: float | None
    """Two-sided: sign flips of the prompts' differences. None with fewer than three prompts."""
    p_holm: float | None
    """After Holm's correction over all differences of this comparison."""

    @property
    def significant(self) -> bool:
        """Whether p_holm is below 0.05 and the interval excludes 0."""
        low, high = self.difference.low, self.difference.high
        apart = low is not None and high is not None and (low > 0 or high < 0)
        return apart and self.p_holm is not None and self.p_holm < 0.05


class ConstitutionVersion(Frozen):
    """The text of a constitution that judged one or more sides; sides with the same text share one version."""

    title: str
    """Name, version and the first digits of the hash."""
    text: str | None
    """None if the file is gone."""
    sides: tuple[str, ...]
    """Names of the sides that used it."""
    note: str | None = None
    """What a reader should know about it, such as that the file has changed since the run."""


class ComparisonResult(ReportedResult):
    """Finished runs, or evaluations, side by side.

    Examples:
        >>> result = ComparisonResult.load("comparisons/one-vs-two")  # doctest: +SKIP
        >>> result.differences[0].significant, result.headline  # doctest: +SKIP
    """

    FILE: ClassVar[str] = "compare.json"
    REPORT: ClassVar[str] = "compare.html"

    sides: tuple[RunSide, ...]
    settings: tuple[Setting, ...]
    """Only the settings that differ."""
    results: tuple[ResultRow, ...]
    differences: tuple[RunDifference, ...]
    """Every pair of sides with held-out prompts in common; empty if there is none."""
    constitutions: tuple[ConstitutionVersion, ...]
    """In the order in which the sides first use them. The report shows how each differs from the one before, with the
    results of its sides."""
    notes: tuple[str, ...] = ()
    """What a reader should know before believing the table: differing prompts, unfinished runs."""

    @property
    def headline(self) -> str:
        """Which side is ahead and whether by more than chance, then which settings differ."""
        keys = [setting.key for part in self.settings_by_reach for setting in part]
        more = [f"{len(keys) - _SETTINGS_NAMED} more"] if len(keys) > _SETTINGS_NAMED else []
        differ = f"They differ in {listed([*keys[:_SETTINGS_NAMED], *more])}." if keys else "No setting differs."
        return f"{_who_is_ahead(self)} {differ}"

    @property
    def settings_by_reach(self) -> tuple[list[Setting], list[Setting]]:
        """The settings that every side has, and those that only some methods have."""
        common = [setting for setting in self.settings if None not in setting.values]
        return common, [setting for setting in self.settings if None in setting.values]

    @property
    def warnings(self) -> list[str]:
        """What a reader should know before believing the table."""
        reasons = list(self.notes)
        for side in self.sides:
            reasons += [f"{side.name}: {reason}." for reason in (() if side.summary is None else of_run(side.summary))]
            if side.evaluation is not None and side.evaluation.judge_trained:
                reasons.append(f"{side.name}: its win rates are by a judge that trained one of the policies.")
        return reasons

    def table(self) -> Table:
        """Results and the settings that differ, a column for each run."""
        sides = [Column(side.name) for side in self.sides]
        settings = [
            (setting.key, *("" if value is None else value for value in setting.values)) for setting in self.settings
        ]
        several = len(self.constitutions) > 1
        versions = [
            f"constitution {version.title}: {', '.join(version.sides)}" for version in self.constitutions if several
        ]
        return Table(
            [Column(""), *sides],
            [(row.measure, *row.texts) for row in self.results],
            title="95% intervals",
            more=[Table([Column("settings that differ"), *sides], settings)] if settings else [],
            notes=[*map(_difference, self.differences), *versions, *self.notes],
        )


def _difference(pair: RunDifference) -> str:
    beyond = "beyond chance" if pair.significant else "may be chance"
    return (
        f"{pair.measure}, {pair.name} minus {pair.against}: {estimate(pair.difference, signed=True)}, corrected p "
        f"{p_value(pair.p_holm)}: {beyond}"
    )


def _who_is_ahead(compared: ComparisonResult) -> str:
    if not compared.differences:
        return f"These {len(compared.sides)} cannot be compared: no two share measured prompts."
    measure = compared.differences[0].measure
    by_it = [pair for pair in compared.differences if pair.measure == measure]
    if len(by_it) == 1:
        return _two(by_it[0])
    leads = {name: sum(lead for lead, _ in _leads(by_it, name)) for pair in by_it for name in (pair.name, pair.against)}
    best = max(leads, key=lambda name: leads[name])
    level = [
        pair.against if pair.name == best else pair.name for _, pair in _leads(by_it, best) if not pair.significant
    ]
    if not level:
        return f"{best} is ahead of every other by the {measure}, beyond chance."
    return f"{best} comes first by the {measure}; it cannot be distinguished from {listed(level)}."


def _two(pair: RunDifference) -> str:
    by = f"{estimate(pair.difference, signed=True)}"
    if not pair.significant:
        return f"No difference beyond chance was found between {pair.name} and {pair.against}: {pair.measure} {by}."
    ahead = "ahead of" if pair.difference.value > 0 else "behind"
    return f"{pair.name} is {ahead} {pair.against} by the {pair.measure}, beyond chance: {by}."


def _leads(differences: Sequence[RunDifference], name: str) -> list[tuple[float, RunDifference]]:
    """By how much a side is ahead of each side that it was compared with."""
    signs = [(1 if pair.name == name else -1, pair) for pair in differences if name in (pair.name, pair.against)]
    return [(sign * pair.difference.value, pair) for sign, pair in signs]
