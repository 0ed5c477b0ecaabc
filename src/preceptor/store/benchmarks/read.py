"""Reads a benchmark of judges from the files that its authors publish."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.validation import check_choice
from preceptor.store.benchmarks import answers, people
from preceptor.store.benchmarks.files import Placed, read_published
from preceptor.store.benchmarks.parts import Part, Reading
from preceptor.store.columns import WrongRowError
from preceptor.store.comparisons import ComparisonRow, comparisons_in
from preceptor.store.rows import Malformed, Row

BenchmarkName: TypeAlias = Literal[
    "rewardbench",
    "rewardbench2",
    "judgebench",
    "rm-bench",
    "llmbar",
    "mt-bench",
    "hh-rlhf",
    "pandalm",
    "alpaca-eval",
    "helpsteer",
    "ultrafeedback",
]
"""Benchmarks of comparisons that are read as they are published."""
RATED_BY_MODEL: frozenset[BenchmarkName] = frozenset({"ultrafeedback"})
"""Those in which no person says which response is better."""


@dataclass(frozen=True)
class BenchmarkRow:
    """A comparison of a benchmark."""

    row: ComparisonRow
    part: Part


@dataclass(frozen=True)
class _Format:
    read: Reading
    join: Callable[[Iterable[Placed]], Iterable[Placed]] = iter
    """Joins rows that belong together."""
    within: str = "*"
    """Which files of a folder are data."""


_FORMATS: Mapping[BenchmarkName, _Format] = {
    "rewardbench": _Format(answers.rewardbench),
    "rewardbench2": _Format(answers.rewardbench2),
    "judgebench": _Format(answers.judgebench),
    "rm-bench": _Format(answers.rm_bench, within="*_filtered.json"),
    "llmbar": _Format(answers.llmbar, within="dataset.json"),
    "mt-bench": _Format(people.mt_bench, people.join_mt_bench),
    "hh-rlhf": _Format(people.hh_rlhf),
    "pandalm": _Format(people.pandalm),
    "alpaca-eval": _Format(people.alpaca_eval, people.join_alpaca_eval),
    "helpsteer": _Format(people.helpsteer, people.join_helpsteer),
    "ultrafeedback": _Format(people.ultrafeedback),
}


def read_benchmark(path: str | Path, format: BenchmarkName) -> list[Row]:
    """The comparisons of a benchmark's file or folder, as rows that `label` and `audit` take.

    An item of several responses (RewardBench 2, RM-Bench) is several rows. `audit` with the same `format` also scores
    them as the authors do.

    Raises: UsageError when the file cannot be read, or a row is not of this format.
    """
    rows: list[Row] = []
    for place, made in _made(Path(path), format):
        if isinstance(made, Malformed):
            raise UsageError(f"{place}: {made.reason}")
        rows += [row for row, _ in made]
    return rows


def benchmark_rows(path: Path, format: BenchmarkName, limit: int | None = None) -> Iterator[BenchmarkRow | Malformed]:
    """Streams the comparisons of a benchmark. An item that cannot be used is yielded as one malformed row.

    Args:
        limit: how many items of the benchmark to read, from the first; an item may be several comparisons.

    Raises: UsageError when the file cannot be read.
    """
    number = 0
    for count, (place, made) in enumerate(_made(path, format)):
        if limit is not None and count >= limit:
            return
        rows = replace(made, number=number) if isinstance(made, Malformed) else _parsed(place, made, number)
        if isinstance(rows, Malformed):
            number += 1
            yield rows
        else:
            number += len(rows)
            yield from rows


def _made(path: Path, format: BenchmarkName) -> Iterator[tuple[str, list[tuple[Row, Part]] | Malformed]]:
    """Each item's comparisons in our columns."""
    check_choice("format", format, BenchmarkName)
    known = _FORMATS[format]
    for place, folder, row in known.join(read_published(path, known.within)):
        if isinstance(row, Malformed):
            yield place, row
            continue
        try:
            yield place, known.read(row, folder)
        except WrongRowError as error:
            yield place, Malformed(0, place, str(error))


def _parsed(place: str, made: list[tuple[Row, Part]], first: int) -> list[BenchmarkRow] | Malformed:
    """An item's comparisons; what is wrong if one of them cannot be used, since half an item has no result."""
    rows: list[BenchmarkRow] = []
    for number, (row, part) in enumerate(made, start=first):
        [parsed] = comparisons_in(place, row)
        if isinstance(parsed, Malformed):
            return replace(parsed, number=first)
        named = part if part.item else replace(part, item=content_hash([place])[:16])
        rows.append(BenchmarkRow(replace(parsed, number=number), named))
    return rows
