"""A scripted model answers a JSON schema with JSON that fits it."""

import json

from jsonschema import Draft202012Validator

from preceptor.backends.base import CompleteRequest
from preceptor.backends.scripted import echo
from preceptor.core.types import JsonObject

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "scores": {"type": "array", "items": {"type": "integer", "enum": [1, 2, 3]}},
        "count": {"type": "integer"},
    },
    "required": ["name", "scores", "count"],
    "additionalProperties": False,
}


def test_an_answer_fits_its_schema_and_depends_on_the_prompt() -> None:
    answers = [echo(CompleteRequest(f"Name the bird number {i}.", 100, schema=SCHEMA)).text for i in range(20)]
    assert all(Draft202012Validator(SCHEMA).is_valid(json.loads(answer)) for answer in answers)
    assert len(set(answers)) > 10
    assert answers[0] == echo(CompleteRequest("Name the bird number 0.", 100, schema=SCHEMA)).text


def test_without_a_schema_the_end_of_the_prompt_is_repeated() -> None:
    assert echo(CompleteRequest("one two", 3)).text == "two"
