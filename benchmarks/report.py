"""Renders results as Markdown for the documentation: the headline figures, then everything."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
ORDER = ("kinds", "labelling", "client", "rl_step", "pairs", "roofline", "growth", "startup")
QUICK = "**A quick run: these are no measurements.**"
PARTS = 4
"""How many parts of a row's time are listed, the longest first."""

Case = Mapping[str, Any]


def read(folder: Path) -> list[Case]:
    """The results in a folder, comparisons with peers first."""
    return [json.loads(path.read_text()) for case in ORDER if (path := folder / f"{case}.json").is_file()]


def fill(page: Path, text: str) -> bool:
    """Puts text between the page's markers. Returns whether the page has them."""
    before, begin, rest = page.read_text().partition(BEGIN) if page.is_file() else ("", "", "")
    _, end, after = rest.partition(END)
    if not begin or not end:
        return False
    page.write_text(f"{before}{BEGIN}\n{text.strip()}\n{END}{after}")
    return True


def full(cases: Sequence[Case], results: Path, page: Path) -> str:
    """Every table and figure; `results` and `page` are folders, for the links to figures."""
    parts = ["\n".join(f"- {where}" for where in _machines(cases)) + "\n"]
    for case in cases:
        parts.append(case_text(case))
        figure = results / f"{case['case']}.svg"
        if figure.is_file():
            parts.append(f"![{case['title']}]({Path(os.path.relpath(figure, page)).as_posix()})\n")
    return "\n".join(parts)


def short(cases: Sequence[Case]) -> str:
    """The headline figures, one row for each."""
    rows = [[line["figure"], line["value"], line["against"]] for case in cases for line in headline(case)]
    where = "; ".join(_machines(cases))
    said = f"Median [lowest-highest] of repetitions; contestants take turns. {where}."
    quick = f"\n{QUICK}\n" if any(case["quick"] for case in cases) else ""
    return f"{_table(['', 'preceptor', 'beside it'], rows)}\n{said}\n{quick}"


def headline(case: Case) -> list[dict[str, str]]:
    """The headline figures of a case; if it gives none, preceptor compared with the others in each variant."""
    if "headline" in case:
        return list(case["headline"])
    lines: list[dict[str, str]] = []
    for variant in dict.fromkeys(row["variant"] for row in case["rows"]):
        rows = [row for row in case["rows"] if row["variant"] == variant]
        own = next((row for row in rows if row["contestant"] == "preceptor"), rows[0])
        others = [
            f"{row['contestant']} takes {_range(row['ratio'])} times as long"
            if row["ratio"]
            else f"{row['contestant']}: failed"
            for row in rows
            if row is not own
        ]
        value = f"{_number(own['seconds'])} s" if own["seconds"] is not None else "failed"
        lines.append({"figure": f"{case['title']}, {variant}", "value": value, "against": "; ".join(others)})
    return lines


def case_text(case: Case) -> str:
    """One case: how it was measured, its rows, its other tables."""
    machine = case["machine"]
    when = f"{machine['date']} at revision {machine['revision']}, in {case['case_seconds']:.0f} s"
    setup = {**case["setup"], "measured": f"{when}; load of the machine before: {machine['load']}"}
    parts = [f"### {case['title']}", "\n".join(f"- {name}: {_plain(value)}" for name, value in setup.items())]
    if case["quick"]:
        parts.append(QUICK)
    parts.append(_rows(case["rows"]))
    for table in case.get("tables", ()):
        parts += [f"{table['title']}:", _table(table["columns"], table["rows"])]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of a case, without empty columns."""
    compared = len({row["contestant"] for row in rows}) > 1
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "": lambda row: str(row["variant"]),
        "by": lambda row: str(row["contestant"]) if compared else "",
        "seconds": lambda row: f"failed: {row['failed']}" if row["failed"] else _median(row["seconds"], row["spread"]),
        "of CPU": lambda row: _number(row.get("cpu_seconds")),
        "times preceptor's": lambda row: _range(row["ratio"]) if compared else "",
        "units per second": lambda row: _number(row["units_per_second"]),
        "tokens": lambda row: _number(row["tokens"]),
        "fraction": lambda row: _range(row.get("fraction")),
        "ms per label": lambda row: _number(row.get("ms_per_label")),
        "ms of CPU": lambda row: _number(row.get("cpu_ms_per_label")),
        "peak MiB": lambda row: _number(row["peak_mib"]),
        "of which seconds": lambda row: _parts(row.get("parts") or {}),
    }
    cells = {name: [cell(row) for row in rows] for name, cell in columns.items()}
    cells = {name: column for name, column in cells.items() if any(column)}
    return _table(list(cells), zip(*cells.values(), strict=True))


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_plain(cell) for cell in line)} |" for line in lines) + "\n"


def _plain(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _parts(parts: Mapping[str, float]) -> str:
    longest = sorted(parts.items(), key=lambda part: -part[1])[:PARTS]
    return ", ".join(f"{name} {_number(seconds)}" for name, seconds in longest)


def _median(value: float | None, spread: Sequence[float] | None) -> str:
    return _range([value, *spread]) if value is not None and spread else _number(value)


def _range(values: Sequence[float] | None) -> str:
    """Median, lowest and highest."""
    if not values:
        return ""
    middle, low, high = map(_number, values)
    return middle if low == high == middle else f"{middle} [{low}-{high}]"


def _number(value: float | None) -> str:
    """A number with three significant digits."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _machines(cases: Iterable[Case]) -> list[str]:
    """Each machine, with the cases measured on it if there are several machines."""
    on: dict[str, list[str]] = {}
    for case in cases:
        on.setdefault(_machine(case["machine"]), []).append(case["case"])
    return [f"{where} ({', '.join(names)})" if len(on) > 1 else where for where, names in on.items()]


def _machine(facts: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    kind = facts.get("instructions and precision")  # older results do not say
    return (
        f"{facts['cpu']}, {f'{kind}, ' if kind else ''}cores {facts['cores']}, threads {facts['threads']}, "
        f"{facts['memory_gib']} GiB, {facts['os']}, Python {facts['python']}, {packages}"
    )
