"""Reads rubrics: in preceptor's form, and in the forms of HealthBench, verifiers and autorubric.

preceptor: a list of items (`criterion`, `points`, `check`, `tags`), or an object with `items`, `name` and `version`.
HealthBench: a row whose `rubrics` are items with `criterion`, `points` and `tags`.
verifiers and autorubric: a list of criteria, or an object with `criteria`; the criterion is in `text` or `requirement`,
and its points are its `weight`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from preceptor.core.errors import UsageError
from preceptor.core.rubric import Rubric, rubric_of
from preceptor.store.in_memory import name_of
from preceptor.store.reading import LARGEST_SETTINGS, check_file, parse_json, parse_toml, why

_LISTS = ("criteria", "sections", "rubric")
"""Keys under which other programs keep their criteria."""
_TEXTS = ("text", "requirement")
"""Keys under which other programs keep a criterion's words."""
_DEFAULT_WEIGHT = {"text": 1.0, "requirement": 10.0}
"""The weight of a criterion that states none, in verifiers and in autorubric."""
_HEALTH_BENCH = ("rubrics", "prompt_id", "example_tags", "ideal_completions_data", "canary")
_THEME = "theme:"


def read_rubric(path: str | Path) -> Rubric:
    """The rubric in a `.json` or `.toml` file, in any of the forms above.

    Raises: UsageError naming the file, the item (counted from 1) and what was expected.
    """
    file = Path(path)
    check_file(file, "the rubric")
    if file.suffix not in (".json", ".toml"):
        raise UsageError(f"{file}: the rubric cannot be read: expected a .json or a .toml file")
    try:
        if file.stat().st_size > LARGEST_SETTINGS:
            raise UsageError(f"{file}: the rubric cannot be read: it has more than {LARGEST_SETTINGS >> 20} MiB")
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: the rubric cannot be read: {why(error)}") from error
    try:
        value = parse_toml(text) if file.suffix == ".toml" else parse_json(text)
    except ValueError as error:
        raise UsageError(f"{file}: not a {file.suffix[1:].upper()} file: {error}") from error
    return parse_rubric(value, name_of(file))


def parse_rubric(value: Any, place: str = "") -> Rubric:
    """The rubric in a value that JSON can hold, in any of the forms above.

    Raises: UsageError beginning with `place`.
    """
    try:
        return rubric_of(_in_our_form(value))
    except UsageError as error:
        raise UsageError(f"{place}: {error}" if place else str(error)) from error


def names_function(row: Mapping[str, Any]) -> bool:
    """Whether the rubric in a row has an item that code of the reader's machine would check."""
    value = rubric_columns(row).get("rubric")
    try:
        return value is not None and any(item.checked_by == "function" for item in parse_rubric(value).items)
    except UsageError:
        return False  # the row is refused where it is read


def rubric_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of HealthBench with the columns of a prompt here: the id, the theme as the cohort, and the ideal completion
    as the reference. Any other row as it is.
    """
    fields = dict(row)
    if fields.get("rubrics") is None or fields.get("rubric") is not None:
        return fields
    fields["rubric"] = fields["rubrics"]
    found = {"id": fields.get("prompt_id"), "cohort": _theme(fields), "reference": _ideal(fields)}
    fields |= {name: of for name, of in found.items() if of is not None and fields.get(name) is None}
    return {name: of for name, of in fields.items() if name not in _HEALTH_BENCH}


def _theme(row: Mapping[str, Any]) -> str | None:
    tags = row.get("example_tags")
    named = [tag for tag in cast("list[Any]", tags) if isinstance(tag, str)] if isinstance(tags, list) else []
    return next((tag.removeprefix(_THEME) for tag in named if tag.startswith(_THEME) and tag != _THEME), None)


def _ideal(row: Mapping[str, Any]) -> str | None:
    data = row.get("ideal_completions_data")
    ideal = cast("dict[str, Any]", data).get("ideal_completion") if isinstance(data, dict) else None
    return ideal if isinstance(ideal, str) and ideal.strip() else None


def _in_our_form(value: Any) -> Any:
    if isinstance(value, dict):
        fields = {name: of for name, of in cast("dict[str, Any]", value).items() if of is not None}
        key = next((key for key in _LISTS if key in fields), None)
        if key is None or "items" in fields:
            return fields
        if isinstance(fields[key], dict):  # autorubric: {"rubric": {"guidelines": ..., "criteria": [...]}}
            return _in_our_form(fields[key])
        if fields.get("guidelines"):
            raise UsageError("rubric: guidelines for all criteria have no place here; write them into the criteria")
        value = fields[key]
    return [_item(number, each) for number, each in enumerate(value, 1)] if isinstance(value, list) else value


def _item(number: int, value: Any) -> Any:
    """An item in our form; what no item here can say is refused."""
    if not isinstance(value, dict):
        return value
    fields = {name: of for name, of in cast("dict[str, Any]", value).items() if of is not None}
    key = next((key for key in _TEXTS if key in fields), None)
    if key is None or "criterion" in fields:
        return fields
    choices = fields.get("choices", ["no", "yes"])
    if "options" in fields or choices != ["no", "yes"]:
        raise UsageError(
            f"rubric: item {number}: it has several grades, and items here are met or not; write an item for each grade"
        )
    tags = {"tags": [fields["name"]]} if isinstance(fields.get("name"), str) and fields["name"] else {}
    return {"criterion": fields[key], "points": fields.get("weight", _DEFAULT_WEIGHT[key]), **tags}
