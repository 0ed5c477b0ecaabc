"""Reading prompt files: JSON lines, one prompt each."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from preceptor.core.errors import UsageError, nearest
from preceptor.core.hashing import content_hash, unit_hash
from preceptor.core.types import Prompt

_DATA = files("preceptor.data")
_KEYS = ("prompt", "conversation", "id", "cohort", "reference", "metadata")


def packaged(name: str) -> str:
    """The path of a prompt set that ships with preceptor, for instance `everyday_prompts`."""
    return str(_DATA.joinpath(f"{name}.jsonl"))


def read_prompts(source: str) -> list[Prompt]:
    """Reads prompts from a JSON-lines file, or from a packaged set named `package:NAME`.

    A line holds `prompt` (a text) or `conversation` (messages with role and content), and optionally `id`, `cohort`,
    `reference` and `metadata`. A prompt without an id gets one from its content.

    Raises: UsageError naming file and line where one is wrong, and when the file is missing or holds no prompt.
    """
    path = Path(packaged(source.removeprefix("package:")) if source.startswith("package:") else source)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        if source.startswith("package:"):
            known = [f"package:{f.name.removesuffix('.jsonl')}" for f in _DATA.iterdir() if f.name.endswith(".jsonl")]
            raise UsageError(f'there is no packaged prompt set "{source}"; {nearest(source, known)}') from error
        raise UsageError(f"{path}: the prompts file cannot be read: {getattr(error, 'strerror', error)}") from error
    prompts = [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not prompts:
        raise UsageError(f"{path}: the prompts file is empty; expected one JSON object with a prompt on each line")
    _check_unique(prompts, str(path))
    return prompts


def split_held_out(prompts: Sequence[Prompt], share: float) -> tuple[list[Prompt], list[Prompt]]:
    """Splits by a hash of each prompt's text: (training, held out). Adding prompts moves no other prompt."""
    held_out = [p for p in prompts if unit_hash("held out", p.text) < share]
    training = [p for p in prompts if unit_hash("held out", p.text) >= share]
    return training, held_out


def _parse(line: str, place: str) -> Prompt:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{place}: not a line of JSON ({error}); expected an object with a prompt") from error
    if not isinstance(row, dict):
        raise UsageError(f"{place}: expected a JSON object with a prompt, got {type(row).__name__}")
    fields: dict[str, Any] = {str(key): value for key, value in row.items()}
    for key in fields:
        if key not in _KEYS:
            raise UsageError(f'{place}: unknown key "{key}"; {nearest(key, _KEYS)}')
    if ("prompt" in fields) == ("conversation" in fields):
        raise UsageError(f'{place}: expected either "prompt" or "conversation"')
    if "prompt" in fields:
        fields["conversation"] = [{"role": "user", "content": fields.pop("prompt")}]
    fields.setdefault("id", content_hash(fields["conversation"])[:16])
    try:
        return Prompt.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{place}: {where}: {first['msg']}") from error


def _check_unique(prompts: Sequence[Prompt], place: str) -> None:
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise UsageError(f'{place}: two prompts have the id "{prompt.id}"; ids must be unique')
        seen.add(prompt.id)
