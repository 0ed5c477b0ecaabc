"""The data of a reproduction: a folder with a folder for each task, whose files have fixed names.

`TASK/preferences` has comparisons that people labelled, in any format of `preceptor.store.comparisons`;
`TASK/demonstrations` has prompts with answers to learn (`preceptor.store.demonstrations`); `TASK/prompts` has prompts
to answer (`preceptor.store.prompts`). Each is a `.jsonl` or a `.parquet` file.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from preceptor.core.errors import UsageError
from preceptor.core.hashing import unit_hash
from preceptor.core.types import Response
from preceptor.judging.trajectory import response_text
from preceptor.methods.paper.numbers import Task
from preceptor.methods.paper.scales import Scale
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.files import content_of, write_rows, writing

Part: TypeAlias = Literal["preferences", "demonstrations", "prompts"]
TASKS: tuple[Task, ...] = get_args(Task)
CONSTITUTIONS: dict[Task, str] = {"summaries": "summarisation", "helpful": "helpful", "harmless": "harmless"}
"""The shipped constitution by which each task's responses are judged."""
_WHAT: dict[Part, str] = {
    "preferences": "comparisons that people labelled",
    "demonstrations": "prompts with answers to learn",
    "prompts": "prompts to answer",
}
_KINDS = (".jsonl", ".parquet")


@dataclass(frozen=True)
class PaperData:
    """The files of a folder of data."""

    folder: Path

    def file(self, task: Task, part: Part) -> Path | None:
        """The file with a part of a task's data; None if there is none."""
        paths = [self.folder / task / f"{part}{kind}" for kind in _KINDS]
        return next((path for path in paths if path.is_file()), None)

    def tasks_with(self, part: Part) -> list[Task]:
        """The tasks for which there is this part, in the paper's order."""
        return [task for task in TASKS if self.file(task, part) is not None]

    def stand_in(self, part: Part) -> Task | None:
        """The task for what the paper measured on summaries: summaries, or the first with this part; None if none."""
        return next(iter(self.tasks_with(part)), None)

    @property
    def files(self) -> dict[str, Path]:
        """Every file, by its path in the folder."""
        found = [self.file(task, part) for task in TASKS for part in _WHAT]
        return {path.relative_to(self.folder).as_posix(): path for path in found if path is not None}

    @property
    def hashes(self) -> dict[str, str]:
        """The content of each file, for resuming with the same."""
        return {name: content_of(path) for name, path in self.files.items()}


def needed(task: Task | Literal["TASK"], part: Part) -> str:
    """A file that is missing, for a sentence that begins with "needs"."""
    return f"{task}/{part}.jsonl in the folder of data ({_WHAT[part]})"


def open_data(folder: Path) -> PaperData:
    """The folder of data.

    Raises: UsageError when it is no folder, or has none of the files.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: is not a folder; expected a folder with files such as helpful/preferences.jsonl")
    data = PaperData(folder)
    if not data.files:
        raise UsageError(
            f"{folder}: holds none of the files that are read; expected TASK/PART.jsonl with TASK one of "
            f"{', '.join(TASKS)} and PART one of {', '.join(_WHAT)}, such as helpful/preferences.jsonl"
        )
    return data


def write_people(task: Task, file: Path, scale: Scale, seed: int, into: Path) -> None:
    """Writes people's comparisons to `training.jsonl` and `held_out.jsonl`, with other prompts in each, and the first
    of the former to `audited.jsonl`, unless an earlier process did. Rows without a majority, and longer ones than the
    scale takes, are left out. Where the scale takes only some, one of each prompt comes before the second of any, in an
    order by hashes.

    Raises: UsageError when no row is left in one of them.
    """
    if (into / "held_out.jsonl").exists():
        return
    usable = _one_of_each_prompt_first(_usable(file, scale.longest), seed)
    parts: tuple[list[ComparisonRow], list[ComparisonRow]] = ([], [])
    for row in usable:
        parts[unit_hash("held out", seed, row.comparison.prompt.text) < scale.held_out_share].append(row)
    if not all(parts):
        raise UsageError(
            f"{file}: {len(usable)} comparisons can be used, too few to hold some out; expected comparisons whose "
            "label or ratings have a majority"
        )
    with writing(into):
        into.mkdir(parents=True, exist_ok=True)
    training, held_out = parts[0][: scale.comparisons], parts[1][: scale.held_out]
    audited = training[: math.ceil(scale.audited.get(task, 1.0) * len(training))]
    for name, rows in (("training.jsonl", training), ("audited.jsonl", audited), ("held_out.jsonl", held_out)):
        write_rows(into / name, [_wire(row) for row in rows])


def _one_of_each_prompt_first(rows: Iterable[ComparisonRow], seed: int) -> list[ComparisonRow]:
    """Prompts are the sample: 16 comparisons of 16 prompts say more than 16 of four."""
    in_order = sorted(rows, key=lambda row: unit_hash("paper", seed, row.comparison.id))
    rounds, seen = list[tuple[int, float, ComparisonRow]](), Counter[str]()
    for row in in_order:
        prompt = row.comparison.prompt.text
        rounds.append((seen[prompt], unit_hash("paper", seed, prompt), row))
        seen[prompt] += 1
    return [row for _, _, row in sorted(rounds, key=lambda entry: entry[:2])]


def _usable(file: Path, longest: int | None) -> Iterator[ComparisonRow]:
    for row in read_comparisons(file):
        if isinstance(row, ComparisonRow) and row.preferred:
            texts = (row.comparison.prompt.text, response_text(row.comparison.a), response_text(row.comparison.b))
            if longest is None or sum(map(len, texts)) <= longest:
                yield row


def _wire(row: ComparisonRow) -> dict[str, Any]:
    assert row.human is not None
    comparison, human = row.comparison, row.human
    opinion: dict[str, Any] = {"ratings": [*human.ratings]} if human.ratings else {"label": human.p_a}
    return {
        "id": comparison.id,
        "category": row.category,
        "prompt": [message.wire() for message in comparison.prompt.conversation],
        "response_a": _response(comparison.a),
        "response_b": _response(comparison.b),
        **opinion,
    }


def _response(response: Response) -> str | Sequence[Any]:
    return [message.wire() for message in response.trajectory] if response.trajectory else response.text
