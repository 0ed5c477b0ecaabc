"""Which checkpoint is kept, when training stops, what counts as over-optimisation."""

from preceptor.evaluation.checkpoints.choose import (
    Bounds,
    choose_checkpoint,
    find_over_optimisation,
    should_stop,
    to_grade,
)
from preceptor.evaluation.checkpoints.snapshot import MeasuredReference, MeasuredResponse, Snapshot

BOUNDS = Bounds()


def at(
    step: int, heldout: float, judge: float, kl: float = 1.0, loss: float = 1.0, same: bool = False, cut: bool = False
) -> Snapshot:
    responses = tuple(
        MeasuredResponse(
            prompt_id=str(i),
            cohort="all",
            prompt="p",
            text="so glad" if same else f"w{i} w{i + 1}",
            tokens=2,
            finished=not cut,
            kl=kl,
            judge_score=judge,
            choice_mass=1.0,
            heldout_score=heldout + 0.01 * (i % 3),
        )
        for i in range(12)
    )
    reference = MeasuredReference(prompt_id="r", cohort="c", log_likelihood=-loss, tokens=1)
    return Snapshot(step=step, responses=responses, references=(reference,))


START = at(0, 0.1, 0.0)


def test_the_held_out_score_chooses_not_the_judge() -> None:
    assert choose_checkpoint([START, at(5, 0.6, 1.0), at(10, 0.5, 9.0)], BOUNDS).step == 5


def test_bounds_exclude_and_say_why() -> None:
    curve = [
        START,
        at(5, 0.3, 1.0),
        at(10, 0.9, 2.0, kl=21.0),
        at(15, 0.9, 2.0, loss=1.5),
        at(20, 0.9, 2.0, same=True),
        at(25, 0.9, 2.0, cut=True),
    ]
    choice = choose_checkpoint(curve, BOUNDS)
    assert choice.step == 5
    assert choice.excluded[10] == "KL 21.0 is above 20"
    assert choice.excluded[15] == "perplexity on reference answers rose by 65%"
    assert choice.excluded[20].startswith("distinct-2 fell")
    assert choice.excluded[25].endswith("length limit rose from 0% to 100%")


def test_the_untrained_policy_is_kept_when_nothing_is_better() -> None:
    assert choose_checkpoint([START, at(5, 0.05, 9.0)], BOUNDS).step == 0
    assert choose_checkpoint([START, at(5, 0.1, 9.0)], BOUNDS).step == 0


def test_judge_up_and_held_out_down_is_over_optimisation() -> None:
    found = find_over_optimisation([START, at(5, 0.6, 1.0), at(10, 0.2, 3.0)], BOUNDS)
    assert (found.detected, found.step) == (True, 10)
    assert "rose from 1.00 to 3.00 since step 5 while the held-out score fell by 0.40" in found.reasons[0]


def test_a_judge_that_rises_within_its_noise_is_no_sign() -> None:
    later = at(2, -0.2, 0.0)
    noisy = tuple(r.model_copy(update={"judge_score": (3.0, -2.9)[i % 2]}) for i, r in enumerate(later.responses))
    found = later.model_copy(update={"responses": noisy})  # on average 0.05 above before training, where it fell by 0.3
    assert not find_over_optimisation([START, found], BOUNDS).detected
    surely = tuple(r.model_copy(update={"judge_score": 0.05 + 0.001 * (i % 2)}) for i, r in enumerate(later.responses))
    assert find_over_optimisation([START, later.model_copy(update={"responses": surely})], BOUNDS).detected


def test_both_rising_or_both_falling_is_not() -> None:
    assert not find_over_optimisation([START, at(5, 0.6, 1.0), at(10, 0.7, 3.0)], BOUNDS).detected
    assert not find_over_optimisation([START, at(5, 0.6, 1.0), at(10, 0.2, 0.5)], BOUNDS).detected


def test_degenerate_text_that_pleases_the_judge_is() -> None:
    found = find_over_optimisation([START, at(5, 0.9, 1.0, same=True)], BOUNDS)
    assert found.detected
    assert "degenerate text" in found.reasons[0]


def test_training_goes_on_until_there_is_a_reason() -> None:
    assert should_stop([START, at(5, 0.6, 1.0)], BOUNDS) is None
    assert should_stop([START, at(5, 0.6, 1.0, kl=30.0)], BOUNDS) == "step 5: KL 30.0 is above 20"
    reason = should_stop([START, at(5, 0.6, 1.0), at(10, 0.2, 3.0)], BOUNDS)
    assert reason is not None
    assert reason.startswith("step 10: the training judge rose")


def test_a_judge_that_failed_everywhere_is_no_reason_for_anything() -> None:
    heard = at(5, 0.6, 1.0)
    failed = tuple(r.model_copy(update={"judge_score": None}) for r in heard.responses)
    silent = Snapshot(step=5, responses=failed, references=heard.references)
    assert choose_checkpoint([START, silent], BOUNDS).step == 5
    assert not find_over_optimisation([START, silent], BOUNDS).detected


def unmeasured(snapshot: Snapshot) -> Snapshot:
    without = [response.model_copy(update={"heldout_score": None}) for response in snapshot.responses]
    return snapshot.with_responses(without).model_copy(update={"measured": False})


def test_without_a_held_out_measure_the_last_one_within_bounds_is_kept() -> None:
    curve = [unmeasured(each) for each in (START, at(5, 0.6, 1.0), at(10, 0.5, 2.0), at(15, 0.9, 3.0, kl=21.0))]
    choice = choose_checkpoint(curve, BOUNDS)
    assert choice.step == 10
    assert choice.excluded == {15: "KL 21.0 is above 20"}
    assert should_stop(curve[:3], BOUNDS) is None
    assert should_stop(curve, BOUNDS) == "step 15: KL 21.0 is above 20"


def test_a_step_on_which_the_held_out_judge_failed_everywhere_is_not_kept() -> None:
    curve = [at(0, -0.5, 0.0), at(5, -0.3, 1.0), unmeasured(at(10, 0.9, 2.0))]
    choice = choose_checkpoint(curve, BOUNDS)
    assert choice.step == 5
    assert choice.excluded == {10: "the held-out judge failed on 100% of the responses"}
    assert "step 10: the held-out judge failed on 100%" in (should_stop(curve, BOUNDS) or "")
    assert choose_checkpoint([unmeasured(at(0, 0.0, 0.0)), at(5, -0.3, 1.0)], BOUNDS).step == 5


def test_the_guard_is_asked_about_the_best_alone_until_one_is_kept() -> None:
    curve = [START, at(5, 0.3, 1.0), at(10, 0.9, 1.0), at(15, 0.6, 1.0), at(20, 0.95, 1.0, kl=21.0)]
    asked: list[int] = []

    def guard(step: int) -> str | None:
        asked.append(step)
        return "perplexity on reference answers rose by 65%" if step == 10 else None

    choice = choose_checkpoint(curve, BOUNDS, guard)
    assert (choice.step, asked) == (15, [10, 15])
    assert choice.excluded == {20: "KL 21.0 is above 20", 10: "perplexity on reference answers rose by 65%"}
    assert choose_checkpoint(curve, BOUNDS, lambda _: "broken").step == 0


def test_references_that_were_not_looked_at_break_nothing() -> None:
    look = at(5, 0.6, 1.0, loss=9.0).model_copy(update={"references": ()})
    assert choose_checkpoint([START, look], BOUNDS).step == 5


def test_the_judge_is_asked_only_where_the_held_out_score_fell_or_the_text_is_bad() -> None:
    curve = [START, at(5, 0.6, 1.0), at(10, 0.55, 2.0), at(15, 0.2, 3.0)]
    assert [to_grade(curve[: n + 1], BOUNDS) for n in range(4)] == [(), (), (5, 10), (5, 15)]
    assert to_grade([START, at(5, 0.9, 1.0, same=True)], BOUNDS) == (0, 5)
    unasked = [
        each.with_responses([r.model_copy(update={"judge_score": None}) for r in each.responses]) for each in curve
    ]
    assert not find_over_optimisation(unasked, BOUNDS).detected
    found = find_over_optimisation([*unasked[:1], curve[1], unasked[2], curve[3]], BOUNDS)
    assert found.step == 15
    assert "rose from 1.00 to 3.00 since step 5" in found.reasons[0]
