"""Win rates at equal length: against statsmodels, by hand, and against planted truths in which difficulty and length go
together.
"""

import math
from typing import Any, cast

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.pairs import JudgedPair
from preceptor.evaluation.policies.length_control import LengthControl, length_control, length_controls
from preceptor.evaluation.policies.win_rate import win_rate


def judged(prompt: str, p_a: float, length_a: int, length_b: int, policy: str = "new") -> JudgedPair:
    return JudgedPair(prompt, "c", policy, "old", p_a, length_a, length_b)


def found(pairs: list[JudgedPair], policy: str = "new", against: str = "old", soft: bool = False) -> LengthControl:
    control = length_control(pairs, policy, against, soft)
    assert control is not None
    return control


def planted(
    prompts: int,
    samples: int,
    theta: float,
    phi: float,
    rng: np.random.Generator,
    ratio: float = 1.0,
    together: float = 0.0,
    policy: str = "new",
    difficulty_I: np.ndarray | None = None,
) -> list[JudgedPair]:
    """The judge's log-odds are θ + φ · log ratio of lengths + 1.5 · how easy the prompt is; the two go together by as
    much as `together` says.
    """
    difficulty_I = rng.normal(size=prompts) if difficulty_I is None else difficulty_I
    pairs: list[JudgedPair] = []
    for i in range(prompts):
        for _ in range(samples):
            own = together * difficulty_I[i] + math.sqrt(1 - together**2) * rng.normal()
            b = int(rng.lognormal(6, 0.3))
            a = max(1, int(b * ratio * math.exp(0.5 * own)))
            p = expit(theta + phi * (math.log1p(a) - math.log1p(b)) + 1.5 * difficulty_I[i])
            pairs.append(judged(f"{i}", float(rng.random() < p), a, b, policy))
    return pairs


def truth(theta: float) -> float:
    """The planted rate at equal length: the mean of σ(θ + 1.5 z) over normal z."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return float((weights * expit(theta + 1.5 * nodes)).sum() / weights.sum())


def holds(estimate: Estimate | None, value: float) -> bool:
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= value <= estimate.high


def reference(x_N: np.ndarray, outcomes: list[float]) -> tuple[float, float]:
    """The same by statsmodels: two observations at equal length come first, half a win and half a loss."""
    x_N = np.append([0.0, 0.0], x_N)
    design_NK = np.column_stack([np.ones_like(x_N), x_N])
    family = sm.families.Binomial()
    model = sm.GLM([1.0, 0.0, *outcomes], design_NK, family=family, var_weights=[0.5, 0.5] + [1.0] * len(outcomes))
    theta, phi = cast("Any", model.fit(tol=1e-12)).params
    return float(theta), float(phi)


def test_with_one_pair_of_each_prompt_both_fits_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(5)
    pairs: list[JudgedPair] = []
    for i in range(60):
        a, b = rng.integers(20, 400, size=2)
        p = round(float(expit(0.4 + 0.004 * (a - b) + rng.normal())), 1)  # in tenths: some are ties
        pairs.append(judged(f"{i}", p, int(a), int(b)))
    a_N, b_N = np.array([pair.length_a for pair in pairs]), np.array([pair.length_b for pair in pairs])
    hard = [0.5 if pair.p_a == 0.5 else float(pair.p_a > 0.5) for pair in pairs]
    assert 0.5 in hard
    control = found(pairs)
    assert (control.method, control.unknown) == ("bracket", None)
    theta, _ = reference(np.log((a_N + 1) / (b_N + 1)), hard)
    assert control.by_ratio is not None
    assert control.by_ratio.value == pytest.approx(expit(theta), abs=1e-6)
    d_N = a_N - b_N
    theta, phi = reference(np.tanh(d_N / np.std(d_N)), hard)
    assert control.by_difference is not None
    assert control.by_difference.value == pytest.approx(expit(theta), abs=1e-6)
    assert control.length_effect == pytest.approx(phi, abs=1e-6)
    raw = control.raw
    for rate in (control.by_difference, control.by_ratio):
        assert holds(rate, cast("float", raw.low))
        assert holds(rate, cast("float", raw.high))  # all of what the regression sees may be difficulty
    probabilities = found(pairs, soft=True)
    assert probabilities.raw.value == pytest.approx(np.mean([pair.p_a for pair in pairs]))
    theta, _ = reference(np.tanh(d_N / np.std(d_N)), [pair.p_a for pair in pairs])
    assert probabilities.by_difference is not None
    assert probabilities.by_difference.value == pytest.approx(expit(theta), abs=1e-6)


def test_by_hand() -> None:
    """At a ratio of 1/2 one of four is won, at 2 three of four: logit p = log 3 / log 2 · log ratio."""
    pairs = [judged(f"s{i}", float(i % 4 < 1), 49, 99) for i in range(20)]
    pairs += [judged(f"l{i}", float(i % 4 < 3), 99, 49) for i in range(20)]
    control = found(pairs)
    assert control.by_difference is not None
    assert control.by_difference.value == pytest.approx(0.5)
    # d is ±50 with deviation 50: at tanh(1) the log-odds are log 3.
    assert control.length_effect == pytest.approx(math.log(3) / math.tanh(1))
    assert control.length_ratio == 1.0
    assert control.longer_preferred == 6 / 8
    assert control.raw == cast("Any", win_rate(pairs, "new", "old")).rate


@pytest.mark.parametrize("samples", [1, 3])
def test_the_other_policy_has_one_less_the_rate(samples: int) -> None:
    pairs = planted(60, samples, 0.3, 1.0, np.random.default_rng(1))
    control, other = found(pairs), found(pairs, "old", "new")
    assert control.method == other.method == ("bracket" if samples == 1 else "difficulty")
    for one, two in ((control.by_difference, other.by_difference), (control.by_ratio, other.by_ratio)):
        assert one is not None
        assert two is not None
        assert two.value == pytest.approx(1 - one.value, abs=1e-4)
        assert two.low == pytest.approx(1 - cast("float", one.high), abs=0.01)  # the start is drawn
    assert other.length_effect == pytest.approx(control.length_effect, abs=1e-3)
    assert other.length_ratio == pytest.approx(1 / cast("float", control.length_ratio))
    assert other.longer_preferred == control.longer_preferred


def test_a_policy_that_wins_by_length_only_is_found_out() -> None:
    """At equal length the new policy loses; it answers at half as much length again, and wins."""
    control = found(planted(300, 2, -0.7, 4.0, np.random.default_rng(2), ratio=1.5))
    assert control.raw.low is not None
    assert control.raw.low > 0.5
    assert control.changes_sign
    for rate in (control.by_difference, control.by_ratio):
        assert rate is not None
        assert rate.high is not None
        assert rate.high < 0.5
    assert holds(control.by_ratio, truth(-0.7))
    assert control.length_effect is not None
    assert control.length_effect > 1


def test_without_an_effect_of_length_the_rate_stays() -> None:
    for samples in (1, 2):
        control = found(planted(400, samples, 0.6, 0.0, np.random.default_rng(3)))
        assert not control.changes_sign
        for rate in (control.by_difference, control.by_ratio):
            assert rate is not None
            assert rate.value == pytest.approx(control.raw.value, abs=0.015)
        assert control.length_effect == pytest.approx(0, abs=0.4)


def test_difficulty_that_goes_with_length_is_no_effect_of_length() -> None:
    """The policy answers half as long, and longer where prompts are easy for it; length itself has no effect. Read at
    equal length, a regression of winning on length finds a rate far too high; where prompts have several pairs the two
    are told apart, and with one pair of each there is no rate.
    """
    rng = np.random.default_rng(4)
    several = planted(200, 4, -0.5, 0.0, rng, ratio=0.5, together=0.8)
    control = found(several)
    assert control.method == "difficulty"
    assert holds(control.by_ratio, truth(-0.5))
    log_ratio_N = np.array([math.log1p(pair.length_a) - math.log1p(pair.length_b) for pair in several])
    theta, _ = reference(log_ratio_N, [pair.p_a for pair in several])
    assert expit(theta) > truth(-0.5) + 0.15
    one = found(planted(200, 1, -0.5, 0.0, rng, ratio=0.5, together=0.8))
    assert one.by_difference is one.by_ratio is one.method is one.length_effect is None
    assert one.unknown is not None
    assert "separated from difficulty" in one.unknown
    assert not one.changes_sign


SETTINGS = {
    "one policy, three samples": (60, 3, (0.5,)),
    "three policies, one sample": (60, 1, (0.5, 0.8, 1.3)),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_intervals_hold_the_planted_rate_as_often_as_they_say(setting: str) -> None:
    """Difficulty goes with length, length has an effect of its own, and the policies are mostly the briefer ones. The
    command `python -m benchmarks.length_control --simulate` runs this at length.
    """
    prompts, samples, ratios = SETTINGS[setting]
    rng, trials = np.random.default_rng(6), 30
    covered, widths = 0, list[float]()
    for _ in range(trials):
        difficulty_I = rng.normal(size=prompts)
        pairs = [
            pair
            for i, ratio in enumerate(ratios)
            for pair in planted(prompts, samples, 0.3, 1.2, rng, ratio, 0.6, f"p{i}", difficulty_I)
        ]
        control = found(pairs, "p0")
        if control.by_ratio is not None:  # else its interval would be too wide to say anything
            assert control.method == "difficulty"
            covered += holds(control.by_ratio, truth(0.3))
            widths.append(cast("float", control.by_ratio.high) - cast("float", control.by_ratio.low))
    assert len(widths) > 0.8 * trials
    assert covered / len(widths) >= 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / len(widths))
    assert np.mean(widths) < 0.42


@pytest.mark.parametrize("phi", [0.0, 1.5])
def test_where_lengths_are_about_equal_the_interval_allows_for_length_and_for_difficulty(phi: float) -> None:
    """One pair of each prompt, at the edge of what is bracketed: with and without an effect of length of its own."""
    rng, trials, given = np.random.default_rng(8), 30, 0
    covered = 0
    for _ in range(trials):
        control = found(planted(150, 1, 0.2, phi, rng, ratio=0.84, together=0.8 if phi == 0 else 0.0))
        if control.by_ratio is not None:
            given += 1
            covered += holds(control.by_ratio, truth(0.2))
    assert given > 0.7 * trials
    assert covered / given >= 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / given)


def test_samples_of_a_prompt_add_nothing_if_they_are_the_same() -> None:
    pairs = planted(60, 1, 0.4, 1.5, np.random.default_rng(6))
    once, often = found(pairs), found(pairs * 5)
    for one, five in ((once.by_difference, often.by_difference), (once.by_ratio, often.by_ratio)):
        assert one is not None
        assert five is not None
        assert (five.value, five.low, five.high, five.n) == (
            pytest.approx(one.value),
            pytest.approx(one.low),
            pytest.approx(one.high),
            60,
        )


def outcomes_at(*lengths_and_outcomes: tuple[int, float]) -> list[JudgedPair]:
    return [judged(f"{i}", p, length, 100) for i, (length, p) in enumerate(lengths_and_outcomes * 12)]


def test_where_length_tells_all_or_nothing_there_is_no_rate() -> None:
    longer_wins = outcomes_at((90, 0.0), (95, 0.0), (105, 1.0), (130, 1.0))
    shorter_wins = outcomes_at((90, 1.0), (95, 1.0), (105, 0.0), (130, 0.0))
    always_wins = outcomes_at((90, 1.0), (130, 1.0))
    equal = outcomes_at((100, 1.0), (100, 0.0))
    twice_as_long = outcomes_at((200, 1.0), (200, 0.0))
    for pairs in (longer_wins, shorter_wins, always_wins, equal, twice_as_long):
        control = found(pairs)
        assert control.by_difference is control.by_ratio is control.length_effect is control.method is None
        assert control.unknown is not None
        assert not control.changes_sign
        assert control.raw.low is not None
    assert "length alone" in (found(longer_wins).unknown or "")
    assert (found(longer_wins).longer_preferred, found(shorter_wins).longer_preferred) == (1.0, 0.0)
    assert found(equal).longer_preferred is None
    assert found(twice_as_long).length_ratio == 2.0


def test_a_fit_that_all_but_separates_gives_no_rate() -> None:
    pairs = [*outcomes_at((90, 0.0), (95, 0.0), (105, 1.0), (130, 1.0)), judged("x", 1.0, 94, 100)]
    control = found(pairs)
    assert control.by_difference is None or (control.by_difference.high or 1) - (control.by_difference.low or 0) > 0.2


def test_lengths_that_are_worlds_apart_give_no_rate_however_many_pairs_there_are() -> None:
    control = found(planted(60, 3, 0.0, 0.2, np.random.default_rng(9), ratio=0.05))
    assert control.by_difference is control.by_ratio is None
    assert control.unknown is not None
    assert control.unknown.startswith("its responses are 0.05 times as long")


def test_too_few_prompts_give_no_rate() -> None:
    pairs = [judged("1", 1.0, 0, 10), judged("1", 0.0, 10, 0), judged("2", 1.0, 20, 0), judged("2", 0.0, 0, 0)]
    control = found(pairs)
    assert control.by_difference is control.by_ratio is None
    assert "20 prompts" in (control.unknown or "")
    assert found([judged("1", 1.0, 10, 0), judged("2", 0.0, 20, 0)]).length_ratio is None
    assert length_control(pairs, "new", "another") is None
    assert length_controls([], [("new", "old")]) == ()


def test_an_undecided_judge_is_taken_at_its_choices() -> None:
    """Its probabilities all lie near one half, which would seem to say that there is no difference."""
    pairs = planted(60, 2, theta=-1.5, phi=0.0, rng=np.random.default_rng(3))
    meek = [judged(p.prompt_id, 0.5 + 0.02 * (p.p_a - 0.5), p.length_a, p.length_b) for p in pairs]
    assert found(meek).by_difference == found(pairs).by_difference
    assert found(meek).by_difference is not None


def test_each_policy_against_each_other_one() -> None:
    """Of three that all met, the rate of a pair rests on both policies' pairs with the one it is against."""
    rng = np.random.default_rng(10)
    easy_I = rng.normal(size=50)
    first = planted(50, 1, 0.5, 1.0, rng, 0.7, 0.5, "first", easy_I)
    second = planted(50, 1, 0.2, 1.0, rng, 1.4, 0.5, "second", easy_I)
    between = [JudgedPair(p.prompt_id, "c", "second", "first", 0.5, p.length_b, p.length_a) for p in first]
    wanted = [("first", "old"), ("second", "old"), ("second", "first"), ("third", "old")]
    controls = length_controls([*first, *second, *between], wanted)
    assert [(each.policy, each.against) for each in controls] == wanted[:3]
    assert controls[0].method == controls[1].method == "difficulty"
    assert controls[0] == found([*first, *second], "first")


def test_results_of_earlier_versions_are_read_without_their_rates() -> None:
    now = found(planted(40, 2, 0.0, 1.0, np.random.default_rng(7))).model_dump(mode="json")
    kept = ("policy", "against", "raw", "length_effect", "length_ratio", "longer_preferred")
    earlier = {key: now[key] for key in kept} | {"at_equal_ratio": None, "length_controlled": now["by_difference"]}
    read = LengthControl.model_validate(earlier)
    assert read.raw.value == now["raw"]["value"]
    assert read.by_difference is read.length_effect is None
    assert read.unknown is not None
    assert "evaluate again" in read.unknown


def test_a_rate_of_one_half_changes_no_sign() -> None:
    def control(raw: float, by_ratio: float | None) -> LengthControl:
        given = None if by_ratio is None else Estimate(value=by_ratio, low=None, high=None, n=1)
        return LengthControl(
            policy="new",
            against="old",
            raw=Estimate(value=raw, low=None, high=None, n=1),
            by_ratio=given,
            by_difference=None,
            method=None,
            unknown=None,
            length_effect=None,
            length_ratio=None,
            longer_preferred=None,
        )

    assert control(0.6, 0.4).changes_sign
    assert not control(0.6, 0.5).changes_sign
    assert not control(0.5, 0.4).changes_sign
    assert not control(0.6, None).changes_sign
