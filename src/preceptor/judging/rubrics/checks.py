"""Checks of a rubric's items by code: the verifiers that preceptor ships, and functions of the user.

A check gives 1 (met), 0 (not met), a share between them, or None ("cannot assess"). What could not be checked is a
`JudgeFailure`: it is never counted as not met. Verifiers read the text of the response, which is hostile; all of them
take time that grows about linearly with its length.
"""

import json
import math
import re
import traceback
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from preceptor.core.errors import UsageError, nearest
from preceptor.core.extras import require
from preceptor.core.types import Flag, Frozen, Integer, JsonObject, JudgeFailure, NonEmpty, Prompt, Real, Response
from preceptor.core.validation import first_problem
from preceptor.judging.rubrics.schemas import compiled, found, schema_validator
from preceptor.judging.rubrics.texts import count_sentences, count_words, last_number
from preceptor.store.named_objects import load_object
from preceptor.store.reading import parse_json

Checked: TypeAlias = "float | JudgeFailure | None"
"""1 if the item is met, 0 if not, a share between them, None for "cannot assess"; or why it could not be checked."""
Count = Annotated[Integer, Field(ge=0, le=10**9)]

LANGUAGE_TEXT = 20_000
"""Characters from the beginning of a text by which its language is told."""
SURE_OF_LANGUAGE = 0.25
"""Least probability of the likeliest language; below it, a text is too short or too mixed to assess."""


class Check(Frozen):
    """Base of the shipped verifiers."""

    def prepare(self) -> None:
        """Checks what checking needs: packages, patterns, schemas. Call it before anything costs money.

        Raises: UsageError.
        """

    def check(self, text: str, reference: str | None = None) -> Checked:
        """Checks the text of a response."""
        raise NotImplementedError


class Contains(Check):
    """Whether the text contains strings, also within words."""

    verifier: Literal["contains"] = "contains"
    all: tuple[NonEmpty, ...] = ()
    """Strings that must all be there."""
    any: tuple[NonEmpty, ...] = ()
    """Strings of which one must be there."""
    none: tuple[NonEmpty, ...] = ()
    """Strings of which none may be there."""
    case: Flag = False
    """Whether upper and lower case differ."""

    @model_validator(mode="after")
    def _names_strings(self) -> "Contains":
        if not (self.all or self.any or self.none):
            raise ValueError('expected strings in "all", "any" or "none"')
        return self

    def check(self, text: str, reference: str | None = None) -> float:
        """1 if every condition holds."""
        within = self._form(text)
        found = {string: self._form(string) in within for string in (*self.all, *self.any, *self.none)}
        some = not self.any or any(found[string] for string in self.any)
        return float(some and all(found[s] for s in self.all) and not any(found[s] for s in self.none))

    def _form(self, text: str) -> str:
        composed = unicodedata.normalize("NFC", text)
        return composed if self.case else composed.casefold()


class Regex(Check):
    r"""Whether a pattern in RE2's syntax is found anywhere in the text.

    RE2 reads a text in linear time, whatever the pattern: no pattern can hang a run. It has no lookaround and no
    backreferences, and its `\w`, `\d` and `\b` know ASCII only; `\pL` is any letter. Needs the extra `rubrics`.
    """

    verifier: Literal["regex"] = "regex"
    pattern: Annotated[str, Field(min_length=1, max_length=10_000)]
    """For instance `(?i)\\bsee a doctor\\b`; `(?i)` ignores case, `(?m)` lets `^` and `$` match at lines."""

    def prepare(self) -> None:
        """Raises: UsageError where the package is missing or RE2 does not take the pattern."""
        compiled(self.pattern)

    def check(self, text: str, reference: str | None = None) -> float:
        """1 if the pattern is found."""
        return float(found(self.pattern, text))


class Words(Check):
    """Whether the number of words is within limits.

    A word is what stands between spaces and has a letter or a digit; languages that write no spaces are not counted
    sensibly.
    """

    verifier: Literal["words"] = "words"
    least: Count | None = None
    most: Count | None = None

    @model_validator(mode="after")
    def _has_limits(self) -> "Words":
        _check_limits(self.least, self.most)
        return self

    def check(self, text: str, reference: str | None = None) -> float:
        """1 if the count is within the limits."""
        return _within(count_words(text), self.least, self.most)


class Sentences(Check):
    """Whether the number of sentences is within limits. A list's items and headings count as sentences."""

    verifier: Literal["sentences"] = "sentences"
    least: Count | None = None
    most: Count | None = None

    @model_validator(mode="after")
    def _has_limits(self) -> "Sentences":
        _check_limits(self.least, self.most)
        return self

    def check(self, text: str, reference: str | None = None) -> float:
        """1 if the count is within the limits."""
        return _within(count_sentences(text), self.least, self.most)


class Json(Check):
    """Whether the text is JSON, and fits a JSON schema (draft 2020-12 unless `$schema` names another).

    The whole text may be JSON, or exactly one fenced block in it. Formats ("format": "email") are not checked, and
    references lead to places within the schema only. Needs the extra `rubrics` where there is a schema.
    """

    verifier: Literal["json"] = "json"
    json_schema: JsonObject | None = Field(default=None, alias="schema")

    def prepare(self) -> None:
        """Raises: UsageError where the package is missing or the schema is none."""
        if self.json_schema is not None:
            schema_validator(json.dumps(self.json_schema))

    def check(self, text: str, reference: str | None = None) -> Checked:
        """1 if the text is JSON and fits the schema."""
        try:
            document = parse_json(_json_text(text))
        except ValueError:
            return 0.0
        if self.json_schema is None:
            return 1.0
        try:
            return float(schema_validator(json.dumps(self.json_schema)).is_valid(_plain_numbers(document)))
        except RecursionError:
            return _failure("the schema refers to itself without an end")
        except Exception as error:  # a reference that leads nowhere is found only here
            return _failure(f"the schema cannot be applied: {_named(error)}")


class Language(Check):
    """Whether the text is written in a language, by character statistics (py3langid). Fenced code is left out.

    "Cannot assess" where no language is likely: short, mixed or wordless texts. Needs the extra `rubrics`.
    """

    verifier: Literal["language"] = "language"
    language: Annotated[str, Field(pattern="^[a-z]{2,3}$")]
    """ISO 639 code, for instance `en`, `de`, `zh`."""

    def prepare(self) -> None:
        """Raises: UsageError where the package is missing or the language is unknown."""
        if self.language not in (known := set(map(_family, _identifier().labels))):
            raise UsageError(f'language "{self.language}": {nearest(self.language, known)}')

    def check(self, text: str, reference: str | None = None) -> float | None:
        """1 if the likeliest language is the right one; None if none is likely."""
        prose = _FENCED.sub(" ", text[:LANGUAGE_TEXT])
        shares: dict[str, float] = {}
        for label, share in _identifier().rank(prose):
            shares[_family(label)] = shares.get(_family(label), 0.0) + share
        likeliest = max(shares, key=lambda label: shares[label])
        return None if likeliest == "zxx" or shares[likeliest] < SURE_OF_LANGUAGE else float(likeliest == self.language)


class Number(Check):
    r"""Whether the text's number equals the reference's.

    The number is the one in the last `\boxed{}`, or the last one in the text: `-1,234.5`, `1e-3`, `3/4`, `\frac{3}{4}`.
    Per cent and units are not converted. A text without a number does not meet the item; a prompt without a
    reference, or a reference without a number, is a failure.
    """

    verifier: Literal["number"] = "number"
    tolerance: Annotated[Real, Field(ge=0)] = 0.0
    """Largest difference that counts as equal."""

    def check(self, text: str, reference: str | None = None) -> Checked:
        """1 if the numbers are equal."""
        if reference is None:
            return _failure("the prompt has no reference answer")
        if (expected := last_number(reference)) is None:
            return _failure("the reference answer has no number")
        given = last_number(text)
        return float(given is not None and math.isclose(given, expected, rel_tol=1e-9, abs_tol=self.tolerance))


Verifier: TypeAlias = Annotated[
    Contains | Regex | Words | Sentences | Json | Language | Number, Field(discriminator="verifier")
]
VERIFIERS = ("contains", "regex", "words", "sentences", "json", "language", "number")
_ADAPTER: TypeAdapter[Verifier] = TypeAdapter(Verifier)


def verifier_of(arguments: Mapping[str, Any]) -> Verifier:
    """The verifier that a rubric's item names: `{"verifier": "words", "most": 100}`.

    Raises: UsageError for an unknown verifier, argument or value.
    """
    name = arguments.get("verifier")
    if name not in VERIFIERS:
        raise UsageError(f'verifier "{name}": {nearest(str(name), VERIFIERS)}')
    try:
        return _ADAPTER.validate_python(dict(arguments))
    except ValidationError as error:
        said = first_problem(error).removeprefix(f"{name}.").replace(f'"{name}.', '"')
        raise UsageError(f'verifier "{name}": {said}') from error


class UserCheck:
    """A function of the user: `check(prompt: Prompt, response: Response)`.

    It returns True or False, a share from 0 to 1, or None for "cannot assess". What it raises is a failure of the item.

    Args:
        name: `path/file.py:function` or `package.module:function`. The module is executed.

    Raises: UsageError when there is no such function.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        function = load_object(name, "the check", "function")
        if not callable(function):
            raise UsageError(f'the check "{name}": expected a function, got a {type(function).__name__}')
        self._function = cast("Callable[[Prompt, Response], object]", function)

    def check(self, prompt: Prompt, response: Response) -> Checked:
        """The function's answer."""
        try:
            answer = self._function(prompt, response)
        except (Exception, SystemExit) as error:  # a user's code may raise anything
            last = traceback.extract_tb(error.__traceback__)[-1]
            return _failure(f"the check {self.name} raised {_named(error)} ({last.filename}:{last.lineno})")
        return answer if answer is None else self._share(answer)

    def _share(self, answer: object) -> float | JudgeFailure:
        try:
            if not isinstance(answer, str | bytes) and 0.0 <= (share := float(cast("float", answer))) <= 1.0:
                return share
        except (TypeError, ValueError, OverflowError):
            pass
        return _failure(f"the check {self.name} returned {repr(answer)[:60]}; expected True, False, None or 0 to 1")


_FENCED = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_FAMILIES = {"yue": "zh", "wuu": "zh", "nn": "no", "arz": "ar", "ary": "ar"}
"""Labels of py3langid that count as another language."""


def _check_limits(least: int | None, most: int | None) -> None:
    if least is None and most is None:
        raise ValueError('expected a limit: "least" or "most"')
    if least is not None and most is not None and least > most:
        raise ValueError(f'"least" is {least}, more than "most", {most}')


def _within(count: int, least: int | None, most: int | None) -> float:
    return float((least is None or count >= least) and (most is None or count <= most))


def _json_text(text: str) -> str:
    """The content of the only fenced block; the whole text if there is not exactly one."""
    blocks = _FENCED.findall(text)
    within = text.strip()
    return blocks[0] if len(blocks) == 1 and not within.startswith(("{", "[", '"')) else within


def _plain_numbers(value: Any) -> Any:
    """The same JSON, in which 1.0 is 1, as JSON schemas see it."""
    if isinstance(value, list):
        return [_plain_numbers(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _plain_numbers(each) for key, each in cast("dict[str, Any]", value).items()}
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


@lru_cache(maxsize=1)
def _identifier() -> Any:
    require('the verifier "language" needs', "py3langid")
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _family(label: str) -> str:
    return _FAMILIES.get(label, label)


def _failure(detail: str) -> JudgeFailure:
    """Asking again does not help."""
    return JudgeFailure(reason="refused", detail=detail)


def _named(error: BaseException) -> str:
    """Kind and first line of an error."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
