import pytest

from preceptor.evaluation.snapshot import MeasuredReference, MeasuredResponse, Snapshot, change


def response(
    prompt: str, heldout: float, judge: float | None = 0.0, cohort: str = "a", text: str = "x y"
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
    assert nothing.summary()["judge_agreement"] is None


def test_agreement_is_spearman_s() -> None:
    rising = snapshot(*(response(str(i), heldout=i**3, judge=float(i)) for i in range(5)))
    assert rising.judge_agreement == pytest.approx(1.0)


def test_change_is_paired_by_prompt() -> None:
    before = snapshot(response("1", 0.0), response("2", 1.0), response("3", 5.0), response("gone", 9.0))
    after = snapshot(response("1", 0.5), response("2", 1.5), response("3", 5.5), response("new", -9.0))
    gain = change(before, after)
    assert gain is not None
    assert (gain.value, gain.low, gain.high, gain.n) == (0.5, None, None, 3)


def test_first_samples() -> None:
    measured = snapshot(response("1", 0.0), response("1", 1.0), response("2", 2.0))
    assert measured.heldout_score.overall is not None
    assert measured.heldout_score.overall.value == 1.25
    first = measured.first_samples()
    assert [r.heldout_score for r in first.responses] == [0.0, 2.0]
    assert first.heldout_score.overall is not None
    assert first.heldout_score.overall.value == 1.0
