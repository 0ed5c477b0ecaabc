"""What changed in which cohort: by hand, and on simulated policies of which the truth is known."""

import numpy as np
import pytest

from preceptor.evaluation.policies.cohorts import Kind, PairedValues, changes
from preceptor.evaluation.signs import sign_flip_p_value


def values(before: list[float], after: list[float], cohort: str = "chat", measure: str = "exact match") -> PairedValues:
    return PairedValues(cohort, measure, "tuned", "base", before, after, "share")


def test_a_change_by_hand() -> None:
    (found,) = changes([values([0.0, 0.0, 0.5, 0.5, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0, 0.5])])
    assert (found.cohort, found.measure, found.policy, found.against) == ("chat", "exact match", "tuned", "base")
    assert (found.before.value, found.after.value) == (pytest.approx(1 / 6), pytest.approx(5.5 / 6))
    assert found.change.value == pytest.approx(0.75)
    assert found.p_value == found.p_holm == pytest.approx(2 / 2**6)  # only all plus and all minus go so far
    assert found.verdict == "improved"


def test_the_same_the_other_way_round_is_a_regression() -> None:
    up, down = [0.1, 0.0, 0.2, 0.1, 0.0] * 2, [0.9, 0.8, 1.0, 0.5, 0.7] * 2
    better, worse = changes([values(up, down), values(down, up)])
    assert (better.verdict, worse.verdict) == ("improved", "regressed")
    assert worse.change.value == pytest.approx(-better.change.value)
    assert worse.change.high is not None
    assert worse.change.high < 0


def test_asked_together_with_others_the_same_change_needs_more_evidence() -> None:
    alone = values([0.0] * 6, [1.0] * 6)
    still = [values([0.5] * 6, [0.4, 0.6] * 3, cohort=f"c{i}") for i in range(5)]
    assert changes([alone])[0].verdict == "improved"
    found = changes([alone, *still])
    assert found[0].p_value == 2 / 2**6
    assert found[0].p_holm == pytest.approx(6 * 2 / 2**6)
    assert [each.verdict for each in found] == ["too few prompts"] * 6
    enough = changes([values([0.0] * 8, [1.0] * 8), *still])
    assert [each.verdict for each in enough] == ["improved"] + ["too few prompts"] * 5
    more = [values([0.5] * 80, [0.4, 0.6] * 40, cohort=f"c{i}") for i in range(5)]
    assert [each.verdict for each in changes([alone, *more])] == ["too few prompts"] + ["unchanged"] * 5
    assert [each.cohort for each in found] == ["chat", "c0", "c1", "c2", "c3", "c4"]


def test_too_few_prompts_have_no_p_value_and_do_not_count_among_the_questions() -> None:
    few, enough = changes([values([0.0, 0.0], [1.0, 1.0]), values([0.0] * 6, [1.0] * 6)])
    assert (few.p_value, few.p_holm, few.change.low, few.verdict) == (None, None, None, "too few prompts")
    assert few.change.value == 1.0
    assert (enough.p_holm, enough.verdict) == (2 / 2**6, "improved")


def test_a_measure_that_moved_nowhere_does_not_count_among_the_questions() -> None:
    still = [values([0.0] * 6, [0.0] * 6, cohort=f"c{i}") for i in range(5)]
    found = changes([values([0.0] * 6, [1.0] * 6), *still])
    assert (found[0].p_holm, found[0].verdict) == (2 / 2**6, "improved")
    assert [(each.p_holm, each.verdict) for each in found[1:]] == [(1.0, "too few prompts")] * 5


def test_unchanged_needs_an_interval_that_excludes_every_change_that_matters() -> None:
    def verdict(before: list[float], after: list[float], kind: Kind) -> tuple[float | None, str]:
        [found] = changes([PairedValues("chat", "m", "tuned", "base", before, after, kind)])
        return found.change.high, found.verdict

    few, many = (verdict([0.5] * n, [0.0, 1.0] * (n // 2), "win rate") for n in (100, 500))
    assert few == (pytest.approx(0.10, abs=0.003), "too few prompts")  # half the width is about 1 / √n
    assert many == (pytest.approx(0.045, abs=0.002), "unchanged")
    spread = [0.0, 1.0]  # a standard deviation of one half, so a tenth matters
    assert verdict(spread * 10, [0.2, 0.8] * 10, "number") == (pytest.approx(0.096, abs=0.002), "unchanged")
    assert verdict(spread * 10, [0.3, 0.7] * 10, "number")[1] == "too few prompts"


@pytest.mark.parametrize(("prompts", "verdict"), [(28, "too few prompts"), (30, "unchanged")])
def test_without_an_interval_thirty_prompts_that_did_not_change_are_unchanged(prompts: int, verdict: str) -> None:
    before = [0.0, 1.0] * (prompts // 2)
    [found] = changes([PairedValues("chat", "log-likelihood", "tuned", "base", before, before)])
    assert (found.change.low, found.verdict) == (None, verdict)


def test_winning_all_of_four_is_too_few_to_say_anything() -> None:
    four, six = (PairedValues("chat", "win rate", "tuned", "base", [0.5] * n, [1.0] * n, "win rate") for n in (4, 6))
    (found,) = changes([four])
    assert (found.after.value, found.p_value, found.verdict) == (1.0, 2 / 2**4, "too few prompts")
    assert found.change.low is not None
    assert found.change.low < 0  # the interval of four wins of four reaches below one half, as the test says
    assert found.before.low is None  # one half is not estimated
    (found,) = changes([six])
    assert (found.p_value, found.verdict) == (2 / 2**6, "improved")
    assert found.change.low is not None
    assert found.change.low > 0


def test_where_all_prompts_changed_alike_the_interval_still_has_a_width() -> None:
    [few] = changes([values([0.0] * 6, [1.0] * 6)])
    assert (few.change.value, few.change.low, few.change.high) == (1.0, None, None)
    [found] = changes([values([0.0] * 12, [1.0] * 12)])
    assert found.change.low == pytest.approx(2 * 0.025 ** (1 / 12) - 1)
    assert found.change.high == 1.0
    [number] = changes([PairedValues("chat", "log-likelihood", "tuned", "base", [0.0] * 12, [3.0] * 12)])
    assert (number.change.low, number.change.high, number.verdict) == (None, None, "improved")


def test_what_cannot_be_paired_is_refused() -> None:
    assert changes([]) == ()
    with pytest.raises(ValueError, match="exact match in chat: 2 before, 1 after"):
        changes([values([0.0, 0.0], [1.0])])
    with pytest.raises(ValueError, match="needs prompts"):
        changes([values([], [])])


def test_without_any_change_six_cohorts_rarely_show_one() -> None:
    """The family-wise error rate over six cohorts is at most 5%, within the Monte Carlo error of 50 evaluations."""
    rng = np.random.default_rng(7)
    runs, wrong = 50, 0
    for _ in range(runs):
        measured: list[PairedValues] = []
        for cohort in range(6):
            level = rng.uniform(0.2, 0.8, size=12)  # prompts differ in difficulty, policies do not
            before, after = (rng.binomial(20, level) / 20 for _ in range(2))
            measured.append(values(before.tolist(), after.tolist(), cohort=f"c{cohort}"))
        p_values = [sign_flip_p_value(np.subtract(each.after_P, each.before_P).tolist()) for each in measured]
        if min(p for p in p_values if p is not None) < 0.05:  # without that there is no verdict: the rest is quicker
            wrong += any(change.verdict in ("improved", "regressed") for change in changes(measured))
    assert wrong / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)


def test_a_planted_regression_is_found_and_only_that() -> None:
    rng = np.random.default_rng(11)
    found_runs = others = 0
    for _ in range(4):
        measured: list[PairedValues] = []
        for cohort in range(6):
            level = rng.uniform(0.4, 0.8, size=40)
            drop = 0.25 if cohort == 3 else 0.0
            before, after = rng.binomial(4, level) / 4, rng.binomial(4, level - drop) / 4
            measured.append(values(before.tolist(), after.tolist(), cohort=f"c{cohort}"))
        verdicts = [change.verdict for change in changes(measured)]
        found_runs += verdicts[3] == "regressed"
        others += sum(verdict in ("improved", "regressed") for verdict in verdicts[:3] + verdicts[4:])
    assert found_runs == 4
    assert others <= 1
