"""Rules that decide whether a person could read what a policy wrote.

Training on a reward can end in text that scores well and says nothing: a row of emoji, one phrase repeated endlessly,
words in random order. The rules find the obvious cases. They do not depend on the language, so they hold for every
script, for code and for tables. They prefer missing a bad text to flagging a good one.
"""

import re
import statistics
import unicodedata
from collections.abc import Sequence
from typing import Literal

Unreadable = Literal["empty", "no words", "broken characters", "symbols", "repetition"]
"""Why a text cannot be read."""

BROKEN_SHARE = 0.1
"""Share of meaningless characters (replacement and control characters, code points without a meaning) among those that
are not white space, above which a text is broken. A single one does not count: a length limit may split a character.
"""
SYMBOL_SHARE = 0.5
"""Emoji, boxes and other signs as a share of signs, letters and digits, above which a text is made of symbols."""
REPEATED_SHARE = 0.5
"""Share of a text's runs of six words that occurred earlier in it, above which it repeats itself."""
REPEATED_FROM = 15
"""Repetition is checked in texts of at least this many words: a short answer may say one thing three times."""
FAR_BELOW = 4.0
"""A text this many nats per token below the median of the reference's own responses is not in its language. Values for
SmolLM2-135M, whose own responses have a median of -1.8: answers by people -2.5, other languages -3.4 to -4.7, praise
without grammar -7.3, shuffled words -7.2, random tokens -13.8."""
LIKELIHOOD_FROM = 8
"""A likelihood is meaningful for at least this many tokens: a model expects sentences, and finds "42" as unlikely as
nonsense.
"""

_RUN = 6
_DRAWN = range(0x2500, 0x25A0)  # lines and blocks used to draw tables, folder trees and bars
# Scripts that put no space between words: each character counts as a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\W_])+")
_NUMBERING = re.compile(r"^\s*\d+[.)]\s", re.MULTILINE)
_STUTTER = re.compile(r"([^\W\d_]{1,12}?)\1{9,}")


def unreadable(text: str) -> Unreadable | None:
    """Why a person could not read the text, or None if no rule finds a reason.

    Args:
        text: a whole response. Being cut at a length limit is not a reason.

    Returns: the first that holds of
        "empty": there is nothing but white space;
        "no words": there is no letter and no digit;
        "broken characters": more than `BROKEN_SHARE` of it, and at least two, are replacement or control characters,
        or code points that mean nothing;
        "symbols": more than `SYMBOL_SHARE` of its signs, letters and digits are signs. ASCII punctuation, lines of
        tables, currencies and mathematics are not counted as signs;
        "repetition": more than `REPEATED_SHARE` of its runs of six words occurred earlier, or more than that share
        of its letters repeat one piece of a word ten times or more in a row.

    Examples:
        >>> unreadable("😍▯▯▯▯▯")
        'no words'
        >>> unreadable("42")
    """
    letters, signs, broken, others = _counted(text)
    solid = letters + signs + broken + others
    if solid == 0:
        return "empty"
    if letters == 0:
        return "no words"
    if broken >= 2 and broken > BROKEN_SHARE * solid:
        return "broken characters"
    if signs > SYMBOL_SHARE * (signs + letters):
        return "symbols"
    return "repetition" if _repeats(text) else None


def share_unreadable(
    texts: Sequence[str],
    mean_log_probs: Sequence[float | None] | None = None,
    floor: float | None = None,
) -> float | None:
    """Share of the texts in [0, 1] that a person could not read, by `unreadable` or by the reference's likelihood.

    Args:
        texts: responses.
        mean_log_probs: the result of `mean_log_prob` for each text under the reference model. None if nothing was
            measured: then only the rules decide.
        floor: the result of `likelihood_floor`; texts below it count as unreadable. None ignores likelihoods.

    Returns: None if there are no texts.
    Raises: ValueError when the numbers of texts and log-probabilities differ.

    Examples:
        >>> share_unreadable(["Get well soon!", "😍▯▯▯▯▯"])
        0.5
    """
    if mean_log_probs is not None and len(mean_log_probs) != len(texts):
        raise ValueError(f"{len(mean_log_probs)} log-probabilities for {len(texts)} texts")
    known = [None] * len(texts) if mean_log_probs is None or floor is None else mean_log_probs
    return share(
        [
            unreadable(text) is not None or (value is not None and floor is not None and value < floor)
            for text, value in zip(texts, known, strict=True)
        ]
    )


def mean_log_prob(log_prob: float, tokens: int) -> float | None:
    """Mean log-probability per token, in nats; None for a text of fewer than `LIKELIHOOD_FROM` tokens.

    Args:
        log_prob: log-probability of the whole response under the reference model, in nats.
    """
    return log_prob / tokens if tokens >= LIKELIHOOD_FROM else None


def likelihood_floor(own_mean_log_probs: Sequence[float | None]) -> float | None:
    """Mean log-probability per token, in nats, below which a text is not in the reference model's language.

    It is `FAR_BELOW` under the median of the reference's own responses, or their minimum if that is lower, so no
    response that the reference itself wrote is called unreadable for its likelihood.

    Args:
        own_mean_log_probs: the results of `mean_log_prob` for the reference's own responses to these prompts.

    Returns: None if no response was long enough.
    """
    known = [value for value in own_mean_log_probs if value is not None]
    return min(*known, statistics.median(known) - FAR_BELOW) if known else None


def share(held: Sequence[bool]) -> float | None:
    """Share of the values that are true, in [0, 1]; None if there are no values."""
    return sum(held) / len(held) if held else None


def _counted(text: str) -> tuple[int, int, int, int]:
    """Letters and digits, signs, broken characters, and all other characters that are not white space."""
    letters = signs = broken = others = 0
    for character in text:
        if character.isspace():
            continue
        category = unicodedata.category(character)
        if category[0] in "LMN":
            letters += character not in "\ufe0e\ufe0f"  # selectors of how an emoji is drawn
        elif character == "\ufffd" or category in ("Cc", "Cn", "Co", "Cs"):
            broken += 1
        elif category == "So" and ord(character) not in _DRAWN:
            signs += 1
        else:
            others += 1
    return letters, signs, broken, others


def _repeats(text: str) -> bool:
    plain = _NUMBERING.sub("", text.lower())
    words: list[str] = _WORD.findall(plain)
    stuttered = sum(len(match[0]) for match in _STUTTER.finditer(plain))
    if stuttered > REPEATED_SHARE * sum(map(len, words)):
        return True
    if len(words) < REPEATED_FROM:
        return False
    runs = [tuple(words[i : i + _RUN]) for i in range(len(words) - _RUN + 1)]
    seen: set[tuple[str, ...]] = set()
    again = 0
    for run in runs:
        again += run in seen and any(word.isalpha() for word in run)  # a matrix may repeat numbers
        seen.add(run)
    return again > REPEATED_SHARE * len(runs)
