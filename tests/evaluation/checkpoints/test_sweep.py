"""Checkpoints along a run, on snapshots small enough to work out by hand."""

import math

import pytest

from preceptor.evaluation.checkpoints.choose import Bounds
from preceptor.evaluation.checkpoints.snapshot import MeasuredReference, MeasuredResponse, Snapshot, differences
from preceptor.evaluation.checkpoints.sweep import Measured, Sweep, heldout_of, sweep
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.compute import TextMeasure
from preceptor.evaluation.policies.rates import MeasuredText
from preceptor.results.sweep import SweepResult

COHORTS = ("easy", "hard")


def response(
    prompt: int, heldout: float | None, reward: float | None = 0.0, text: str = "a b", kl: float = 1.0
) -> MeasuredResponse:
    return MeasuredResponse(
        prompt_id=f"p{prompt}",
        cohort=COHORTS[prompt % 2],
        prompt="q",
        text=text,
        tokens=2,
        finished=True,
        kl=kl,
        judge_score=reward,
        choice_mass=None,
        heldout_score=heldout,
    )


def at(step: int, easy: float, hard: float, reward: float = 0.0, loss: float = 1.0, kl: float = 1.0) -> Snapshot:
    """22 prompts; those of a cohort differ from its mean by 0, 1, ... 10 hundredths less 5, each step in an order of
    its own, so that intervals of changes have a width and means are as given.
    """
    place = {0: 1, 10: 2, 20: 3, 30: 5}[step]
    noise = [0.01 * (i // 2 * place % 11 - 5) for i in range(22)]
    responses = tuple(
        response(i, (hard if i % 2 else easy) + noise[i], reward + noise[-i], f"w{i} w{i + 1}", kl) for i in range(22)
    )
    reference = MeasuredReference(prompt_id="r", cohort="c", log_likelihood=-loss, tokens=1)
    return Snapshot(step=step, responses=responses, references=(reference,))


def measured(validation: tuple[str, ...] = ()) -> Measured:
    return Measured(
        title="run",
        held_out="a judge",
        training_reward="the reward",
        heldout_judge_trained=False,
        samples=1,
        trained_on=0,
        kept_step=20,
        facts={},
        validation=validation,
    )


def value(estimate: Estimate | None) -> float:
    assert estimate is not None
    return estimate.value


RISING = [
    at(0, 0.0, 0.0),
    at(10, 0.5, 0.1, reward=1.0, loss=1.1, kl=4.0),
    at(20, 0.4, -0.3, reward=2.0, loss=1.2, kl=9.0),
    at(30, 0.9, 0.9, reward=3.0, loss=1.0, kl=25.0),
]


@pytest.fixture(scope="module")
def swept() -> Sweep:
    return sweep(RISING, Bounds(), measured())


def test_the_best_is_within_the_bounds_and_the_held_out_score_chooses(swept: Sweep) -> None:
    assert swept.best_step == 10
    assert [point.excluded for point in swept.points] == [None, None, None, "KL 25.0 is above 20"]
    assert (swept.prompts, swept.cohorts) == (22, {"easy": 11, "hard": 11})
    wider = sweep([RISING[0], RISING[2], RISING[3]], Bounds(max_kl=30.0, max_perplexity_ratio=1.2), measured())
    assert wider.best_step == 30
    assert wider.points[1].excluded == "perplexity on reference answers rose by 22%"


def test_where_over_optimisation_begins(swept: Sweep) -> None:
    assert (swept.over_optimisation.detected, swept.over_optimisation.step) == (True, 20)


def test_changes_are_paired_by_prompt_overall_and_by_cohort(swept: Sweep) -> None:
    point = swept.points[1]
    assert value(point.gain.overall) == pytest.approx(0.3)
    assert {cohort: value(e) for cohort, e in point.gain.by_cohort.items()} == {
        "easy": pytest.approx(0.5),
        "hard": pytest.approx(0.1),
    }
    assert value(point.training_reward.overall) == pytest.approx(1.0, abs=0.01)
    assert point.perplexity_ratio == pytest.approx(math.exp(0.1))


def test_better_and_worse_take_all_checkpoints_into_account(swept: Sweep) -> None:
    assert [point.better for point in swept.points] == [False, True, False, True]
    assert swept.points[0].p_holm is None
    assert swept.points[1].p_holm == pytest.approx(3 * 1e-4)  # no drawn pattern of 9,999 comes near; three questions
    fallen = sweep([RISING[0], at(10, -0.5, -0.5)], Bounds(), measured())
    assert (fallen.points[1].worse, fallen.points[1].better) == (True, False)
    assert fallen.best_step == 0
    chance = fallen.points[1].model_copy(update={"p_holm": 0.06})
    assert not chance.worse


def test_differences_leave_out_what_failed() -> None:
    before = Snapshot(
        step=0, responses=(response(1, 0.0), response(1, 1.0), response(2, None), response(3, 1.0)), references=()
    )
    after = Snapshot(step=1, responses=(response(1, 0.75), response(2, 1.0), response(3, None)), references=())
    assert differences(before, after, heldout_of) == {"p1": 0.25}


def test_measures_of_single_responses_stand_beside_each_checkpoint() -> None:
    texts = [
        MeasuredText(str(step), f"p{i}", COHORTS[i % 2], float(i % 2 == 0 or step == 10))
        for step in (0, 10)
        for i in range(4)
    ]
    found = sweep([RISING[0], RISING[1]], Bounds(), measured(), [TextMeasure("exact match", texts)])
    before, after = (point.rates["exact match"] for point in found.points)
    assert (value(before.overall), value(before.by_cohort["easy"]), value(before.by_cohort["hard"])) == (0.5, 1.0, 0.0)
    assert value(after.overall) == 1.0
    assert found.points[0].rates.keys() == {"exact match"}


def test_a_sweep_begins_with_the_policy_before_training() -> None:
    with pytest.raises(ValueError, match="the first measurement must be of step 0"):
        sweep(RISING[1:], Bounds(), measured())


def test_a_sweep_survives_json(swept: Sweep) -> None:
    assert Sweep.model_validate_json(swept.model_dump_json()) == swept


def test_the_best_is_chosen_on_validation_prompts_and_its_change_is_that_of_the_others() -> None:
    lucky = RISING[1].with_responses([r.model_copy(update={"heldout_score": 9.0 if r.prompt_id in ("p0", "p1", "p2")
        else r.heldout_score}) for r in RISING[1].responses])  # fmt: skip
    found = sweep([RISING[0], lucky, RISING[2]], Bounds(), measured(("p0", "p1", "p2")))
    assert (found.best_step, found.validation) == (10, 3)
    plain = sweep([RISING[0], RISING[1], RISING[2]], Bounds(), measured(("p0", "p1", "p2")))
    assert found.best.gain == plain.points[1].gain
    assert found.best.gain.overall is not None
    assert found.best.gain.overall.n == 19
    assert "on the 19 prompts that did not choose it" in SweepResult(**dict(found)).headline
    assert not any("part of its lead is luck" in warning for warning in SweepResult(**dict(found)).warnings)
    alone = sweep(RISING[:3], Bounds(), measured())
    assert any("part of its lead is luck" in warning for warning in SweepResult(**dict(alone)).warnings)
