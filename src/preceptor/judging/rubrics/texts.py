"""Counts and numbers in a text, for verifiers. Texts are hostile: every repetition in a pattern is bounded."""

import math
import re

LONGEST_NUMBER_TEXT = 20_000
"""Characters from the end of a text in which its last number is looked for."""

_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|vs|cf|Dr|Mr|Mrs|Ms|Prof|St|Fig|approx|[A-Z])\.(?=\s)")
_ITEM = r"[^\S\n]{0,20}(?:[-*+•#]{1,6}|\d{1,3}[.)])[^\S\n]"
"""How a list's item or a heading begins."""
_BLOCK_END = re.compile(rf"\n[^\S\n]*\n|\n(?={_ITEM})")
_SENTENCE_END = re.compile(r"[.!?…]{1,20}[\"'”’»)\]*_]{0,8}(?=\s|$)|[。！？]{1,20}")
_MARK = re.compile(rf"\A{_ITEM}")
_BOXED = re.compile(r"\\boxed\s{0,5}\{((?:[^{}]|\{[^{}]{0,200}\}){1,400})\}")
_FRACTION = re.compile(r"(-?)\\[dt]?frac\s{0,5}\{\s{0,5}(-?\d{1,50})\s{0,5}\}\s{0,5}\{\s{0,5}(\d{1,50})\s{0,5}\}")
_NUMBER = re.compile(
    r"(?<![\w./])((?:(?<!\))-)?(?>(?:\d{1,3}(?:,\d{3}){1,30}(?!\d)|\d{1,300}(?!\d))(?:\.\d{1,300})?|\.\d{1,300})"
    r"(?:[eE][-+]?\d{1,3}(?!\w))?)(?:/(\d{1,50})(?![\d/.]\d))?(?!(?:st|nd|rd|th)\b)"
)


def count_words(text: str) -> int:
    """Number of words: what stands between spaces and has a letter or a digit."""
    return sum(any(map(str.isalnum, part)) for part in text.split())


def count_sentences(text: str) -> int:
    """Number of sentences: ended by `.`, `!`, `?` or their like, by an empty line, or by a list's next item.

    Examples:
        >>> count_sentences("Dr. Who paid 3.50, e.g. in cash. Why?")
        2
    """
    blocks = [_ABBREVIATION.sub("x", _MARK.sub("", block, count=1)) for block in _BLOCK_END.split(text)]
    return sum(any(map(str.isalnum, part)) for block in blocks for part in _SENTENCE_END.split(block))


def last_number(text: str) -> float | None:
    r"""The number in the last `\boxed{}`, or else the last number in the text; None if there is none.

    Examples:
        >>> last_number("So 2 x 617.25 = 1,234.50."), last_number("\\boxed{\\frac{3}{4}} in 2 steps")
        (1234.5, 0.75)
    """
    end = text[-LONGEST_NUMBER_TEXT:].replace("−", "-")
    boxed = _BOXED.findall(end)
    within = _FRACTION.sub(r" \1\2/\3", boxed[-1] if boxed else end)
    numbers = [value for match in _NUMBER.finditer(within) if (value := _value(match)) is not None]
    return numbers[-1] if numbers else None


def _value(match: re.Match[str]) -> float | None:
    value, divisor = float(match[1].replace(",", "")), float(match[2] or 1)
    return value / divisor if divisor and math.isfinite(value) else None
