"""Win rates at equal length, against statsmodels and against planted truths."""

import math
from typing import Any, cast

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.length_control import LengthControl, length_control
from preceptor.evaluation.pairs import JudgedPair
from preceptor.evaluation.win_rate import win_rate


def judged(prompt: str, p_a: float, length_a: int, length_b: int) -> JudgedPair:
    return JudgedPair(prompt, "c", "new", "old", p_a, length_a, length_b)


def found(pairs: list[JudgedPair], policy: str = "new", against: str = "old") -> LengthControl:
    control = length_control(pairs, policy, against)
    assert control is not None
    return control


def planted(
    prompts: int, samples: int, theta: float, phi: float, rng: np.random.Generator, longer: float = 0.4
) -> list[JudgedPair]:
    """The judge's log-odds are θ + φ · log ratio of lengths; samples of a prompt share its luck. New is the longer."""
    pairs: list[JudgedPair] = []
    for i in range(prompts):
        luck = rng.random()
        for _ in range(samples):
            b = int(rng.lognormal(6, 0.4))
            a = int(rng.lognormal(6 + longer, 0.4))
            p = expit(theta + phi * (math.log1p(a) - math.log1p(b)))
            pairs.append(judged(f"{i}", float(luck < p), a, b))
    return pairs


def reference(x_N: np.ndarray, outcomes: list[float], weights: list[float]) -> tuple[float, float]:
    """The same by statsmodels: two observations at equal length come first, half a win and half a loss."""
    x_N = np.append([0.0, 0.0], x_N)
    design_NK = np.column_stack([np.ones_like(x_N), x_N])
    family = sm.families.Binomial()
    model = sm.GLM([1.0, 0.0, *outcomes], design_NK, family=family, var_weights=[0.5, 0.5, *weights])
    theta, phi = cast("Any", model.fit(tol=1e-12)).params
    return float(theta), float(phi)


def test_both_fits_are_those_of_statsmodels() -> None:
    """Uneven numbers of samples: each prompt weighs the same. A tie counts one half."""
    rng = np.random.default_rng(5)
    pairs: list[JudgedPair] = []
    for i in range(30):
        for _ in range(1 + i % 3):
            a, b = rng.integers(20, 400, size=2)
            p = round(float(expit(0.4 + 0.004 * (a - b) + rng.normal())), 1)  # in tenths: some are ties
            pairs.append(judged(f"{i}", p, int(a), int(b)))
    weights = [1 / (1 + int(pair.prompt_id) % 3) for pair in pairs]
    a_N, b_N = np.array([pair.length_a for pair in pairs]), np.array([pair.length_b for pair in pairs])
    hard = [0.5 if pair.p_a == 0.5 else float(pair.p_a > 0.5) for pair in pairs]
    assert 0.5 in hard
    control = found(pairs)
    theta, _ = reference(np.log((a_N + 1) / (b_N + 1)), hard, weights)
    assert control.at_equal_ratio is not None
    assert control.at_equal_ratio.value == pytest.approx(expit(theta), abs=1e-6)
    d_N = a_N - b_N
    deviation = math.sqrt(np.cov(d_N, aweights=weights, ddof=0))
    theta, phi = reference(np.tanh(d_N / deviation), hard, weights)
    assert control.length_controlled is not None
    assert control.length_controlled.value == pytest.approx(expit(theta), abs=1e-6)
    assert control.length_effect == pytest.approx(phi, abs=1e-6)


def test_by_hand() -> None:
    """At a ratio of 1/2 one of four is won, at 2 three of four: logit p = log 3 / log 2 · log ratio."""
    pairs = [judged(f"s{i}", float(i < 1), 49, 99) for i in range(4)]
    pairs += [judged(f"l{i}", float(i < 3), 99, 49) for i in range(4)]
    control = found(pairs)
    assert control.at_equal_ratio is not None
    assert control.at_equal_ratio.value == pytest.approx(0.5)
    # d is ±50 with deviation 50: at tanh(1) the log-odds are log 3.
    assert control.length_effect == pytest.approx(math.log(3) / math.tanh(1))
    assert control.length_ratio == 1.0
    assert control.longer_preferred == 6 / 8
    assert control.raw == cast("Any", win_rate(pairs, "new", "old")).rate


def test_the_other_policy_has_one_less_the_rate() -> None:
    pairs = planted(60, 2, 0.3, 1.0, np.random.default_rng(1))
    control, other = found(pairs), found(pairs, "old", "new")
    for one, two in (
        (control.at_equal_ratio, other.at_equal_ratio),
        (control.length_controlled, other.length_controlled),
    ):
        assert one is not None
        assert two is not None
        assert two.value == pytest.approx(1 - one.value, abs=1e-6)
        assert two.low == pytest.approx(1 - cast("float", one.high), abs=0.01)  # the start is drawn
    assert other.length_effect == pytest.approx(control.length_effect)
    assert other.length_ratio == pytest.approx(1 / cast("float", control.length_ratio))
    assert other.longer_preferred == control.longer_preferred


def test_a_policy_that_wins_by_length_only_is_found_out() -> None:
    """At equal length the new policy loses, 38 to 62; it answers at half as much length again, and wins."""
    control = found(planted(400, 2, -0.5, 3.0, np.random.default_rng(2)))
    assert control.raw.low is not None
    assert control.raw.low > 0.5
    assert control.changes_sign
    for estimate in (control.at_equal_ratio, control.length_controlled):
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < expit(-0.5) < estimate.high < 0.5
    assert control.length_effect is not None
    assert control.length_effect > 1
    assert control.length_ratio == pytest.approx(math.exp(0.4), abs=0.1)
    assert control.longer_preferred is not None
    assert control.longer_preferred > 0.6


def test_without_an_effect_of_length_the_rate_stays() -> None:
    control = found(planted(600, 1, 0.6, 0.0, np.random.default_rng(3), longer=0.0))
    assert not control.changes_sign
    for estimate in (control.at_equal_ratio, control.length_controlled):
        assert estimate is not None
        assert estimate.value == pytest.approx(control.raw.value, abs=0.01)
    assert control.length_effect == pytest.approx(0, abs=0.3)


def test_intervals_hold_the_planted_rate_about_as_often_as_they_say() -> None:
    rng, trials, truth = np.random.default_rng(4), 40, float(expit(0.4))
    covered = 0
    widths: list[float] = []
    for _ in range(trials):
        estimate = found(planted(30, 2, 0.4, 1.5, rng)).at_equal_ratio
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= truth <= estimate.high
        widths.append(estimate.high - estimate.low)
    # Three standard errors of forty trials, and the small-sample shortfall of a bootstrap.
    assert covered / trials > 0.94 - 3 * math.sqrt(0.94 * 0.06 / trials)
    assert np.mean(widths) < 0.5


def test_samples_of_a_prompt_add_nothing_if_they_are_the_same() -> None:
    pairs = planted(30, 1, 0.4, 1.5, np.random.default_rng(6))
    once, often = found(pairs), found(pairs * 5)
    for one, five in ((once.at_equal_ratio, often.at_equal_ratio), (once.length_controlled, often.length_controlled)):
        assert one is not None
        assert five is not None
        assert (five.value, five.low, five.high, five.n) == (
            pytest.approx(one.value),
            pytest.approx(one.low),
            pytest.approx(one.high),
            30,
        )


def outcomes_at(*lengths_and_outcomes: tuple[int, float]) -> list[JudgedPair]:
    return [judged(f"{i}", p, length, 100) for i, (length, p) in enumerate(lengths_and_outcomes * 3)]


def test_where_length_tells_all_or_nothing_there_is_nothing_to_fit() -> None:
    longer_wins = outcomes_at((90, 0.0), (95, 0.0), (105, 1.0), (130, 1.0))
    shorter_wins = outcomes_at((90, 1.0), (95, 1.0), (105, 0.0), (130, 0.0))
    touching = outcomes_at((90, 0.0), (105, 0.0), (105, 1.0), (130, 1.0))
    always_wins = outcomes_at((90, 1.0), (130, 1.0))
    equal = outcomes_at((100, 1.0), (100, 0.0))
    twice_as_long = outcomes_at((200, 1.0), (200, 0.0))
    for pairs in (longer_wins, shorter_wins, touching, always_wins, equal, twice_as_long):
        control = found(pairs)
        assert control.at_equal_ratio is control.length_controlled is control.length_effect is None
        assert not control.changes_sign
        assert control.raw.low is not None
    assert (found(longer_wins).longer_preferred, found(shorter_wins).longer_preferred) == (1.0, 0.0)
    assert found(equal).longer_preferred is None
    assert found(twice_as_long).length_ratio == 2.0


def test_a_fit_is_not_sure_of_what_it_cannot_know() -> None:
    """Ten pairs are lost and ten that are longer are won, but for one of them: as it stands, the likelihood is largest
    where a win at equal length is all but impossible.
    """
    pairs = [judged(f"{i}", float(i >= 10), 1010 + 10 * i, 1000) for i in range(20)] + [judged("20", 0.0, 1111, 1000)]
    control = found(pairs)
    for estimate in (control.at_equal_ratio, control.length_controlled):
        assert estimate is not None
        assert estimate.high is not None
        assert estimate.value < 0.1 < estimate.high


def test_an_undecided_judge_is_taken_at_its_choices() -> None:
    """Its probabilities all lie near one half, which would seem to say that there is no difference."""
    rng = np.random.default_rng(3)
    pairs = planted(60, 1, theta=-1.5, phi=0.0, rng=rng, longer=0.0)
    meek = [judged(p.prompt_id, 0.5 + 0.02 * (p.p_a - 0.5), p.length_a, p.length_b) for p in pairs]
    assert found(meek).length_controlled == found(pairs).length_controlled


def test_an_overlap_as_thin_as_a_hair_leaves_open_what_happens_at_equal_length() -> None:
    pairs = outcomes_at((20, 0.0), (500, 1.0))
    pairs += [judged("x", 0.0, 1_000_001, 1_000_000), judged("y", 1.0, 1_000_000, 1_000_001)]
    pairs += [judged("z", 1.0, 1_000_100, 1_000_000), judged("v", 0.0, 1_000_000, 1_000_100)]
    estimate = found(pairs).at_equal_ratio
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < 0.1 < 0.9 < estimate.high


def test_empty_responses_and_few_prompts() -> None:
    pairs = [judged("1", 1.0, 0, 10), judged("1", 0.0, 10, 0), judged("2", 1.0, 20, 0), judged("2", 0.0, 0, 0)]
    control = found(pairs)
    assert control.at_equal_ratio is not None
    assert 0 < control.at_equal_ratio.value < 1
    assert (control.at_equal_ratio.low, control.at_equal_ratio.high, control.at_equal_ratio.n) == (None, None, 2)
    nothing_said = found([judged("1", 1.0, 10, 0), judged("2", 0.0, 20, 0)])
    assert nothing_said.length_ratio is None
    assert length_control(pairs, "new", "another") is None


def test_a_rate_of_one_half_changes_no_sign() -> None:
    def control(raw: float, at_equal_ratio: float | None) -> LengthControl:
        given = None if at_equal_ratio is None else Estimate(value=at_equal_ratio, low=None, high=None, n=1)
        return LengthControl(
            policy="new",
            against="old",
            raw=Estimate(value=raw, low=None, high=None, n=1),
            at_equal_ratio=given,
            length_controlled=None,
            length_effect=None,
            length_ratio=None,
            longer_preferred=None,
        )

    assert control(0.6, 0.4).changes_sign
    assert not control(0.6, 0.5).changes_sign
    assert not control(0.5, 0.4).changes_sign
    assert not control(0.6, None).changes_sign
