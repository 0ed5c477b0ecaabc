"""The report of finished runs, or evaluations, side by side: what was set differently, what came of it, and whether the
difference is more than chance.
"""

import difflib
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from markupsafe import Markup

from preceptor.core.numbers import estimate, listed, number, percent, share
from preceptor.evaluation import words
from preceptor.evaluation.intervals import Estimate
from preceptor.reports.arms.figures import gain_against_kl
from preceptor.reports.arms.page import of_run
from preceptor.reports.figures import GREEN, GREY, Series, forest
from preceptor.reports.templates import markdown, page
from preceptor.results.comparison import ComparedRuns, ConstitutionVersion, ResultRow, RunDifference, Setting

DiffLine: TypeAlias = tuple[Literal["added", "removed", "same", "place"], str]
_SETTINGS_NAMED = 4
"""Settings that the headline names, at most."""


def render_compare(compared: ComparedRuns) -> str:
    """The report as HTML. All text is escaped."""
    runs = {side.name: side.summary for side in compared.sides if side.summary is not None}
    return page(
        "compare/compare.html.jinja",
        **_shared(compared),
        differences=_forest(compared),
        against_kl=gain_against_kl(runs) if len(runs) > 1 else None,
    )


def render_compare_markdown(compared: ComparedRuns) -> str:
    """The report as Markdown. All text is escaped or fenced."""
    return markdown("compare/compare.md.jinja", **_shared(compared))


def shown(row: ResultRow) -> list[str]:
    """The values of a row as text, each with its interval."""
    return [_shown(row, value) for value in row.values]


def _shown(row: ResultRow, value: Estimate | float | None) -> str:
    if isinstance(value, Estimate):
        return share(value) if row.percent else estimate(value, row.digits, row.signed)
    return percent(value) if row.percent else number(value, row.digits, row.signed)


def headline(compared: ComparedRuns) -> str:
    """Which side is ahead and whether by more than chance, then what was set differently, first what all sides set."""
    keys = [setting.key for part in _settings(compared) for setting in part]
    more = [f"{len(keys) - _SETTINGS_NAMED} more"] if len(keys) > _SETTINGS_NAMED else []
    differ = f"They differ in {listed([*keys[:_SETTINGS_NAMED], *more])}." if keys else "No setting differs."
    return f"{_who_is_ahead(compared)} {differ}"


def _who_is_ahead(compared: ComparedRuns) -> str:
    if not compared.differences:
        return f"Whether these {len(compared.sides)} differ cannot be told: no two share measured prompts."
    measure = compared.differences[0].measure
    found = [each for each in compared.differences if each.measure == measure]
    if len(found) == 1:
        return _two(found[0])
    leads = {name: sum(lead for lead, _ in _leads(found, name)) for each in found for name in (each.name, each.against)}
    best = max(leads, key=lambda name: leads[name])
    level = [
        each.against if each.name == best else each.name for _, each in _leads(found, best) if not each.significant
    ]
    if not level:
        return f"{best} is ahead of every other by the {measure}, beyond chance."
    return f"{best} comes first by the {measure}; it cannot be told from {listed(level)}."


def _two(each: RunDifference) -> str:
    by = f"{estimate(each.difference, signed=True)}"
    if not each.significant:
        return f"No difference beyond chance was found between {each.name} and {each.against}: {each.measure} {by}."
    ahead = "ahead of" if each.difference.value > 0 else "behind"
    return f"{each.name} is {ahead} {each.against} by the {each.measure}, beyond chance: {by}."


def _leads(found: Sequence[RunDifference], name: str) -> list[tuple[float, RunDifference]]:
    """By how much a side is ahead of each that it was compared with."""
    signs = [(1 if each.name == name else -1, each) for each in found if name in (each.name, each.against)]
    return [(sign * each.difference.value, each) for sign, each in signs]


def warnings(compared: ComparedRuns) -> list[str]:
    """What a reader should know before believing the table."""
    found = list(compared.notes)
    for side in compared.sides:
        found += [f"{side.name}: {reason}." for reason in (of_run(side.summary) if side.summary is not None else ())]
        if side.evaluation is not None and side.evaluation.judge_trained:
            found.append(f"{side.name}: its win rates are by a judge that trained one of the policies.")
    return found


def diff(before: str, after: str) -> list[DiffLine]:
    """The lines of a unified diff, two lines around each change."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))[2:]
    kinds: dict[str, Literal["added", "removed", "place"]] = {"+": "added", "-": "removed", "@": "place"}
    return [(kinds.get(line[:1], "same"), line) for line in lines]


def _shared(compared: ComparedRuns) -> dict[str, Any]:
    return {
        "c": compared,
        "headline": headline(compared),
        "shown": shown,
        "warnings": warnings(compared),
        "settings": _settings(compared),
        "versions": _versions(compared),
        "evaluated": [(s.name, words.headline(s.evaluation)) for s in compared.sides if s.evaluation],
    }


def _settings(compared: ComparedRuns) -> tuple[list[Setting], list[Setting]]:
    """The settings that every side has, and those that some have not, because another method knows other settings."""
    common = [setting for setting in compared.settings if None not in setting.values]
    return common, [setting for setting in compared.settings if None in setting.values]


def _versions(compared: ComparedRuns) -> list[tuple[ConstitutionVersion, list[int], list[DiffLine]]]:
    """Each version with the places of its sides in the rows of results, and its difference from the one before."""
    places = {side.name: place for place, side in enumerate(compared.sides)}
    found: list[tuple[ConstitutionVersion, list[int], list[DiffLine]]] = []
    before: str | None = None
    for version in compared.constitutions:
        lines = [] if before is None or version.text is None else diff(before, version.text)
        found.append((version, [places[name] for name in version.sides if name in places], lines))
        before = version.text
    return found


def _forest(compared: ComparedRuns) -> Markup | None:
    if not compared.differences:
        return None
    several = len({each.measure for each in compared.differences}) > 1
    rows = [
        f"{each.name} · against {each.against}" + (f", {each.measure}" if several else "")
        for each in compared.differences
    ]
    said = "; ".join(
        f"{row} {estimate(each.difference, signed=True)}" for row, each in zip(rows, compared.differences, strict=True)
    )
    styles = (("beyond chance", GREEN, True, "D"), ("within chance", GREY, False, "o"))
    return forest(
        rows,
        [
            Series(
                label, colour, [d.difference if d.significant == is_it else None for d in compared.differences], mark
            )
            for label, colour, is_it, mark in styles
        ],
        title="Difference" if several else f"Difference of the {compared.differences[0].measure}",
        description=f"Differences between runs: {said}",
        at=0.0,
        overlaid=True,
    )
