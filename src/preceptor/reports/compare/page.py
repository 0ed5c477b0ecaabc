"""The report of finished runs, or evaluations, side by side: their results, whether these differ by more than chance,
and which settings differ.
"""

import difflib
from typing import Any, Literal, TypeAlias

from markupsafe import Markup

from preceptor.core.numbers import estimate
from preceptor.evaluation.policies import words
from preceptor.evaluation.verdict import verdict_on
from preceptor.reports.arms.figures import gain_against_kl
from preceptor.reports.figures import GREEN, GREY, RED, Series, forest
from preceptor.reports.headlines import of_comparison
from preceptor.reports.templates import markdown, page
from preceptor.results.comparison import ComparisonResult, ConstitutionVersion

DiffLine: TypeAlias = tuple[Literal["added", "removed", "same", "place"], str]
MOST_LINES = 5_000
"""Lines of a text that is compared with another."""


def render_compare(compared: ComparisonResult) -> str:
    """The report as HTML. All text is escaped."""
    runs = {side.name: side.summary for side in compared.sides if side.summary is not None}
    return page(
        "compare/compare.html.jinja",
        **_shared(compared),
        short=of_comparison(compared),
        differences=_forest(compared),
        against_kl=gain_against_kl(runs) if len(runs) > 1 else [],
    )


def render_compare_markdown(compared: ComparisonResult) -> str:
    """The report as Markdown. All text is escaped or fenced."""
    return markdown("compare/compare.md.jinja", **_shared(compared))


def diff(before: str, after: str) -> list[DiffLine]:
    """The lines of a unified diff, two lines around each change; of texts with too many lines, only that they have."""
    if max(before.count("\n"), after.count("\n")) >= MOST_LINES:
        return [("place", f"@@ more than {MOST_LINES:,} lines: not compared @@")]
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))[2:]
    kinds: dict[str, Literal["added", "removed", "place"]] = {"+": "added", "-": "removed", "@": "place"}
    return [(kinds.get(line[:1], "same"), line) for line in lines]


def _shared(compared: ComparisonResult) -> dict[str, Any]:
    return {
        "c": compared,
        "headline": compared.headline,
        "warnings": compared.warnings,
        "settings": compared.settings_by_reach,
        "versions": _versions(compared),
        "evaluated": [(s.name, words.headline(s.evaluation)) for s in compared.sides if s.evaluation],
    }


def _versions(compared: ComparisonResult) -> list[tuple[ConstitutionVersion, list[int], list[DiffLine]]]:
    """Each version with the indices of its sides in the rows of results, and its diff from the version before."""
    places = {side.name: place for place, side in enumerate(compared.sides)}
    versions: list[tuple[ConstitutionVersion, list[int], list[DiffLine]]] = []
    before: str | None = None
    for version in compared.constitutions:
        lines = [] if before is None or version.text is None else diff(before, version.text)
        versions.append((version, [places[name] for name in version.sides if name in places], lines))
        before = version.text
    return versions


def _forest(compared: ComparisonResult) -> Markup | None:
    if not compared.differences:
        return None
    several = len({difference.measure for difference in compared.differences}) > 1
    rows = [
        f"{difference.name} · against {difference.against}" + (f", {difference.measure}" if several else "")
        for difference in compared.differences
    ]
    said = "; ".join(
        f"{row} {estimate(difference.difference, signed=True)}"
        for row, difference in zip(rows, compared.differences, strict=True)
    )
    better, worse = "the first is better", "the first is worse"
    styles = ((better, GREEN, "^"), ("within chance", GREY, "o"), (worse, RED, "v"))
    found = {"better": better, "worse": worse}
    verdicts = [
        found.get(verdict_on(d.difference, beyond_chance=d.significant), "within chance") for d in compared.differences
    ]
    return forest(
        rows,
        [
            Series(
                label,
                colour,
                [
                    d.difference if verdict == label else None
                    for d, verdict in zip(compared.differences, verdicts, strict=True)
                ],
                mark,
            )
            for label, colour, mark in styles
        ],
        title="Difference" if several else f"Difference of the {compared.differences[0].measure}",
        description=f"Differences between runs: {said}",
        at=0.0,
        overlaid=True,
    )
