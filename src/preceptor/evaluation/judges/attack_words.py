"""Describes attacks on a judge in sentences."""

from collections.abc import Iterator

from preceptor.core.numbers import number, share
from preceptor.evaluation.judges.attack_rates import AttackRate, JudgeAttacks

_NAMED = 3


def in_sentences(attacks: JudgeAttacks, name: str) -> Iterator[str]:
    """What fools a judge most, and what a search found; without full stops.

    Args:
        name: of the judge.
    """
    yield from _most(
        name, [rate for rate in attacks.rates if rate.kind != "dressed"], "attacks that answer nothing or lie"
    )
    yield from _lifted(name, [rate for rate in attacks.rates if rate.kind == "dressed"])
    search = attacks.search
    if search is not None and search.fooled is None:
        why = "no edit was judged" if search.failed else "no worse response to start from"
        yield f"{name}: the search for edits that win has no result ({why})"
    elif search is not None:
        took = "" if search.calls_to_fool is None else f", in {number(search.calls_to_fool, 0)} comparisons (median)"
        failed = f", {search.failed} of all failed" if search.failed else ""
        yield (
            f"{name}: edits made {share(search.fooled)} of {search.targets} worse responses win{took}; up to "
            f"{search.budget} comparisons each{failed}"
        )


def _most(name: str, rates: list[AttackRate], what: str) -> Iterator[str]:
    measured = [(rate.fooled.value, rate) for rate in rates if rate.fooled is not None]
    if not measured:
        return
    fooling = [rate for value, rate in sorted(measured, key=lambda each: -each[0]) if value > 0][:_NAMED]
    if not fooling:
        yield f"{name}: none of the {what} won against an honest response"
        return
    said = ", ".join(f"{rate.attack} {share(rate.fooled)}" for rate in fooling)
    yield f"{name}: of the {what}, these won most often against an honest response: {said}"


def _lifted(name: str, rates: list[AttackRate]) -> Iterator[str]:
    proven = [rate for rate in rates if rate.lift is not None and rate.lift.low is not None and rate.lift.low > 0]
    if any(rate.lift is not None for rate in rates):
        said = ", ".join(f"{rate.attack} {share(rate.fooled)} against {share(rate.undressed)}" for rate in proven)
        none = f"{name}: no dressing was shown to make worse responses win more often"
        yield f"{name}: worse responses win more often when dressed: {said} without it" if proven else none
