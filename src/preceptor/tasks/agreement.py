"""How far people agree, from a file with their opinions on comparisons or their rankings."""

import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from preceptor.core.errors import UsageError
from preceptor.core.types import HumanLabel
from preceptor.evaluation.judges.raters import Rankings, preference_agreement, ranking_agreement
from preceptor.reports.agreement import render_agreement
from preceptor.results.agreement import AgreementResult
from preceptor.store.comparisons import read_comparisons
from preceptor.store.files import write_text
from preceptor.store.in_memory import name_of
from preceptor.store.output import Output, output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.rows import Malformed, read_raw_rows
from preceptor.store.selection import DISPUTED
from preceptor.store.tabular import Rows, rows_as_file


class _LeftOut:
    """Counts the rows that cannot be used, and the rows chosen because judges disagree on them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: str | None = None
        self.disputed = 0

    def add(self, place: str, reason: str) -> None:
        self.count += 1
        self.first = self.first or f"{place}: {reason}"


def agreement(rows: Rows, *, out: str | Path | None = None) -> AgreementResult:
    """How far people agree with each other.

    Examples:
        >>> rows = [{"prompt": "q", "response_a": "x", "response_b": "y", "ratings": ["a", "a", "b"]}]
        >>> round(agreement(rows).agreement.pairwise.value, 2)
        0.33

    Args:
        rows: comparisons with `ratings`, or rows with `rankings`: one list of ranks for each person, with null for an
            item that the person did not rank. The first row decides which.
        out: folder for `agreement.json` and `report.html`; by default nothing is written.

    Raises: UsageError when the rows cannot be read or no row has the opinions of two people.
    """
    if out is not None:
        check_own(Path(out), "agreement")
    with TemporaryDirectory() as folder:
        file = rows_as_file(rows, Path(folder))
        result = _agreement(file)
    return result if out is None else _written(result, output_folder(out), Path(name_of(file)).name)


def _written(result: AgreementResult, output: Output, title: str) -> AgreementResult:
    with working_in(output.path, "agreement"):
        saved = result.save(output)
        write_text(saved.report, render_agreement(saved, title))
    return saved


def _agreement(path: Path) -> AgreementResult:
    left_out = _LeftOut()
    if _has_rankings(path):
        measured = ranking_agreement(_rankings(path, left_out))
    else:
        measured = preference_agreement(_opinions(path, left_out))
    if not measured.rows:
        raise UsageError(left_out.first or f"{name_of(path)}: there are no rows")
    return AgreementResult(
        agreement=measured, left_out=left_out.count, first_left_out=left_out.first, disputed=left_out.disputed
    )


def _has_rankings(path: Path) -> bool:
    first = next((row for _, row in read_raw_rows(path) if not isinstance(row, Malformed)), {})
    return first.get("rankings") is not None


def _opinions(path: Path, left_out: _LeftOut) -> Iterator[tuple[str, HumanLabel]]:
    for row in read_comparisons(path):
        if isinstance(row, Malformed):
            left_out.add(row.place, row.reason)
        elif row.human is None or len(row.human.ratings) < 2:
            left_out.add(row.place, _TOO_FEW)
        else:
            left_out.disputed += row.selection == DISPUTED
            yield row.comparison.prompt.id, row.human


_TOO_FEW = 'expected "ratings" with the opinions of two people or more, as in ["a", "tie"]'


def _rankings(path: Path, left_out: _LeftOut) -> Iterator[Rankings]:
    for place, row in read_raw_rows(path):
        if isinstance(row, Malformed):
            left_out.add(place, row.reason)
        elif reason := _wrong(row.get("rankings")):
            left_out.add(place, f"rankings: {reason}")
        else:
            name = row.get("id")
            yield Rankings(place if name is None else str(name), row["rankings"])


def _wrong(rankings: Any) -> str | None:
    """The error in rankings; None if they are valid."""
    if not isinstance(rankings, list) or len(rankings) < 2 or not all(isinstance(ranks, list) for ranks in rankings):
        return "expected lists of ranks of two raters or more"
    sizes = sorted({len(ranks) for ranks in rankings})
    if len(sizes) > 1:
        return f"expected every list to have one rank for each item, got {sizes[0]} and {sizes[-1]}"
    if sizes[0] < 2:
        return f"expected two items or more, got {sizes[0]}"
    if not all(rank is None or _is_number(rank) for ranks in rankings for rank in ranks):
        return "expected numbers, or null for an item not ranked"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
