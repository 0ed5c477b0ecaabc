"""The prompts of a file of rows, each with the responses and people's labels that its rows hold."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.rubric import Rubric
from preceptor.core.types import JsonObject, Prompt, Response
from preceptor.judging.rubrics.writing import Material
from preceptor.store.comparisons import ComparisonRow, comparisons_in, has_responses
from preceptor.store.in_memory import name_of
from preceptor.store.own_folder import Kind, working_in
from preceptor.store.prompts import prompt_in
from preceptor.store.rows import Malformed, Row, read_raw_rows
from preceptor.store.tabular import FILE, Rows, rows_as_file


@dataclass(frozen=True)
class Labelled:
    """People's opinion of two of a case's responses."""

    a: int
    b: int
    """Positions among the responses."""
    p_a: float


@dataclass
class Case:
    """A prompt with what is known of it."""

    prompt: Prompt
    responses: list[Response] = field(default_factory=list[Response])
    """Different ones, in the order of the rows."""
    labels: list[Labelled] = field(default_factory=list[Labelled])

    @property
    def shown(self) -> Labelled | None:
        """The first label that names a better response. The writer sees this pair, so it cannot test the items."""
        return next((label for label in self.labels if label.p_a != 0.5), None)

    @property
    def tests(self) -> list[Labelled]:
        """The labels that can test items: those of pairs that the writer did not see."""
        seen = self.shown and {self.shown.a, self.shown.b}
        return [label for label in self.labels if {label.a, label.b} != seen]

    @property
    def material(self) -> Material:
        """What the writer reads."""
        if (shown := self.shown) is not None:
            better, worse = (shown.a, shown.b) if shown.p_a > 0.5 else (shown.b, shown.a)
            return Material(self.prompt, (self.responses[better], self.responses[worse]), compared=True)
        pair = (self.responses[0], self.responses[1]) if len(self.responses) == 2 else None
        return Material(self.prompt, pair)

    def add(self, row: ComparisonRow) -> None:
        """Adds a comparison's responses and label."""
        a, b = self._position(row.comparison.a), self._position(row.comparison.b)
        if row.human is not None and a != b:
            self.labels.append(Labelled(a, b, row.human.p_a))

    def _position(self, response: Response) -> int:
        known = [each.content_hash for each in self.responses]
        if response.content_hash in known:
            return known.index(response.content_hash)
        self.responses.append(response)
        return len(known)


@dataclass(frozen=True)
class Read:
    """The rows of a file."""

    cases: tuple[Case, ...]
    """One for each prompt, in the order of the rows."""
    rows: tuple[tuple[Row, int], ...]
    """Each usable row as it was, and the position of its case."""
    malformed: tuple[Malformed, ...]

    def with_rubrics(self, rubrics: Sequence[Rubric | None]) -> tuple[list[JsonObject], list[JsonObject]]:
        """The usable rows with their prompts' rubrics; and the rows whose prompts have none, without one."""
        given = [(_with_rubric(row, rubrics[case]), rubrics[case]) for row, case in self.rows]
        return [row for row, rubric in given if rubric is not None], [row for row, rubric in given if rubric is None]


def placed(rows: Rows, folder: Path, kind: Kind, *, name: str = FILE, text_column: str | None = None) -> Path:
    """The file of the rows. Those in memory are written to the folder; a file is read before the folder is made."""
    if isinstance(rows, str | Path):
        return rows_as_file(rows, folder)
    with working_in(folder, kind):
        return rows_as_file(rows, folder, name=name, text_column=text_column)


def read_cases(path: Path, limit: int | None) -> Read:
    """Reads prompts, or comparisons, from the first row on.

    Raises: UsageError when no row can be used.
    """
    cases: dict[str, Case] = {}
    positions: dict[str, int] = {}
    rows: list[tuple[Row, int]] = []
    malformed: list[Malformed] = []
    for number, (place, row) in enumerate(islice(read_raw_rows(path), limit)):
        found = row if isinstance(row, Malformed) else _case(number, place, row)
        if isinstance(found, Malformed) or isinstance(row, Malformed):
            malformed.append(found if isinstance(found, Malformed) else Malformed(number, place, "unusable"))
            continue
        prompt, comparisons = found
        key = content_hash([[message.wire() for message in prompt.conversation], prompt.reference])
        case = cases.setdefault(key, Case(prompt))
        rows.append((row, positions.setdefault(key, len(positions))))
        for comparison in comparisons:
            case.add(comparison)
    if not cases:
        first = f"{malformed[0].place}: {malformed[0].reason}" if malformed else f"{name_of(path)}: there are no rows"
        raise UsageError(f"{first} ({len(malformed)} unusable rows in all)" if malformed else first)
    return Read(tuple(cases.values()), tuple(rows), tuple(malformed))


def _case(number: int, place: str, row: Row) -> tuple[Prompt, list[ComparisonRow]] | Malformed:
    if not has_responses(row):
        prompt = prompt_in(number, place, row)
        return prompt if isinstance(prompt, Malformed) else (prompt, [])
    comparisons: list[ComparisonRow] = []
    for comparison in comparisons_in(place, row):
        if isinstance(comparison, Malformed):
            return Malformed(number, place, comparison.reason)
        comparisons.append(comparison)
    return comparisons[0].comparison.prompt, comparisons


def _with_rubric(row: Row, rubric: Rubric | None) -> JsonObject:
    plain: dict[str, Any] = json.loads(json.dumps(row, ensure_ascii=False, default=str))
    without = {key: value for key, value in plain.items() if key not in ("rubric", "rubrics")}
    return without if rubric is None else without | {"rubric": rubric.model_dump(mode="json")}
