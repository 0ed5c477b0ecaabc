"""The measures of judges against people, on rows small enough to work out by hand."""

import math
from typing import Literal

import pytest
from statsmodels.stats.proportion import proportion_confint

from preceptor.core.types import (
    Comparison,
    HumanLabel,
    JudgeFailure,
    Message,
    Preference,
    Presentation,
    Prompt,
    Rater,
    Response,
    Usage,
)
from preceptor.core.types import Verdict as Answer
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges import agreement
from preceptor.evaluation.judges.judge_audit import Audit, Judged, JudgeRun, audit
from preceptor.evaluation.judges.paired import JudgeOutcomes, compare_all
from preceptor.judging.combine import combine

Opinion = Literal["a", "b", "tie"]
RATER = Rater(model="m", constitution="c 1", constitution_hash="h")


def comparison(name: str, prompt: str | None = None, a: str = "long text", b: str = "short") -> Comparison:
    prompt = prompt or f"prompt {name}"
    return Comparison(
        id=name,
        prompt=Prompt(id=prompt, conversation=(Message(role="user", content="q"),)),
        a=Response(prompt_id=prompt, text=a),
        b=Response(prompt_id=prompt, text=b),
    )


def preference(shown: Comparison, ab: list[float], ba: list[float]) -> Preference:
    orders: tuple[tuple[Literal["ab", "ba"], list[float]], ...] = (("ab", ab), ("ba", ba))
    presentations = tuple(
        Presentation(order=o, sample=i, p_a=p, verdict=Answer(probabilities={"1": p, "2": 1 - p}, choice_mass=1))
        for o, given in orders
        for i, p in enumerate(given)
    )
    p_a = combine([*ab, *ba], "mean")
    return Preference(comparison=shown, p_a=p_a, rater=RATER, presentations=presentations)


def row(
    name: str, people: list[Opinion], ab: float | None, ba: float | None = None, category: str | None = None
) -> Judged:
    shown = comparison(name)
    failure = JudgeFailure(reason="no_answer", detail="d")
    outcome = failure if ab is None else preference(shown, [ab], [] if ba is None else [ba])
    return Judged(shown, HumanLabel.of(people), outcome, category)


ROWS = [
    row("1", ["a", "a", "b"], 0.9, 0.8, "chat"),  # right, p = .85
    row("2", ["b", "b", "b"], 0.7, 0.1, "chat"),  # right, p = .4, wrong in order ab, first wins twice
    row("3", ["a", "a", "a"], 0.6, 0.2, "code"),  # wrong, p = .4, right in order ab, first wins twice
    row("4", ["b", "a", "b"], 0.5, 0.5, "code"),  # undecided
    row("5", ["a", "b"], 0.9, 0.9, "code"),  # people have no majority
    row("6", ["a", "a"], None),  # the judge failed
]


def run(rows: list[Judged] = ROWS, judge: str = "m", ledger_hits: int = 0, variant: str = "") -> JudgeRun:
    usage = Usage(prompt_tokens=900, completion_tokens=100)
    return JudgeRun(judge, "c 1", rows, 2.0, 9, ledger_hits, usage, 0.05, variant)


def test_one_judge_by_hand() -> None:
    found = audit([run()]).judges[0]
    assert (found.n, found.rows, found.human_ties, found.undecided) == (4, 6, 1, 1)
    assert found.alignment is not None
    assert (found.alignment.value, found.alignment.n) == ((1 + 1 + 0 + 0.5) / 4, 4)
    assert found.single_order_alignment is not None
    assert found.single_order_alignment.value == (1 + 0 + 1 + 0.5) / 4
    assert found.position_bias == 2 / 5
    # first wins: 1 of 2, 2 of 2, 2 of 2, two halves, 1 of 2
    assert found.first_position_rate == (1 + 2 + 2 + 1 + 1) / 10
    assert found.longer_preferred_rate == (1 + 0 + 0 + 0.5 + 1) / 5
    assert found.longer_baseline == 2 / 4
    # judge a b b, people a b a: observed 2/3, by chance 1/3 · 2/3 + 2/3 · 1/3 = 4/9
    assert found.kappa == pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9))
    assert found.brier == pytest.approx((0.15**2 + 0.4**2 + 0.6**2 + 0.5**2) / 4)
    # confidence .85: right. .6 twice: half right. .5: half
    assert found.ece == pytest.approx((1 * 0.15 + 2 * 0.1 + 1 * 0.0) / 4)
    assert [each.n for each in found.reliability] == [1, 2, 1]
    assert (found.failure_rate, found.failures) == (1 / 6, {"no_answer": 1})
    assert (found.labels_per_s, found.tokens_per_label, found.cost_per_1000) == (2.5, 200, pytest.approx(10))
    assert found.self_consistency is None
    assert found.calibrated is None


def test_people_by_hand() -> None:
    found = audit([run()]).judges[0]
    # agreeing pairs of raters: 1/3, 1, 1, 1/3, 0, 1
    assert found.human_agreement == pytest.approx((1 / 3 + 1 + 1 + 1 / 3 + 0 + 1) / 6)
    # the judge says a, b, b, tie, a: as one person with 2/3, 1, 0, 0, 1/2
    assert found.one_person_agreement == pytest.approx((2 / 3 + 1 + 0 + 0 + 1 / 2) / 5)


def test_krippendorff_by_hand() -> None:
    # Units aa, bb, ab: coincidences aa 2, bb 2, ab 1, ba 1. n = 6, n_a = n_b = 3.
    # Observed disagreement 2/6, expected 2 · 3 · 3 / (6 · 5) = 18/30: alpha = 1 - (1/3) / (3/5) = 4/9.
    assert agreement.krippendorff_alpha(["aa", "bb", "ab", "a"]) == pytest.approx(4 / 9)
    assert agreement.krippendorff_alpha(["aa", "aa"]) is None
    assert agreement.krippendorff_alpha(["a", "b"]) is None


def test_categories_have_shares_of_their_own() -> None:
    found = audit([run()]).judges[0].by_category
    assert {name: (share.value, share.n) for name, share in found.items()} == {"chat": (1.0, 2), "code": (0.25, 2)}


def test_what_cannot_be_computed_is_none_and_never_0() -> None:
    failed = audit([run([ROWS[5]])]).judges[0]
    assert failed.failure_rate == 1
    for name in ("alignment", "position_bias", "first_position_rate", "longer_preferred_rate"):
        assert getattr(failed, name) is None
    for name in ("longer_baseline", "kappa", "ece", "brier", "labels_per_s", "tokens_per_label", "cost_per_1000"):
        assert getattr(failed, name) is None
    single = audit([run([row("1", ["a"], 0.9)])]).judges[0]
    assert single.position_bias is None
    assert single.single_order_alignment == single.alignment
    assert single.alignment is not None
    assert single.alignment.value == 1
    assert single.human_agreement is single.krippendorff_alpha is single.one_person_agreement is None
    assert audit([run(ledger_hits=1)]).judges[0].labels_per_s == pytest.approx(2.5 * 0.9)  # a call in ten took no time
    assert audit([run(ledger_hits=9)]).judges[0].labels_per_s is None
    assert audit([run([])]).judges[0].failure_rate is None


def test_samples_of_one_showing_agree_or_not() -> None:
    sampled = preference(comparison("1"), ab=[0.9, 0.8, 0.2], ba=[0.4, 0.1])
    # order ab: 1 of 3 pairs agrees; order ba: 1 of 1
    assert agreement.self_consistency([sampled]) == pytest.approx((1 / 3 + 1) / 2)
    assert agreement.position_bias([sampled]) == 1  # mean .63 and .25: the first wins in both orders
    other = preference(comparison("1"), ab=[0.1], ba=[0.1])
    both = sampled.model_copy(update={"members": (sampled, other)})
    assert agreement.self_consistency([both]) == pytest.approx((1 / 3 + 1) / 2)


def _width(estimate: Estimate) -> float:
    assert estimate.interval is not None
    return estimate.interval[1] - estimate.interval[0]


def test_a_share_weighs_rows_and_its_interval_prompts() -> None:
    values = [("p", 1.0)] * 30 + [("q", 0.0), ("r", 1.0), ("s", 0.0), ("t", 1.0)]
    by_prompt = agreement.share_by_prompt(values)
    independent = agreement.share_by_prompt([(f"{i}", v) for i, (_, v) in enumerate(values)])
    assert by_prompt is not None
    assert independent is not None
    assert by_prompt.value == independent.value == 32 / 34
    assert _width(by_prompt) > 2 * _width(independent)


def test_without_spread_the_interval_is_that_of_as_many_trials_as_there_are_prompts() -> None:
    share = agreement.share_by_prompt([(f"{i % 10}", 1.0) for i in range(20)])
    low, _ = proportion_confint(10, 10, method="beta")
    assert share is not None
    assert (share.value, share.low, share.high) == (1.0, pytest.approx(low), 1.0)


def test_paired_judges_by_hand() -> None:
    first = JudgeOutcomes("x", {i: (f"p{i}", 1.0) for i in range(10)})
    second = JudgeOutcomes("y", {i: (f"p{i}", 0.0 if i < 8 else 1.0) for i in range(9)})
    third = JudgeOutcomes("z", {1: ("p1", 1.0), 2: ("p2", 0.5)})
    xy, xz, yz = compare_all([first, second, third])
    assert (xy.n, xy.difference) == (9, 8 / 9)
    assert xy.p_value == pytest.approx(2 * 0.5**8)  # x alone is right 8 times, y alone never
    assert xy.p_holm == pytest.approx(3 * 2 * 0.5**8)
    assert xy.significant
    assert (xz.n, xz.difference, xz.p_value, xz.significant) == (2, 0.25, 1.0, False)
    assert yz.p_value == pytest.approx(1.0)


def test_judges_without_a_row_in_common_are_not_compared() -> None:
    (pair,) = compare_all([JudgeOutcomes("x", {1: ("p", 1.0)}), JudgeOutcomes("y", {2: ("p", 1.0)})])
    assert (pair.n, pair.difference, pair.p_value, pair.p_holm, pair.significant) == (0, None, None, None, False)


def test_prompts_that_repeat_do_not_make_a_difference_significant() -> None:
    """Twelve comparisons of one prompt are right with one judge and wrong with the other: that is one prompt's news."""
    first = JudgeOutcomes("x", {i: ("p" if i < 12 else f"q{i}", 1.0) for i in range(16)})
    second = JudgeOutcomes("y", {i: ("p" if i < 12 else f"q{i}", float(i >= 12)) for i in range(16)})
    (pair,) = compare_all([first, second])
    assert pair.p_holm is not None
    assert pair.p_holm < 0.05
    assert not pair.significant


def test_calibration_is_measured_on_prompts_it_did_not_see() -> None:
    """An overconfident judge with a strong pull to the first position, right on 3 of 4 pairs."""
    rows: list[Judged] = []
    for i in range(120):
        sign = 1.0 if i % 2 else -1.0
        ab, ba = (1 / (1 + math.exp(-(5 * sign + pull))) for pull in (3.0, -3.0))
        right = i % 4 < 3 if i % 8 < 4 else i % 4 > 0
        rows.append(row(f"{i}", ["a" if (sign > 0) == right else "b"], ab, ba))
    found = audit([run(rows)]).judges[0]
    assert found.calibrated is not None
    assert found.ece is not None
    assert found.brier is not None
    assert found.calibrated.ece < found.ece - 0.1
    assert found.calibrated.brier < found.brier
    assert found.calibrated.position_bias == pytest.approx(3.0, abs=0.5)
    assert found.calibrated.slope < 0.5


def test_judges_of_one_model_are_told_apart_and_json_comes_back() -> None:
    result = audit([run(), run(judge="n"), run(variant="cot"), run(variant="cot")])
    assert [each.label for each in result.judges] == ["m", "n", "m · cot (1)", "m · cot (2)"]
    assert len(result.comparisons) == 6
    assert Audit.model_validate_json(result.model_dump_json()) == result
