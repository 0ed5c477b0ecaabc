"""What may sway a judge in the form and tone of a text: numbers of a text that need no language model.

Whoever measures such a bias, or takes it off a reward, measures texts by these functions, so that a unit means the same
everywhere.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from math import log2
from statistics import fmean
from typing import Literal, TypeAlias

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from preceptor.judging.refusal_rules import is_refusal

TextFeature: TypeAlias = Literal["length", "markdown", "lists", "sentiment", "refusal"]
_SENTENCES = 40  # sentences whose tone is read; the lexicon takes a millisecond for each few of them
_LONGEST = 400  # characters of a sentence that are read
_REMEMBERED = 1 << 14

_MARKDOWN = re.compile(
    r"^\ {0,3}(?:\#{1,6}\ \S|>\ |```|\|[^\n]{1,400}\|\s*$)"  # a heading, a quotation, a block of code, a table
    r"|\*\*\S[^*\n]{0,200}\*\*|__\S[^_\n]{0,200}__"  # bold
    r"|`[^`\n]{1,200}`"  # code
    r"|\[[^\]\n]{1,200}\]\([^)\s]{1,400}\)",  # a link
    re.MULTILINE | re.VERBOSE,
)
_ITEM = re.compile(r"\s{0,12}(?:[-*+•]|\d{1,3}[.)])\s+\S")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")


@dataclass(frozen=True)
class Feature:
    """A number of a text, and what one unit of it is."""

    unit: str
    """What a response is that exceeds another one by one unit."""
    measure: Callable[[str], float]


def features_of(text: str) -> dict[TextFeature, float]:
    r"""All features of a text, by name.

    Examples:
        >>> features_of("- one\n- two\nAnd **bold**.")["markdown"]
        1.0
    """
    return dict(_features_of(text))


def length(text: str) -> float:
    """The logarithm to base 2 of the number of characters plus one: a text twice as long has one more."""
    return log2(1 + len(text))


def markdown(text: str) -> float:
    """1 if the text has Markdown other than lists (a heading, bold, code, a table, a quotation, a link), else 0."""
    return float(_MARKDOWN.search(text) is not None)


def lists(text: str) -> float:
    """The share of its lines, empty ones left out, that are items of a list."""
    lines = [line for line in text.splitlines() if line.strip()]
    return sum(_ITEM.match(line) is not None for line in lines) / len(lines) if lines else 0.0


def sentiment(text: str) -> float:
    """The mean tone of its sentences, from -1 to 1 (`vader`). The tone of a whole text would grow with its length. Of a
    long text, the first 40 sentences are read.
    """
    sentences = [sentence for sentence in _SENTENCE_END.split(text) if sentence.strip()]
    return fmean(vader(sentence[:_LONGEST]) for sentence in sentences[:_SENTENCES]) if sentences else 0.0


def refusal(text: str) -> float:
    """1 if the text refuses the request in its first sentences, else 0; English only."""
    return float(is_refusal(text))


def vader(text: str) -> float:
    """Compound sentiment in [-1, 1] by rules and a lexicon (VADER, Hutto & Gilbert 2014)."""
    return float(_analyzer().polarity_scores(text)["compound"])


FEATURES: dict[TextFeature, Feature] = {
    "length": Feature("twice as long", length),
    "markdown": Feature("with Markdown", markdown),
    "lists": Feature("all a list", lists),
    "sentiment": Feature("more positive by 1", sentiment),
    "refusal": Feature("a refusal", refusal),
}


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()


@lru_cache(maxsize=_REMEMBERED)
def _features_of(text: str) -> tuple[tuple[TextFeature, float], ...]:
    return tuple((name, feature.measure(text)) for name, feature in FEATURES.items())
