"""Reading prompts: prompt files, JSON lines with one prompt each, and the prompts of a dataset."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from preceptor.core.errors import UsageError, nearest
from preceptor.core.hashing import canonical_json, content_hash, unit_hash
from preceptor.core.rubric import Rubric
from preceptor.core.types import JsonObject, Prompt
from preceptor.core.validation import first_problem
from preceptor.store.hub.names import is_on_hub
from preceptor.store.in_memory import name_of, place_of
from preceptor.store.reading import check_file, parse_json, why, why_not_json
from preceptor.store.rows import Malformed, read_raw_rows
from preceptor.store.rubrics import parse_rubric, rubric_columns

_DATA = files("preceptor.data")
_EXPECTED = "one JSON object with a prompt on each line"
_KEYS = ("prompt", "conversation", "id", "cohort", "reference", "metadata", "rubric")


def packaged(name: str) -> str:
    """The path of a prompt set that ships with preceptor, for instance `everyday_prompts`."""
    return str(_DATA.joinpath(f"{name}.jsonl"))


def read_prompts(source: str, limit: int | None = None) -> list[Prompt]:
    """Reads prompts from a JSON-lines file, from a packaged set named `package:NAME`, or from a dataset on the hub.

    For what a line holds see `parse_prompt`. Of a dataset on the hub, whose rows nobody here can mend, rows without a
    usable prompt and repeated prompts are left out.

    Args:
        limit: how many prompts to read, from the first.

    Raises: UsageError naming file and line where one is wrong, and when the file is missing or holds no prompt.
    """
    if is_on_hub(source):
        return _prompts_on_hub(source, limit)
    path = Path(packaged(source.removeprefix("package:")) if source.startswith("package:") else source)
    if not source.startswith("package:"):
        check_file(path, "the prompts file")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        if source.startswith("package:"):
            known = [f"package:{f.name.removesuffix('.jsonl')}" for f in _DATA.iterdir() if f.name.endswith(".jsonl")]
            raise UsageError(f'there is no packaged prompt set "{source}"; {nearest(source, known)}') from error
        raise UsageError(f"{path}: the prompts file cannot be read: {why(error)}; expected {_EXPECTED}") from error
    prompts = [_parse(line, place_of(path, number)) for number, line in enumerate(lines, start=1) if line.strip()]
    if not prompts:
        raise UsageError(f"{name_of(path)}: there is no prompt; expected {_EXPECTED}")
    _check_unique(prompts, name_of(path))
    return prompts[:limit]


def _prompts_on_hub(name: str, limit: int | None) -> list[Prompt]:
    prompts: dict[str, Prompt] = {}
    first = "there are no rows"
    for place, row in read_raw_rows(Path(name)):
        prompt = prompt_in(0, place, row if isinstance(row, Malformed) else row | {"id": None})
        if isinstance(prompt, Prompt):
            prompts.setdefault(prompt.id, prompt)
        elif first == "there are no rows":
            first = f"{prompt.place}: {prompt.reason}"
        if limit is not None and len(prompts) >= limit:
            break
    if not prompts:
        raise UsageError(f"{name}: there is no prompt: {first}")
    return list(prompts.values())


def split_held_out(prompts: Sequence[Prompt], share: float) -> tuple[list[Prompt], list[Prompt]]:
    """Splits by a hash of each prompt's text, or of the name by which prompts belong together: (training, held out).
    Adding prompts moves no other prompt.
    """
    held_out = [p for p in prompts if unit_hash("held out", split_by(p)) < share]
    training = [p for p in prompts if unit_hash("held out", split_by(p)) >= share]
    return training, held_out


def split_by(prompt: Prompt) -> str:
    """What decides on which side of a split a prompt is."""
    return prompt.together or prompt.text


def split_validation(held_out: Sequence[Prompt], share: float, least: int) -> tuple[list[Prompt], list[Prompt]]:
    """Splits held-out prompts by a stable hash of their texts: (validation, test), both in their order. Prompts of the
    same text, or that belong together, are in the same part.

    Args:
        share: share of the prompts that are for validation, rounded to a whole number of prompts; more if further
            prompts have the same text as the last of them.
        least: minimum number of prompts in either part, if there are enough for both and their texts allow it.
    """
    count = max(least, min(round(share * len(held_out)), len(held_out) - least))
    ordered = sorted(map(split_by, held_out), key=lambda text: unit_hash("validation", text))
    chosen = set(ordered[:count])
    return [p for p in held_out if split_by(p) in chosen], [p for p in held_out if split_by(p) not in chosen]


def read_prompt_rows(path: Path) -> Iterator[Prompt | Malformed]:
    """Streams the prompts of a dataset in any format that `read_raw_rows` reads. Unknown columns are ignored, a
    malformed row is yielded in its place, and ids need not be unique.

    Raises: UsageError when the dataset cannot be read.
    """
    return (prompt_in(number, place, row) for number, (place, row) in enumerate(read_raw_rows(path)))


def parse_prompt(row: Mapping[str, Any], place: str) -> Prompt:
    """The prompt in a row with `prompt` (a text or messages) or `conversation` (messages), and optionally `id`,
    `cohort`, `reference`, `metadata` and `rubric`. Without an id it gets one from its conversation's content. A row of
    HealthBench is a prompt too.

    Raises: UsageError beginning with `place` for an unknown key or a wrong value.
    """
    fields = rubric_columns(row)
    if isinstance(fields.get("id"), int) and not isinstance(fields["id"], bool):
        fields["id"] = str(fields["id"])
    for key in fields:
        if key not in _KEYS:
            raise UsageError(f'{place}: unknown key "{key}"; {nearest(key, _KEYS)}')
    if ("prompt" in fields) == ("conversation" in fields):
        raise UsageError(f'{place}: expected either "prompt" or "conversation"')
    if "prompt" in fields:
        asked = fields.pop("prompt")
        fields["conversation"] = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    fields["conversation"] = tidy_messages(fields["conversation"])
    if fields.get("rubric") is not None and not isinstance(fields["rubric"], Rubric):
        fields["rubric"] = parse_rubric(fields["rubric"], place)
    try:
        prompt = Prompt.model_validate({"id": "-"} | fields)
        canonical_json(prompt.metadata)
    except ValidationError as error:
        raise UsageError(f"{place}: {first_problem(error)}") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"{place}: metadata: expected what JSON can hold ({error})") from error
    if "id" in fields:
        return prompt
    return prompt.model_copy(update={"id": content_hash([m.wire() for m in prompt.conversation])[:16]})


def tidy_messages(value: Any) -> Any:
    """Prepares messages from columnar files for `Message`: leaves out null fields, and turns a tool call's arguments
    into JSON text. Anything but a list of messages is returned unchanged.
    """
    return [_tidy(message) for message in value] if isinstance(value, list) else value


def _tidy(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    fields: JsonObject = {str(key): field for key, field in value.items() if field is not None}
    if "tool_calls" in fields:
        fields["tool_calls"] = tidy_messages(fields["tool_calls"])
    if "function" in fields:
        fields["function"] = _tidy(fields["function"])
    if isinstance(fields.get("arguments"), dict):
        fields["arguments"] = json.dumps(fields["arguments"], ensure_ascii=False, default=str)
    return fields


def prompt_in(number: int, place: str, row: JsonObject | Malformed) -> Prompt | Malformed:
    """The prompt of one row; unknown columns are ignored."""
    if isinstance(row, Malformed):
        return row
    try:
        ours = rubric_columns(row)
        return parse_prompt({key: ours[key] for key in _KEYS if ours.get(key) is not None}, place)
    except UsageError as error:
        return Malformed(number, place, str(error).removeprefix(f"{place}: "))


def _parse(line: str, place: str) -> Prompt:
    try:
        row: Any = parse_json(line)
    except ValueError as error:
        raise UsageError(f"{place}: {why_not_json(error)}; expected an object with a prompt") from error
    if not isinstance(row, dict):
        raise UsageError(f"{place}: expected a JSON object with a prompt, got {type(row).__name__}")
    return parse_prompt({str(key): value for key, value in row.items()}, place)


def _check_unique(prompts: Sequence[Prompt], place: str) -> None:
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise UsageError(f'{place}: two prompts have the id "{prompt.id}"; ids must be unique')
        seen.add(prompt.id)
