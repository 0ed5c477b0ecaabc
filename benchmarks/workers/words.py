"""Random text of a known length."""

import random

_WORDS = (
    "the people water would write number first sound most part over new place year live back give thing only name good "
    "sentence great think say help low line before turn cause much mean right old too same tell boy follow came want "
    "show also around form three small set put end does another well large must big even such because here why"
)
WORDS = _WORDS.split()
"""Each is one token of the embedded model, with the space before it."""
ACCENTED = "café"
"""Also one token of the embedded model, but not ASCII."""


def random_text(draw: random.Random, tokens: int) -> str:
    """Words of one token each. One text in ten has a character outside ASCII, as people's chats have."""
    words = draw.choices(WORDS, k=tokens)
    return " ".join([*words[1:], ACCENTED] if draw.random() < 0.1 else words)
