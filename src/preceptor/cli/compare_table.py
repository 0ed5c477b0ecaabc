"""Runs side by side in the terminal."""

from pathlib import Path

from rich.table import Table

from preceptor.core.numbers import estimate, number, p_value, percent, share
from preceptor.display.terminal import Terminal
from preceptor.evaluation.intervals import Estimate
from preceptor.reports.compare.page import ComparedRuns, ResultRow, RunDifference


def show_compared(compared: ComparedRuns, out: Path) -> None:
    """Prints what the runs came to, where their settings differ, and which differences are more than chance."""
    console = Terminal()
    console.print(_results(compared))
    if compared.settings:
        console.print(_settings(compared))
    for each in compared.differences:
        console.print(_difference(each), highlight=False)
    if len(compared.constitutions) > 1:
        for version in compared.constitutions:
            console.print(f"constitution {version.title}: {', '.join(version.sides)}", highlight=False)
    for note in compared.notes:
        console.print(note, highlight=False)
    console.print(f"report {out / 'compare.html'}", highlight=False, soft_wrap=True)


def _results(compared: ComparedRuns) -> Table:
    table = Table("", *(side.name for side in compared.sides), title="95 % intervals", title_justify="left")
    for row in compared.results:
        table.add_row(row.measure, *(_value(row, value) for value in row.values))
    return table


def _value(row: ResultRow, value: Estimate | float | None) -> str:
    if isinstance(value, Estimate):
        return share(value) if row.percent else estimate(value, row.digits, row.signed)
    return percent(value) if row.percent else number(value, row.digits, row.signed)


def _settings(compared: ComparedRuns) -> Table:
    table = Table("settings that differ", *(side.name for side in compared.sides))
    for each in compared.settings:
        table.add_row(each.key, *("" if value is None else value for value in each.values))
    return table


def _difference(each: RunDifference) -> str:
    beyond = "beyond chance" if each.significant else "may be chance"
    return (
        f"{each.measure}, {each.name} less {each.against}: {estimate(each.difference, signed=True)}, corrected p "
        f"{p_value(each.p_holm)}: {beyond}"
    )
