"""What judging took, by hand."""

import pytest

from preceptor.evaluation.policies.cost import cost, saved
from preceptor.evaluation.policies.result import CostPart


def part(name: str, tokens: int, seconds: float | None, usd: float | None) -> CostPart:
    return CostPart(part=name, calls=10, tokens=tokens, seconds=seconds, cost_usd=usd)


def test_a_label_costs_what_judging_took_and_not_what_the_responses_did() -> None:
    found = cost([part("responses", 5000, 90.0, 3.0), part("judging", 4000, 10.0, 0.5)], labels=20)
    assert (found.tokens_per_label, found.seconds_per_label, found.usd_per_label) == (200, 0.5, 0.025)
    assert [each.part for each in found.parts] == ["responses", "judging"]
    assert found.human_usd == pytest.approx(20 * 0.67)
    assert saved(found) == pytest.approx(20 * 0.67 - 0.5)


def test_several_parts_of_judging_add_up_and_people_may_be_cheaper() -> None:
    found = cost([part("judging", 100, 1.0, 2.0), part("judging", 300, 2.0, 1.0)], labels=2, human_usd_per_label=1.0)
    assert (found.tokens_per_label, found.seconds_per_label, found.usd_per_label) == (200, 1.5, 1.5)
    assert saved(found) == -1.0


def test_what_is_not_known_is_none_and_never_0() -> None:
    unpriced = cost([part("judging", 100, None, None), part("judging", 100, 1.0, 1.0)], labels=4)
    assert (unpriced.tokens_per_label, unpriced.seconds_per_label, unpriced.usd_per_label) == (50, None, None)
    assert saved(unpriced) is None
    free = cost([part("judging", 0, 1.0, 0.0)], labels=4)
    assert (free.tokens_per_label, free.usd_per_label, saved(free)) == (0, 0, pytest.approx(4 * 0.67))
    for none in (cost([], labels=4), cost([part("judging", 100, 1.0, 1.0)], labels=0)):
        assert (none.tokens_per_label, none.seconds_per_label, none.usd_per_label) == (None, None, None)
        assert saved(none) is None
