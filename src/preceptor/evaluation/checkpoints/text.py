"""Measures on texts that need no language model."""

from collections.abc import Sequence
from itertools import pairwise


def distinct_2(texts: Sequence[str]) -> float:
    """Share of different bigrams among all bigrams of all texts (distinct-2, Li et al. 2016).

    Words are split at white space and lower-cased. 0 when there is no bigram. Falls when a policy repeats itself,
    within a text or across texts.
    """
    bigrams = [pair for text in texts for pair in _bigrams(text)]
    return len(set(bigrams)) / len(bigrams) if bigrams else 0.0


def _bigrams(text: str) -> list[tuple[str, str]]:
    words = text.lower().split()
    return list(pairwise(words))
