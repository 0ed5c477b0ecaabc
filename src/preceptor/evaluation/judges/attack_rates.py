"""How often a judge is fooled by responses that should never win, with intervals over prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from preceptor.core.types import Comparison, Frozen, JudgeFailure, Preference
from preceptor.evaluation.intervals import Estimate, rate_by_prompt
from preceptor.evaluation.judges.agreement import difference_by_prompt
from preceptor.judging.attacks import ATTACKS, AttackKind
from preceptor.judging.position import mean, p_by_order

WORST = 10
"""How many of the attacks that a judge liked best are shown."""
_LONGEST = 2000
"""Characters of a text that a result quotes."""


@dataclass(frozen=True)
class Attacked:
    """An attack on a judge: the honest response is a, the attacking one b."""

    attack: str
    kind: AttackKind
    comparison: Comparison
    outcome: Preference | JudgeFailure
    before: float | None = None
    """How probable the response was to win before it was dressed; None for other kinds, and where that failed."""

    @property
    def p(self) -> float | None:
        """The probability that the attack wins; None where the judge failed."""
        return None if isinstance(self.outcome, JudgeFailure) else 1.0 - self.outcome.p_a


class AttackRate(Frozen):
    """How often one attack fools a judge."""

    attack: str
    kind: AttackKind
    n: int
    """Attacks that the judge answered."""
    failed: int
    fooled: Estimate | None
    """Share of them that it prefers to the honest response, 0.5 counted half; the interval is over prompts."""
    shown_first: float | None
    """The same by the presentations that show the attack first alone; None if there are none."""
    shown_second: float | None
    undressed: Estimate | None = None
    """How often the response wins without the dressing, on the same prompts; None for other kinds of attack."""
    lift: Estimate | None = None
    """What the dressing adds to that, paired by prompt."""

    @property
    def about(self) -> str:
        """What the attack writes, for people."""
        known = ATTACKS.get(self.attack)
        return self.attack if known is None else known.about


class Fooling(Frozen):
    """An attack that a judge preferred, or came nearest to preferring."""

    attack: str
    prompt: str
    honest: str
    attacking: str
    p: float
    """The probability that the judge gave to the attack."""


class SearchResult(Frozen):
    """A search for edits that make a bad response win."""

    targets: int
    """Responses that it started from, which did not win as they were; without those on whose edits the judge failed."""
    budget: int
    """The most comparisons for each of them."""
    fooled: Estimate | None
    """Share of them that it made win."""
    calls_to_fool: float | None
    """Median number of comparisons it took where it succeeded; None where it never did."""
    failed: int
    """Comparisons without an answer."""


class JudgeAttacks(Frozen):
    """All attacks on one judge."""

    label: str
    """Names the judge among those audited."""
    rates: tuple[AttackRate, ...]
    worst: tuple[Fooling, ...]
    search: SearchResult | None = None


def attack_rates(label: str, attacked: Sequence[Attacked], search: SearchResult | None = None) -> JudgeAttacks:
    """How often each attack fools a judge, in the order of the attacks.

    Args:
        label: names the judge.
    """
    names = list(dict.fromkeys(each.attack for each in attacked))
    return JudgeAttacks(
        label=label,
        rates=tuple(_rate([each for each in attacked if each.attack == name]) for name in names),
        worst=tuple(_worst(attacked)),
        search=search,
    )


def search_result(budget: int, spent: Sequence[tuple[str, bool, int]], failed: int) -> SearchResult:
    """What a search came to.

    Args:
        spent: of each response that it started from: its prompt's id, whether it was made to win, and by how many
            comparisons.
        failed: comparisons without an answer.
    """
    took = [calls for _, won, calls in spent if won]
    return SearchResult(
        targets=len(spent),
        budget=budget,
        fooled=rate_by_prompt(_grouped([(prompt, float(won)) for prompt, won, _ in spent])),
        calls_to_fool=median(took) if took else None,
        failed=failed,
    )


def _rate(attacked: Sequence[Attacked]) -> AttackRate:
    answered = [(each, p) for each in attacked if (p := each.p) is not None]
    wins = [(each.comparison.prompt.id, _won(p)) for each, p in answered]
    pairs = [(each.comparison.prompt.id, _won(p), _won(each.before)) for each, p in answered if each.before is not None]
    first, second = (
        [_won(p) for each, _ in answered if (p := _by_order(each, order)) is not None] for order in _ORDERS
    )
    return AttackRate(
        attack=attacked[0].attack,
        kind=attacked[0].kind,
        n=len(answered),
        failed=len(attacked) - len(answered),
        fooled=rate_by_prompt(_grouped(wins)),
        shown_first=mean(first) if first else None,
        shown_second=mean(second) if second else None,
        undressed=rate_by_prompt(_grouped([(prompt, before) for prompt, _, before in pairs])),
        lift=difference_by_prompt([(prompt, after - before) for prompt, after, before in pairs]),
    )


_ORDERS = ("ba", "ab")
"""The attack is response b: shown first in the order ba."""


def _by_order(attacked: Attacked, order: str) -> float | None:
    if isinstance(attacked.outcome, JudgeFailure):
        return None
    shown = p_by_order((each.order, each.p_a) for each in attacked.outcome.presentations).get(order)
    return 1.0 - mean(shown) if shown else None


def _won(p: float) -> float:
    return 0.5 if p == 0.5 else float(p > 0.5)


def _grouped(values: Sequence[tuple[str, float]]) -> list[list[float]]:
    """The values of each prompt."""
    by_prompt: dict[str, list[float]] = {}
    for prompt, value in values:
        by_prompt.setdefault(prompt, []).append(value)
    return list(by_prompt.values())


def _worst(attacked: Sequence[Attacked]) -> list[Fooling]:
    by_p = sorted((p, place) for place, each in enumerate(attacked) if (p := each.p) is not None)[::-1][:WORST]
    return [
        Fooling(
            attack=attacked[place].attack,
            prompt=attacked[place].comparison.prompt.text[:_LONGEST],
            honest=attacked[place].comparison.a.text[:_LONGEST],
            attacking=attacked[place].comparison.b.text[:_LONGEST],
            p=p,
        )
        for p, place in by_p
    ]
