import pytest

from preceptor.evaluation.checkpoints.snapshot import MeasuredReference, MeasuredResponse, Snapshot, change
from preceptor.evaluation.intervals import Estimate


def response(
    prompt: str, heldout: float | None, judge: float | None = 0.0, cohort: str = "a", text: str = "x y"
) -> MeasuredResponse:
    return MeasuredResponse(
        prompt_id=prompt,
        cohort=cohort,
        prompt=prompt,
        text=text,
        tokens=2,
        finished=True,
        kl=1.0,
        judge_score=judge,
        choice_mass=None if judge is None else 0.5,
        heldout_score=heldout,
    )


def snapshot(*responses: MeasuredResponse, step: int = 0) -> Snapshot:
    reference = MeasuredReference(prompt_id="r", cohort="facts", log_likelihood=-10.0, tokens=5)
    return Snapshot(step=step, responses=responses, references=(reference,))


def test_overall_and_by_cohort() -> None:
    measured = snapshot(response("1", 0.0), response("1", 1.0), response("2", 2.0, cohort="b"))
    assert measured.heldout_score.overall is not None
    assert measured.heldout_score.overall.value == pytest.approx(1.25)
    assert {name: e.value for name, e in measured.heldout_score.by_cohort.items() if e} == {"a": 0.5, "b": 2.0}
    assert list(measured.reference_perplexity.by_cohort) == ["facts"]


def test_a_failed_judgement_is_left_out_and_counted() -> None:
    measured = snapshot(response("1", 0.0, judge=None), response("2", 0.0, judge=3.0))
    assert measured.judge_failures == 1
    assert measured.judge_score.overall is not None
    assert (measured.judge_score.overall.value, measured.judge_score.overall.n) == (3.0, 1)
    nothing = snapshot(response("1", 0.0, judge=None))
    assert nothing.judge_score.overall is None
    assert nothing.choice_mass is None
    assert nothing.summary().judge_agreement is None


def test_agreement_is_spearman_s() -> None:
    rising = snapshot(*(response(str(i), heldout=i**3, judge=float(i)) for i in range(5)))
    assert rising.judge_agreement == pytest.approx(1.0)


def test_change_is_paired_by_prompt() -> None:
    before = snapshot(response("1", 0.0), response("2", 1.0), response("3", 5.0), response("gone", 9.0))
    after = snapshot(response("1", 0.5), response("2", 1.5), response("3", 5.5), response("new", -9.0))
    gain = change(before, after)
    assert gain is not None
    assert (gain.value, gain.low, gain.high, gain.n) == (0.5, None, None, 3)


def test_some_of_the_prompts() -> None:
    measured = snapshot(response("1", 0.0), response("1", 1.0), response("2", 2.0))
    assert [r.heldout_score for r in measured.of_prompts({"1"}).responses] == [0.0, 1.0]


def test_what_nothing_measured_has_not_failed() -> None:
    nothing = snapshot(*(response(p, 0.0).model_copy(update={"heldout_score": None}) for p in "123"))
    assert (nothing.is_measured, nothing.heldout_failures) == (False, 0)
    assert nothing.heldout_score.overall is None
    failed = snapshot(response("1", 0.5), response("2", 0.0).model_copy(update={"heldout_score": None}))
    assert (failed.is_measured, failed.heldout_failures) == (True, 1)


def test_a_look_without_a_kl_of_its_own_has_that_of_the_step() -> None:
    look = snapshot(*(response(p, 0.0).model_copy(update={"kl": None}) for p in "123"))
    known = Estimate(value=4.5, low=None, high=None, n=8)
    assert look.model_copy(update={"rollout_kl": known}).kl.overall == known
    assert look.kl.overall is None
    measured = snapshot(*(response(p, 0.0) for p in "123")).model_copy(update={"rollout_kl": known})
    assert measured.kl.overall is not None
    assert measured.kl.overall.value == 1.0


def test_other_responses_leave_nothing_of_the_old_ones() -> None:
    measured = snapshot(response("1", 0.0), response("2", 2.0))
    assert measured.heldout_score.overall is not None
    assert measured.heldout_score.overall.value == 1.0
    other = measured.of_prompts({"2"}).heldout_score.overall
    assert other is not None
    assert other.value == 2.0


def test_unreadable_by_the_rules_and_by_the_likelihood_under_the_reference() -> None:
    def said(text: str, log_likelihood: float) -> MeasuredResponse:
        likely = {"tokens": 10, "reference_log_likelihood": log_likelihood}
        return response(text, 0.0, text=text).model_copy(update=likely)

    own = snapshot(said("Take a walk.", -20.0), said("Call her.", -15.0))
    assert own.likelihood_floor == pytest.approx(-1.75 - 4.0)
    after = snapshot(said("Get well soon!", -20.0), said("😍▯▯▯▯▯", -20.0), said("glad joy so hope", -80.0))
    assert after.unreadable(own.likelihood_floor) == pytest.approx(2 / 3)
    assert after.unreadable(None) == pytest.approx(1 / 3)
    [first, *others] = after.responses
    thinks = first.model_copy(update={"text": "", "thought": "hm", "unfinished_thought": True})
    assert after.with_responses([thinks]).unreadable(None) is None
    only = after.with_responses([thinks, *others]).unreadable(None)
    assert only == after.with_responses(others).unreadable(None)


def test_a_judge_that_was_not_asked_did_not_fail() -> None:
    silent, heard = response("1", 0.0, judge=None), response("2", 0.0, judge=1.0)
    look = Snapshot(step=1, responses=(silent, silent), references=(), graded=False)
    assert (look.judge_failures, look.is_graded) == (0, False)
    again = Snapshot.model_validate_json(look.model_dump_json())
    assert again.with_responses([silent], graded=True).judge_failures == 1  # it failed on all
    assert not again.of_prompts(["1"]).is_graded
    for graded, responses in ((True, (silent, heard)), (False, (silent, silent))):  # files of earlier versions
        old = Snapshot(step=1, responses=responses, references=()).model_dump(mode="json", exclude={"graded"})
        read = Snapshot.model_validate(old)
        assert (read.is_graded, read.judge_failures) == (graded, int(graded))


def test_a_measure_that_failed_everywhere_has_failed_and_one_that_is_not_there_has_not() -> None:
    silent = (response("a", None), response("b", None))
    failures = {
        measured: Snapshot(step=0, responses=silent, references=(), measured=measured).heldout_failures
        for measured in (True, False, None)
    }
    assert failures == {True: 2, False: 0, None: 0}  # None: in files of earlier versions, which do not say it
    partly = Snapshot(step=0, responses=silent, references=(), measured=True).of_prompts({"a"})
    assert partly.heldout_failures == 1
