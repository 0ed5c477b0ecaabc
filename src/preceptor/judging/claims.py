"""Splits a response into claims: by the judge in one structured call, or into sentences where it cannot.

What a small model returns for claims may be invented, or no list at all. So a list of which any claim has most of its
words from elsewhere is not used: the response's own sentences are the claims instead, and which way it was is kept.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from pydantic_core import from_json

from preceptor.backends.base import CompleteRequest, Completion, LanguageModel, Thinking
from preceptor.core.sentences import sentences
from preceptor.core.types import JsonObject, JudgeFailure, Message, Usage
from preceptor.judging.one_call import unfenced
from preceptor.judging.render import one_line, tagged

SplitBy: TypeAlias = Literal["judge", "sentences"]
"""Who split a response into claims: the judge; or code, into its sentences."""
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"claims": {"type": "array", "items": {"type": "string"}}},
    "required": ["claims"],
    "additionalProperties": False,
}
FORM = 'Answer with one JSON object of this form and nothing else:\n{"claims": ["first claim", "second claim"]}'
LEAST_TOKENS = 128
MOST_TOKENS = 4096
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Split:
    """The claims of a response; none if it claims nothing."""

    claims: tuple[str, ...]
    by: SplitBy
    usage: Usage


def split_by_sentences(text: str, usage: Usage | None = None) -> Split:
    """Each sentence as a claim; repeated ones once.

    Args:
        usage: of a call to the judge whose answer could not be used.
    """
    return Split(tuple(dict.fromkeys(map(one_line, sentences(text)))), "sentences", usage or Usage())


def split_request(model: LanguageModel, instruction: str, text: str, thinking: Thinking | None) -> CompleteRequest:
    """The request for the claims of a text. The judge sees nothing but the text, so it can take no claim from
    elsewhere.
    """
    asked = f"{tagged('response', text)}\n\n{instruction}\n\n{FORM}"
    # Claims repeat the names that they are about, so a list may be several times as long as the text.
    most = min(MOST_TOKENS, LEAST_TOKENS + 3 * model.count_tokens(text or "."))
    return CompleteRequest((Message(role="user", content=asked),), most, schema=SCHEMA, thinking=thinking)


def read_split(text: str, answer: Completion | JudgeFailure) -> Split | JudgeFailure:
    """The claims that the judge listed, repeated ones once; the text's sentences if its list cannot be used.

    A failed call stays a failure: asked again, the judge may split the text.
    """
    if isinstance(answer, JudgeFailure):
        return answer
    listed = _listed(answer.text)
    own = _words(text)
    if listed is None or not all(_is_from(own, claim) for claim in listed):
        return split_by_sentences(text, answer.usage)
    return Split(tuple(dict.fromkeys(listed)), "judge", answer.usage)


def _listed(answer: str) -> list[str] | None:
    """The claims in an answer, each on one line; None if it is no list of texts."""
    try:
        given: Any = from_json(unfenced(answer))
    except ValueError:
        return None
    claims: Any = cast("dict[str, Any]", given).get("claims") if isinstance(given, dict) else None
    if not isinstance(claims, list):
        return None
    listed = cast("list[Any]", claims)
    if not all(isinstance(claim, str) and _WORD.search(claim) for claim in listed):
        return None
    return [one_line(claim) for claim in listed]


def _is_from(own: frozenset[str], claim: str) -> bool:
    """Whether at least half of a claim's words are in the text."""
    words = _words(claim)
    return 2 * len(words & own) >= len(words)


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))
