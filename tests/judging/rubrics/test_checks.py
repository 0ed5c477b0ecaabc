"""Checks by code: cases counted by hand, and hostile texts. A failure is never "not met"."""

import json
from pathlib import Path

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject, JudgeFailure, Message, Prompt, Response
from preceptor.judging.rubrics.checks import VERIFIERS, Checked, UserCheck, verifier_of

PROMPT = Prompt(id="p", conversation=(Message(role="user", content="Name a colour."),), reference="blue")
HOSTILE = ("", "\x00", "\ud800", "a" * 200_000, "[" * 200_000, "." * 200_000 + "x", "\n" * 200_000, "\\boxed{" * 20_000)
"""Texts on which careless code fails or takes minutes."""
EVERY: tuple[JsonObject, ...] = (
    {"verifier": "contains", "all": ["a"], "none": ["b"]},
    {"verifier": "regex", "pattern": "(a+)+$"},
    {"verifier": "words", "most": 3},
    {"verifier": "sentences", "most": 3},
    {"verifier": "json", "schema": {"pattern": "(a|aa)+$"}},
    {"verifier": "language", "language": "en"},
    {"verifier": "number"},
)


def check(text: str, reference: str | None = None, **arguments: object) -> Checked:
    verifier = verifier_of(arguments)
    verifier.prepare()
    return verifier.check(text, reference)


@pytest.mark.parametrize("arguments", EVERY, ids=[str(each["verifier"]) for each in EVERY])
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_is_answered(arguments: JsonObject, text: str) -> None:
    assert check(text, reference="3", **arguments) in {0.0, 1.0, None}


def test_every_verifier_meets_the_hostile_texts() -> None:
    assert tuple(each["verifier"] for each in EVERY) == VERIFIERS


def test_contains() -> None:
    assert check("Blue, not red", verifier="contains", all=["blue", "red"]) == 1
    assert check("Blue, not red", verifier="contains", all=["blue", "red"], case=True) == 0
    assert check("Blue, not red", verifier="contains", any=["green", "red"], none=["pink"]) == 1
    assert check("Blue, not red", verifier="contains", any=["green", "pink"]) == 0
    assert check("Blue, not red", verifier="contains", none=["red"]) == 0
    assert check("cafe\u0301", verifier="contains", all=["caf\u00e9"]) == 1  # composed or not


def test_a_pattern_is_found_anywhere() -> None:
    assert check("Call 555-0100.", verifier="regex", pattern=r"\b\d{3}-\d{4}\b") == 1
    assert check("Call me.", verifier="regex", pattern=r"\d") == 0
    assert check("one\n# Two", verifier="regex", pattern=r"(?m)^# ") == 1


@pytest.mark.parametrize("pattern", ["(", "(?=a)", r"(a)\1", "((a{1000}){1000}){1000}"])
def test_a_pattern_that_re2_does_not_take_is_refused_before_any_text(pattern: str) -> None:
    with pytest.raises(UsageError, match="RE2"):
        verifier_of({"verifier": "regex", "pattern": pattern}).prepare()


def test_words_and_sentences_within_limits() -> None:
    text = "Well-known words - four here. Done"  # the dash is none: Well-known, words, four, here., Done
    assert [
        check(text, verifier="words", least=least, most=most) for least, most in ((5, 5), (6, None), (None, 4))
    ] == [
        1,
        0,
        0,
    ]
    assert check(text, verifier="sentences", least=2, most=2) == 1
    assert check("", verifier="words", most=0) == 1


def test_json_alone_or_in_the_only_fenced_block() -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 1}}}
    assert check('{"n": 1}', verifier="json", schema=schema) == 1
    assert check('{"n": 1.0}', verifier="json", schema=schema) == 1  # 1.0 is an integer in JSON schemas
    assert check('Here:\n```json\n{"n": 2}\n```\nDone.', verifier="json", schema=schema) == 1
    assert check('```\n{"n": 2}\n```\n```\n{"n": 3}\n```', verifier="json", schema=schema) == 0  # which one?
    assert check('{"n": 0}', verifier="json", schema=schema) == 0
    assert check('{"n": 1', verifier="json", schema=schema) == 0
    assert check('{"code": "```\\nx\\n```"}', verifier="json") == 1
    assert [check(text, verifier="json") for text in ("3", "NaN", "three")] == [1, 0, 0]


def test_patterns_and_unique_items_of_schemas() -> None:
    schema = {"type": "array", "uniqueItems": True, "items": {"type": "string", "pattern": "^a+$"}}
    assert [check(text, verifier="json", schema=schema) for text in ('["a", "aa"]', '["a", "a"]', '["b"]')] == [1, 0, 0]
    many = json.dumps([{"n": i} for i in range(20_000)])
    assert check(many, verifier="json", schema={"uniqueItems": True}) == 1


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nothing"},
        {"$ref": "https://example.org/schema.json"},
        {"patternProperties": {"(a+)+$": {}}},
        {"properties": {"a": {"pattern": "("}}},
    ],
)
def test_a_schema_that_cannot_be_applied_is_refused(schema: JsonObject) -> None:
    with pytest.raises(UsageError):
        verifier_of({"verifier": "json", "schema": schema}).prepare()


def test_a_schema_that_fails_only_when_applied_is_a_failure() -> None:
    for schema in ({"$ref": "#"}, {"$ref": "#/nowhere"}):
        assert isinstance(check("[1]", verifier="json", schema=schema), JudgeFailure)


def test_language() -> None:
    german = "Der Hund läuft schnell über die Wiese und bellt."
    assert check(german, verifier="language", language="de") == 1
    assert check(german, verifier="language", language="en") == 0
    assert check("ok", verifier="language", language="en") is None
    assert (
        check(
            "Das ist ein Beispiel:\n```python\nfor word in words:\n    print(word)\n```",
            verifier="language",
            language="de",
        )
        == 1
    )
    with pytest.raises(UsageError, match="qq"):
        verifier_of({"verifier": "language", "language": "qq"}).prepare()


def test_a_number_equals_the_reference() -> None:
    def number(text: str, reference: str | None, tolerance: float = 0.0) -> Checked:
        return check(text, reference, verifier="number", tolerance=tolerance)

    assert number("So it is 1,234.50.", "1234.5") == 1
    assert number("It is 7.", "so #### 8") == 0
    assert number("It is 7.", "8", 1.0) == 1
    assert number("I do not know", "8") == 0
    assert isinstance(number("8", None), JudgeFailure)
    assert isinstance(number("8", "eight"), JudgeFailure)


def test_wrong_arguments_are_named() -> None:
    for arguments, said in (
        ({"verifier": "word"}, '"words"'),
        ({"verifier": "words"}, "most"),
        ({"verifier": "words", "least": 5, "most": 4}, "5"),
        ({"verifier": "words", "max": 4}, "max"),
        ({"verifier": "contains", "all": [""]}, "1 character"),
        ({"verifier": "language", "language": "English"}, "language"),
    ):
        with pytest.raises(UsageError, match=said):
            verifier_of(arguments)


FUNCTIONS = """
def named(prompt, response):
    return prompt.reference in response.text

def half(prompt, response):
    return 0.5

def unsure(prompt, response):
    return None

def broken(prompt, response):
    return 1 / 0

def wrong(prompt, response):
    return "yes"

def large(prompt, response):
    return 2

def quits(prompt, response):
    raise SystemExit(3)

number = 3
"""


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    path = tmp_path / "own_checks.py"
    path.write_text(FUNCTIONS, encoding="utf-8")
    return path


def test_the_answers_of_a_users_function(functions: Path) -> None:
    answers = {
        name: UserCheck(f"{functions}:{name}").check(PROMPT, Response(prompt_id="p", text="It is blue."))
        for name in ("named", "half", "unsure", "broken", "wrong", "large", "quits")
    }
    assert (answers["named"], answers["half"], answers["unsure"]) == (1.0, 0.5, None)
    assert UserCheck(f"{functions}:named").check(PROMPT, Response(prompt_id="p", text="Red.")) == 0.0
    for name, said in (("broken", "ZeroDivisionError"), ("wrong", "'yes'"), ("large", "2"), ("quits", "SystemExit")):
        answer = answers[name]
        assert isinstance(answer, JudgeFailure) and said in answer.detail and not answer.transient


def test_what_is_no_function_is_refused(functions: Path) -> None:
    with pytest.raises(UsageError, match="int"):
        UserCheck(f"{functions}:number")
    with pytest.raises(UsageError, match="named"):
        UserCheck(f"{functions}:name")
    with pytest.raises(UsageError, match=r"ends in \.py"):
        UserCheck("../own_checks:named")
