"""Runs side by side in the terminal."""

from pathlib import Path

from preceptor.core.numbers import estimate, number, p_value, percent, share
from preceptor.display.table import Column, Table
from preceptor.evaluation.intervals import Estimate
from preceptor.results.comparison import ComparedRuns, ResultRow, RunDifference


def comparison_text(compared: ComparedRuns, out: Path) -> str:
    """The runs' results, where their settings differ, and which differences are more than chance."""
    return f"{comparison_table(compared)}\nreport {out / 'compare.html'}"


def comparison_table(compared: ComparedRuns) -> Table:
    """Results and the settings that differ, a column for each run."""
    sides = [Column(side.name) for side in compared.sides]
    settings = [(each.key, *("" if value is None else value for value in each.values)) for each in compared.settings]
    several = len(compared.constitutions) > 1
    versions = [f"constitution {each.title}: {', '.join(each.sides)}" for each in compared.constitutions if several]
    return Table(
        [Column(""), *sides],
        [(row.measure, *(_value(row, value) for value in row.values)) for row in compared.results],
        title="95% intervals",
        more=[Table([Column("settings that differ"), *sides], settings)] if settings else [],
        notes=[*map(_difference, compared.differences), *versions, *compared.notes],
    )


def _value(row: ResultRow, value: Estimate | float | None) -> str:
    if isinstance(value, Estimate):
        return share(value) if row.percent else estimate(value, row.digits, row.signed)
    return percent(value) if row.percent else number(value, row.digits, row.signed)


def _difference(each: RunDifference) -> str:
    beyond = "beyond chance" if each.significant else "may be chance"
    return (
        f"{each.measure}, {each.name} less {each.against}: {estimate(each.difference, signed=True)}, corrected p "
        f"{p_value(each.p_holm)}: {beyond}"
    )
