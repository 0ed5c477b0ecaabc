"""Patterns and JSON schemas of rubrics' items, applied in bounded time to hostile texts. Needs the extra `rubrics`."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

from preceptor.core.errors import UsageError
from preceptor.core.extras import require


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """A pattern in RE2's syntax, which takes linear time.

    Raises: UsageError where the package is missing or RE2 does not take the pattern.
    """
    require('the verifier "regex" needs', "re2")
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(_encodable(pattern), options)
    except re2.error as error:
        said = error.args[0].decode(errors="replace") if error.args and isinstance(error.args[0], bytes) else str(error)
        raise UsageError(
            f'pattern "{pattern[:100]}": {said}; expected RE2, without lookaround or backreferences'
        ) from error


def found(pattern: str, text: str) -> bool:
    """Whether a pattern is found anywhere in a text.

    Raises: UsageError as `compiled`.
    """
    return compiled(pattern).search(_encodable(text)) is not None


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates have no bytes


@lru_cache(maxsize=256)
def schema_validator(schema_text: str) -> Any:
    """A validator whose patterns are RE2's, and which loads nothing from elsewhere.

    Raises: UsageError where the package is missing or the schema is none.
    """
    require('the verifier "json" with a schema needs', "jsonschema")
    import jsonschema
    from jsonschema import validators
    from referencing import Registry

    schema = json.loads(schema_text)
    for key, value in _entries(schema):
        if key == "patternProperties" or (key in {"$ref", "$dynamicRef"} and not str(value).startswith("#")):
            raise UsageError(f"the JSON schema has {key} {json.dumps(value)[:80]}, which the verifier does not apply")
        if key == "pattern" and isinstance(value, str):
            compiled(value)
    kind: Any = validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise UsageError(f"the JSON schema is wrong at {error.json_path}: {error.message[:200]}") from error
    bounded: Any = validators.extend(kind, {"pattern": _pattern_errors, "uniqueItems": _repetitions})
    return bounded(schema, registry=Registry())


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values of all objects in a JSON document."""
    children: list[Any] = cast("list[Any]", value) if isinstance(value, list) else []
    if isinstance(value, dict):
        yield from cast("dict[str, Any]", value).items()
        children = list(cast("dict[str, Any]", value).values())
    for child in children:
        yield from _entries(child)


def _pattern_errors(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Exception]:
    from jsonschema import ValidationError as Unfit

    if isinstance(instance, str) and not found(pattern, instance):
        yield Unfit("does not match")


def _repetitions(_validator: Any, unique: Any, instance: Any, _schema: Any) -> Iterator[Exception]:
    from jsonschema import ValidationError as Unfit

    if unique and isinstance(instance, list):
        items = cast("list[Any]", instance)
        if len({json.dumps(item, sort_keys=True) for item in items}) < len(items):
            yield Unfit("has equal items")
