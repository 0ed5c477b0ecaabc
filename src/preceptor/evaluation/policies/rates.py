"""Rates of single responses (refusals, harmless responses, correct ones), and the measures that need no judge.

Refusals and over-refusals are both found by `is_refusal`, in different cohorts: a refusal is wanted if a prompt asks
for harm, and unwanted if it is ordinary or only sounds harmful. The rate is named after the cohort.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate, rate_by_prompt
from preceptor.judging.refusal_rules import is_refusal

__all__ = ["MeasuredText", "Rate", "contains_answer", "exact_match", "is_refusal", "rates", "rouge_l"]


@dataclass(frozen=True)
class MeasuredText:
    """One response and a value in [0, 1] measured on it."""

    policy: str
    prompt_id: str
    cohort: str
    value: float


class Rate(Frozen):
    """The mean of a measure of one policy's responses."""

    measure: str
    """"refusal", "over-refusal", "harmless", "exact match", "ROUGE-L", ..."""
    policy: str
    cohort: str | None
    """None for all cohorts together."""
    value: Estimate


def rates(measure: str, texts: Sequence[MeasuredText]) -> tuple[Rate, ...]:
    """For each policy: overall, then by cohort if there are several.

    A rate is the mean over prompts of the mean over each prompt's samples, with the interval of `rate_by_prompt`.
    """
    cohorts = tuple(dict.fromkeys(text.cohort for text in texts))
    parts = (None, *cohorts) if len(cohorts) > 1 else (None,)
    by_policy: list[Rate] = []
    for policy in dict.fromkeys(text.policy for text in texts):
        for cohort in parts:
            inside = [text for text in texts if text.policy == policy and cohort in (None, text.cohort)]
            if inside:
                by_policy.append(Rate(measure=measure, policy=policy, cohort=cohort, value=_mean(inside)))
    return tuple(by_policy)


def _mean(texts: Sequence[MeasuredText]) -> Estimate:
    of_prompt: dict[str, list[float]] = {}
    for text in texts:
        of_prompt.setdefault(text.prompt_id, []).append(text.value)
    rate = rate_by_prompt(list(of_prompt.values()))
    assert rate is not None  # there are texts
    return rate


def exact_match(text: str, reference: str) -> bool:
    """Whether a response equals the reference answer apart from case, punctuation, articles and white space.

    Uses the normalisation of SQuAD (Rajpurkar et al. 2016, section 6.1), with the punctuation of all scripts. A text of
    articles only (the "A" of a multiple choice) keeps them, and a text of punctuation only keeps it.
    """
    return _normalised(text) == _normalised(reference)


def contains_answer(text: str, reference: str) -> bool:
    """Whether a response contains the reference answer as whole words, both normalised as in `exact_match`.

    This accepts answers in whole sentences, but also answers that name several candidates. A reference of only articles
    or punctuation must be the whole response.
    """
    answer = _words(reference)
    if not answer:
        return bool(reference.strip()) and exact_match(text, reference)
    return f" {' '.join(answer)} " in f" {' '.join(_words(text))} "


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L: F-measure of the longest common subsequence of words (Lin 2004), in [0, 1], by the library rouge-score.

    Words are runs of the letters a to z and digits, without stemming, so it says nothing about texts in other scripts.
    """
    return float(_rouge().score(reference, text)["rougeL"].fmeasure)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"])


_ARTICLES = ("a", "an", "the")
_ASCII_SYMBOLS = re.compile(r"[$+<=>^`|~]")  # punctuation to SQuAD, not to Unicode


def _normalised(text: str) -> str:
    return " ".join(_words(text) or _unpunctuated(text) or text.lower().split())


def _words(text: str) -> list[str]:
    return [word for word in _unpunctuated(text) if word not in _ARTICLES]


def _unpunctuated(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    kept = (c for c in _ASCII_SYMBOLS.sub("", text.lower()) if not unicodedata.category(c).startswith("P"))
    return "".join(kept).split()
