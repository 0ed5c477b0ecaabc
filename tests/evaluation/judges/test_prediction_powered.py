"""Few labels of people and many of a judge: against the library, and on simulated people whose opinion is known."""

from collections.abc import Callable

import numpy as np
import pytest

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.prediction_powered import (
    JudgedRow,
    PredictionPowered,
    labels_for_width,
    labels_worth,
    plan_probabilities,
    prediction_powered,
    sampling_plan,
)


def rows_of(human: list[float | None], judge: list[float]) -> list[JudgedRow]:
    return [JudgedRow(f"r{i}", f"p{i}", "c", j, h) for i, (h, j) in enumerate(zip(human, judge, strict=True))]


def draw(
    rng: np.random.Generator, labelled: int, others: int, slope: float = 0.35, noise: float = 0.1
) -> list[JudgedRow]:
    """People prefer a in 60% of the prompts; a judge too fond of a by 0.2 follows them by `slope`."""
    people = rng.random(labelled + others) < 0.6
    judge = np.clip(0.7 + slope * (people - 0.5) + rng.normal(0, noise, len(people)), 0, 1)
    human = [float(h) if i < labelled else None for i, h in enumerate(people)]
    return rows_of(human, judge.tolist())


def width(estimate: Estimate | None) -> float:
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.high - estimate.low


def covers(estimate: Estimate | None, truth: float) -> bool:
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


def test_against_the_library_and_its_own_lambda() -> None:
    from ppi_py import ppi_mean_ci, ppi_mean_pointestimate

    rows = draw(np.random.default_rng(1), 40, 400, noise=0.3)
    found = prediction_powered(rows)
    human = np.array([row.human for row in rows if row.human is not None])
    beside, alone = (np.array([r.judge for r in rows if (r.human is None) == none]) for none in (False, True))
    assert found.prediction_powered is not None
    assert found.power is not None
    assert 0 < found.power < 1
    library = float(np.squeeze(ppi_mean_pointestimate(human, beside, alone)))
    assert found.prediction_powered.value == pytest.approx(library)
    low, high = (float(np.squeeze(end)) for end in ppi_mean_ci(human, beside, alone, alpha=0.05))
    # 40 labels and two parameters: Student's t with 38 degrees of freedom is 2.024394 where the normal has 1.959964
    assert width(found.prediction_powered) == pytest.approx((high - low) * 2.024394 / 1.959964 * (40 / 38) ** 0.5)
    assert (found.n_human, found.n_judge) == (40, 400)
    assert found.human_only is not None
    assert found.human_only.value == human.mean()
    assert width(found.human_only) == pytest.approx(2 * 2.022691 * human.std(ddof=1) / 40**0.5, rel=1e-6)
    assert found.judge_only.value == pytest.approx(float(np.mean([row.judge for row in rows])))
    assert found.correlation == pytest.approx(np.corrcoef(human, beside)[0, 1])
    assert found.effective_labels == pytest.approx(
        40 * (width(found.human_only) / width(found.prediction_powered)) ** 2
    )


def test_an_undecided_judge_is_worth_as_much_as_a_decided_one() -> None:
    decided = draw(np.random.default_rng(2), 60, 600)
    undecided = [JudgedRow(r.id, r.prompt_id, "c", 0.5 + (r.judge - 0.5) / 8, r.human) for r in decided]
    one, other = prediction_powered(decided), prediction_powered(undecided)
    assert one.power is not None
    assert other.power == pytest.approx(8 * one.power)
    assert one.prediction_powered is not None
    assert other.prediction_powered is not None
    assert other.prediction_powered.value == pytest.approx(one.prediction_powered.value)
    assert width(other.prediction_powered) == pytest.approx(width(one.prediction_powered))


def test_comparisons_of_one_prompt_are_one_label() -> None:
    rows = draw(np.random.default_rng(3), 30, 300)
    repeated = [JudgedRow(f"{r.id}-{k}", r.prompt_id, "c", r.judge, r.human) for r in rows for k in range(4)]
    assert prediction_powered(repeated) == prediction_powered(rows)
    # of a prompt labelled in part, what nobody labelled is left out of the correction
    partly = [*rows, JudgedRow("more", rows[0].prompt_id, "c", 0.0, None)]
    assert prediction_powered(partly).prediction_powered == prediction_powered(rows).prediction_powered
    assert prediction_powered(partly).judge_only != prediction_powered(rows).judge_only


def test_with_few_labels_nothing_is_claimed() -> None:
    rows = draw(np.random.default_rng(4), 9, 50)
    found = prediction_powered(rows)
    assert found.human_only is not None
    assert (found.human_only.n, found.human_only.low) == (9, None)
    assert (found.prediction_powered, found.power, found.effective_labels, found.correlation) == (None,) * 4
    assert labels_for_width(rows, 0.05).with_judge is labels_for_width(rows, 0.05).without_judge is None
    none = prediction_powered(rows_of([None] * 3, [0.2, 0.4, 0.9]))
    assert (none.human_only, none.prediction_powered, none.n_human, none.n_judge) == (None, None, 0, 3)
    assert none.judge_only.value == pytest.approx(0.5)
    with pytest.raises(ValueError, match="nothing was judged"):
        prediction_powered([])


@pytest.mark.parametrize(
    "judge",
    [
        lambda _: 0.7,  # says the same of everything
        lambda people: 0.9 - 0.5 * people,  # contradicts people
    ],
)
def test_a_judge_that_does_not_help_is_left_out(judge: Callable[[float], float]) -> None:
    people = [float(i % 3 == 0) for i in range(120)]
    rows = rows_of([p if i < 30 else None for i, p in enumerate(people)], [judge(p) for p in people])
    found = prediction_powered(rows)
    assert (found.power, found.effective_labels) == (0.0, 30.0)
    assert found.prediction_powered == found.human_only
    plan = labels_for_width(rows, 0.16)
    assert plan.with_judge == plan.without_judge


def test_people_who_all_agree_leave_room_for_doubt() -> None:
    found = prediction_powered(rows_of([1.0] * 12 + [None] * 100, np.linspace(0, 1, 112).tolist()))
    assert found.prediction_powered == found.human_only
    assert found.human_only is not None
    assert found.human_only.low == pytest.approx(0.025 ** (1 / 12))  # Clopper-Pearson's with 12 of 12
    assert labels_for_width(rows_of([1.0] * 12, [0.5] * 12), 0.1).without_judge is None


def test_labels_for_a_width_by_hand() -> None:
    # Half of 100 people say 1: s² = 100 · 0.25 / 99 = 0.2525. The judge agrees in 80: r = 0.6. T = 2,000 are judged.
    # The wanted variance (0.05 / 1.96)² is 0.002577 s²: 1 / 0.002577 = 388.03 labels without the judge, and with it
    # (1 - r²) / (0.002577 - r² / T) = 0.64 / 0.002397 = 266.99.
    people = [1.0, 0.0] * 50
    judge = [1 - p if i % 10 in (0, 1) else p for i, p in enumerate(people)]
    rows = rows_of([*people, *([None] * 1900)], [*judge, *([1.0, 0.0] * 950)])
    plan = labels_for_width(rows, 0.05)
    assert (plan.with_judge, plan.without_judge) == (267, 389)
    assert labels_for_width(rows, 0.01) == plan.model_copy(
        update={"half_width": 0.01, "with_judge": None, "without_judge": 9701}  # not even with 2,000 labels
    )
    with pytest.raises(ValueError, match="between 0 and"):
        labels_for_width(rows, 0.0)


def test_the_labels_there_are_give_the_width_that_was_planned() -> None:
    rows = draw(np.random.default_rng(5), 200, 2000)
    found = prediction_powered(rows)
    assert labels_for_width(rows, width(found.prediction_powered) / 2).with_judge == pytest.approx(200, rel=0.05)
    assert labels_for_width(rows, width(found.human_only) / 2).without_judge == pytest.approx(200, rel=0.05)


def test_the_plan_is_a_sample_of_prompts_by_cohort() -> None:
    rows = [
        JudgedRow(f"{c}{i}-{k}", f"{c}{i}", c, 0.5, None)
        for c, n in (("x", 60), ("y", 30))
        for i in range(n)
        for k in range(3 if c == "y" else 1)
    ]
    plan = sampling_plan(rows, 30)
    chosen = [rows[i] for i in plan]
    assert len({row.prompt_id for row in chosen}) == 30  # one of each prompt before a second one of any
    assert [row.cohort for row in chosen].count("y") == 10  # a third of the prompts, though 90 of the 150 rows
    assert [rows[i].cohort for i in plan[:9]].count("y") == 3
    assert sampling_plan(rows, 60)[:30] == plan
    assert sampling_plan(list(reversed(rows)), 30) == [len(rows) - 1 - i for i in plan]
    assert {rows[i].prompt_id for i in sampling_plan(rows, 90)} == {row.prompt_id for row in rows}
    assert sorted(sampling_plan(rows, 1000)) == list(range(150))
    done = [JudgedRow(r.id, r.prompt_id, r.cohort, r.judge, 1.0 if i in plan else None) for i, r in enumerate(rows)]
    assert sampling_plan(done, 30) == sampling_plan(rows, 60)[30:]


def many(labelled: int, others: int, runs: int, seed: int) -> list[PredictionPowered]:
    rng = np.random.default_rng(seed)
    return [prediction_powered(draw(rng, labelled, others)) for _ in range(runs)]


def test_intervals_cover_the_truth_though_the_judge_is_biased_and_are_narrower() -> None:
    """Nominal 95%, within two standard errors of 300 simulations: 2.5 points."""
    for labelled, seed in ((20, 6), (100, 7)):
        found = many(labelled, 500, 300, seed)
        assert np.mean([covers(each.prediction_powered, 0.6) for each in found]) == pytest.approx(0.95, abs=0.025)
        assert np.mean([covers(each.judge_only, 0.6) for each in found]) == 0.0
        narrower = [width(each.prediction_powered) / width(each.human_only) for each in found]
        assert np.mean(narrower) < 0.7
        assert np.mean([each.effective_labels or 0.0 for each in found]) > 2 * labelled


def clustered(rng: np.random.Generator, name: int) -> list[JudgedRow]:
    """Prompts with one to four comparisons; the more, the less often people prefer a: 0.8, 0.6, 0.4, 0.2."""
    rows: list[JudgedRow] = []
    for prompt in range(240):
        size = int(rng.integers(1, 5))
        fond = rng.beta(4 * (1 - size / 5), 4 * size / 5)
        for k in range(size):
            likes = float(rng.random() < fond)
            rows.append(JudgedRow(f"{name}-{prompt}-{k}", f"{name}-{prompt}", "c", 0.3 + 0.6 * fond, likes))
    return rows


def labelled_by(rows: list[JudgedRow], chosen: list[int]) -> list[JudgedRow]:
    kept = set(chosen)
    return [r if i in kept else JudgedRow(r.id, r.prompt_id, r.cohort, r.judge, None) for i, r in enumerate(rows)]


def test_the_plan_keeps_the_estimate_right_and_the_most_disputed_do_not() -> None:
    """Averaged over prompts people prefer a half the time, whatever the number of comparisons of each."""
    rng = np.random.default_rng(8)
    planned: list[bool] = []
    disputed: list[bool] = []
    for run in range(150):
        rows = clustered(rng, run)
        nobody = labelled_by(rows, [])
        planned.append(covers(prediction_powered(labelled_by(rows, sampling_plan(nobody, 60))).human_only, 0.5))
        undecided = sorted(range(len(rows)), key=lambda i: abs(rows[i].judge - 0.5))[:60]
        disputed.append(covers(prediction_powered(labelled_by(rows, undecided)).human_only, 0.5))
    assert np.mean(planned) == pytest.approx(0.95, abs=0.036)
    assert np.mean(disputed) < 0.5


# ---- Comparisons that were chosen with known probabilities


def without_probabilities(rows: list[JudgedRow]) -> list[JudgedRow]:
    return [JudgedRow(r.id, r.prompt_id, r.cohort, r.judge, r.human) for r in rows]


def test_weights_by_hand() -> None:
    """Ten labels with weight 1 and ten with weight 3: people (10 · 1 + 30 · 0.5) / 40, the judge's share likewise."""
    human = [1.0] * 10 + [0.0, 1.0] * 5
    judge = [0.9] * 5 + [0.7] * 5 + [0.2, 0.6] * 5
    alone = [0.1, 0.5] * 20
    rows = rows_of([*human, *[None] * 40], [*judge, *alone])
    rows = [JudgedRow(r.id, r.prompt_id, "c", r.judge, r.human, 0.75 if i < 10 else 0.25) for i, r in enumerate(rows)]
    found = prediction_powered(rows)
    assert found.human_only is not None
    assert found.human_only.value == pytest.approx(0.625)
    # Σ w² = (10 · 1 + 10 · 9) / 40² = 1/16: worth 16 labels. Σ w² (h - 0.625)² = (10 · 0.140625 + 9 · 5 · 0.390625 +
    # 9 · 5 · 0.140625) / 1600 = 0.0158203, which is known as from (10 + 90)² / (10 + 810) = 12.195 labels; Student's t
    # with 11.195 degrees of freedom is 2.196314
    assert labels_worth(rows) == pytest.approx(16)
    reach = 2.196314 * 0.015820313**0.5 * (12.195122 / 11.195122) ** 0.5
    assert width(found.human_only) == pytest.approx(
        0.625 + reach - max(0.0, 0.625 - reach) - max(0, reach - 0.375), rel=1e-5
    )
    assert found.power is not None
    assert found.prediction_powered is not None
    beyond = 0.625 - found.power * (10 * 0.8 + 30 * 0.4) / 40
    assert found.prediction_powered.value == pytest.approx(found.power * np.mean([*judge, *alone]) + beyond)


def test_equal_probabilities_are_a_random_sample() -> None:
    rows = draw(np.random.default_rng(9), 40, 200)
    planned = [JudgedRow(r.id, r.prompt_id, r.cohort, r.judge, r.human, 0.3) for r in rows]
    one, other = prediction_powered(planned), prediction_powered(rows)
    assert one.power == pytest.approx(other.power)
    assert width(one.human_only) == pytest.approx(width(other.human_only))
    assert width(one.prediction_powered) == pytest.approx(width(other.prediction_powered))
    assert labels_for_width(planned, 0.05) == labels_for_width(rows, 0.05)


def disputed_more_often(rng: np.random.Generator, budget: int) -> list[JudgedRow]:
    """People prefer a in 60% of 500 prompts. Those on which the judge is near one half are asked about five times
    as often, and there people say a in half of the cases only: 0.6 = 0.4 · 0.5 + 0.6 · 2/3.
    """
    unsure = rng.random(500) < 0.4
    likes = rng.random(500) < np.where(unsure, 0.5, 2 / 3)
    judge = np.where(unsure, 0.5, np.where(likes, 0.85, 0.35)) + rng.normal(0, 0.05, 500)
    chance = np.where(unsure, 1.0, 0.2)
    chance *= budget / chance.sum()
    asked = rng.random(500) < np.minimum(chance, 1.0)
    return [
        JudgedRow(f"r{i}", f"p{i}", "c", float(judge[i]), float(likes[i]) if asked[i] else None, float(chance[i]))
        for i in range(500)
    ]


def test_planned_probabilities_keep_the_truth_that_is_missed_without_them() -> None:
    """Nominal 95%, within three standard errors of 300 simulations; without weights the truth is missed."""
    for budget, seed in ((80, 10), (160, 11)):
        rng = np.random.default_rng(seed)
        samples = [disputed_more_often(rng, budget) for _ in range(300)]
        weighted = [prediction_powered(rows) for rows in samples]
        plain = [prediction_powered(without_probabilities(rows)) for rows in samples]
        assert np.mean([covers(each.prediction_powered, 0.6) for each in weighted]) == pytest.approx(0.95, abs=0.038)
        assert np.mean([covers(each.human_only, 0.6) for each in weighted]) == pytest.approx(0.95, abs=0.038)
        values = [each.prediction_powered.value for each in weighted if each.prediction_powered]
        assert np.mean(values) == pytest.approx(0.6, abs=0.01)
        naive = [each.human_only.value for each in plain if each.human_only]
        assert np.mean(naive) < 0.55
        assert np.mean([covers(each.human_only, 0.6) for each in plain]) < 0.85


def test_few_labels_of_great_weight_are_worth_less_than_they_are() -> None:
    rows = [
        JudgedRow(r.id, r.prompt_id, r.cohort, r.judge, r.human, 0.02 if i == 0 else 1.0)
        for i, r in enumerate(draw(np.random.default_rng(12), 30, 100))
    ]
    found = prediction_powered(rows)  # one label stands for 50 prompts, 29 for one each: worth 2.4 of them
    assert found.human_only is not None
    assert (found.human_only.n, found.human_only.low, found.prediction_powered) == (30, None, None)
    assert labels_for_width(rows, 0.05).with_judge is None


def test_what_the_plan_says_of_its_probabilities_is_how_often_it_chooses() -> None:
    """Prompts of one to three comparisons, under many names: the share of names for which a row is chosen."""
    sizes = [1, 1, 1, 1, 2, 2, 2, 3]
    chosen: dict[tuple[int, int], list[float]] = {}
    said: dict[tuple[int, int], list[float]] = {}
    for name in range(400):
        rows = [
            JudgedRow(f"{name}-{p}-{k}", f"{name}-{p}", "c", 0.5, None) for p, n in enumerate(sizes) for k in range(n)
        ]
        keys = [(p, k) for p, n in enumerate(sizes) for k in range(n)]
        plan = sampling_plan(rows, 4)
        for i, key in enumerate(keys):
            chosen.setdefault(key, []).append(float(i in plan))
        for i, probability in zip(plan, plan_probabilities(rows, plan), strict=True):
            said.setdefault(keys[i], []).append(probability)
    for key, values in said.items():
        assert len(set(values)) == 1  # half of all prompts, and one of its comparisons
        assert values[0] == pytest.approx(0.5 / sizes[key[0]])
        assert np.mean(chosen[key]) == pytest.approx(values[0], abs=0.08)


def test_small_cohorts_are_asked_about_as_often_as_large_ones() -> None:
    """A hundred prompts, each a cohort of its own, and a hundred in one: half of the plan is of either."""
    shares: list[float] = []
    first: list[float] = []
    for name in range(60):
        rows = [JudgedRow(f"{name}s{i}", f"{name}s{i}", f"{name}cohort{i:03}", 0.5, None) for i in range(100)]
        rows += [JudgedRow(f"{name}l{i}", f"{name}l{i}", "large", 0.5, None) for i in range(100)]
        plan = sampling_plan(rows, 40)
        shares.append(np.mean([i < 100 for i in plan]).item())
        first.append(np.mean([i < 50 for i in plan if i < 100]).item())
    assert np.mean(shares) == pytest.approx(0.5, abs=0.04)
    assert np.mean(first) == pytest.approx(0.5, abs=0.06)  # not by their names
