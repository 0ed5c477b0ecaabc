"""The report of finished runs, or evaluations, side by side: what was set differently, what came of it, and whether the
difference is more than chance.
"""

import difflib
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from markupsafe import Markup

from preceptor.core.numbers import estimate, listed, number, percent, share
from preceptor.core.types import Frozen
from preceptor.evaluation import words
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.result import Evaluation
from preceptor.reports.arms.figures import gain_against_kl
from preceptor.reports.arms.page import of_run
from preceptor.reports.figures import GREEN, GREY, Series, forest
from preceptor.reports.templates import markdown, page

DiffLine: TypeAlias = tuple[Literal["added", "removed", "same", "place"], str]
_SETTINGS_NAMED = 4
"""Settings that the headline names, at most."""


class RunSide(Frozen):
    """One of the runs that are compared, or a folder that holds an evaluation alone."""

    name: str
    """For tables and figures; no two sides have the same."""
    summary: dict[str, Any] | None
    """As in `summary.json` of a run; None of a folder that holds an evaluation alone."""
    recipe: dict[str, Any] | None
    """As resolved, nested; None as above."""
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


def render_compare(compared: ComparedRuns) -> str:
    """The report as HTML. All text is escaped."""
    runs = [{"name": side.name, "summary": side.summary} for side in compared.sides if side.summary is not None]
    return page(
        "compare/compare.html.jinja",
        **_shared(compared),
        differences=_forest(compared),
        against_kl=gain_against_kl(runs) if len(runs) > 1 else None,
    )


def render_compare_markdown(compared: ComparedRuns) -> str:
    """The report as Markdown. All text is escaped or fenced."""
    return markdown("compare/compare.md.jinja", **_shared(compared))


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
