"""Says in words what sways a judge in excess of people."""

from collections.abc import Sequence

from preceptor.core.numbers import estimate, listed, number
from preceptor.evaluation.judges.excess_bias import BiasEffect, BiasName

SHOWN: dict[BiasName, str] = {
    "position": "being shown first",
    "length": "length",
    "markdown": "Markdown",
    "lists": "lists",
    "sentiment": "a positive tone",
    "refusal": "refusing",
    "self": "its own responses",
    "family": "responses of its family",
}
"""How a feature is called in sentences and tables."""


def swayed(effects: Sequence[BiasEffect]) -> list[BiasEffect]:
    """The effects whose excess is more than chance, the largest first."""
    found = [(abs(effect.excess.value), effect) for effect in effects if effect.excess and effect.beyond_chance]
    return [effect for _, effect in sorted(found, key=lambda pair: -pair[0])]


def excess_in_words(effects: Sequence[BiasEffect], name: str) -> str | None:
    """One sentence about a judge; None where nothing was looked for.

    Args:
        name: of the judge.
    """
    measured = [effect for effect in effects if effect.unknown is None]
    if not measured:
        why = [effect.unknown for effect in effects if effect.feature == "length"]
        return f"In excess of people, {name}: not measured, {why[0]}" if why else None
    if not (found := swayed(measured)):
        looked_at = listed([SHOWN[effect.feature] for effect in measured])
        return f"In excess of people, {name}: nothing beyond chance ({looked_at})"
    listing = "; ".join(f"{SHOWN[each.feature]} {_sized(each)}" for each in found)
    return f"In excess of people, in log-odds, {name}: {listing}"


def _sized(effect: BiasEffect) -> str:
    """`+0.42 [+0.10, +0.75] (twice as long; people +0.18)`, or without what is in brackets for the position."""
    sized = estimate(effect.excess, 2, True)
    return sized if effect.people is None else f"{sized} ({effect.unit}; people {number(effect.people.value, 2, True)})"
