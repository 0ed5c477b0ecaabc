"""The audit of judges as a cascade: what certifies, what is measured, and what is said when nothing is certified."""

import pytest

from conftest import prompt
from preceptor.core.hashing import unit_hash
from preceptor.core.types import (
    Comparison,
    HumanLabel,
    JudgeFailure,
    Preference,
    Presentation,
    Rater,
    Response,
    Verdict,
)
from preceptor.evaluation.judges.cascade_audit import as_cascade, audit_cascade
from preceptor.evaluation.judges.cascade_words import in_words
from preceptor.evaluation.judges.judge_audit import Judged, JudgeRun
from preceptor.judging.judge_spec import JudgeSpec

NAMES = ("cheap", "strong")


def judged(number: int, judge: str, p_a: float | None, label: str = "a") -> Judged:
    """A comparison of its own prompt, and one judge's preference; None for a failure."""
    asked = prompt(f"question {number}")
    a, b = (Response(prompt_id=asked.id, text=text) for text in "xy")
    comparison = Comparison(id=f"c{number}", prompt=asked, a=a, b=b)
    human = HumanLabel(p_a={"a": 1.0, "b": 0.0, "tie": 0.5}[label])
    if p_a is None:
        return Judged(comparison, human, JudgeFailure(reason="refused", detail="no"))
    verdict = Verdict(probabilities={"1": p_a, "2": 1.0 - p_a}, choice_mass=1.0)
    shown = (Presentation(order="ab", p_a=p_a, verdict=verdict),)
    return Judged(
        comparison, human, Preference(comparison=comparison, p_a=p_a, rater=rater(judge), presentations=shown)
    )


def rater(judge: str) -> Rater:
    return Rater(model=judge, constitution="c", constitution_hash="h")


def run(judge: str, rows: list[Judged], cost: float | None = None) -> JudgeRun:
    return JudgeRun(judge, "c", rows, 1.0, cost=cost, spec=JudgeSpec(model="scripted:random"), rater=rater(judge))


def half_and_half(count: int) -> list[JudgeRun]:
    """The cheap judge is sure (0.9) and right about half of the prompts, and unsure (0.55) and wrong about the others;
    the strong one is sure and right about all. A question costs 1 and 10 cents.
    """
    sure = [unit_hash("easy", number) < 0.5 for number in range(count)]
    cheap = [judged(n, "cheap", 0.9 if easy else 0.45) for n, easy in enumerate(sure)]
    strong = [judged(n, "strong", 0.95) for n in range(count)]
    return [run("cheap", cheap, 0.01 * count), run("strong", strong, 0.1 * count)]


def test_what_the_cheap_judge_is_sure_of_is_saved() -> None:
    runs = half_and_half(200)
    audit = audit_cascade(runs, NAMES, agreement=0.8, certainty=0.9)
    assert (audit.labels, audit.answered, audit.ties) == (100, 100, 0)
    assert audit.thresholds is not None
    assert audit.use is not None
    use = audit.use
    assert (use.rows, use.prompts) == (100, 100)
    assert use.coverage.value == 1.0
    assert use.agreement is not None
    assert use.last_alone is not None
    assert use.last_alone.value == 1.0
    assert sum(use.answered_by) == 100
    assert use.asked == (1.0, use.escalated.value)
    assert use.saved.value == pytest.approx(1.0 - use.escalated.value)
    assert use.cost_per_1000 == pytest.approx(10 + 100 * use.escalated.value)
    assert use.last_cost_per_1000 == pytest.approx(100)


def test_of_those_that_answer_everything_the_one_that_escalates_least_is_chosen() -> None:
    """Half of the cheap judge's answers are right, and these are its surest; a quarter more would be wrong: 75%."""
    audit = audit_cascade(half_and_half(400), NAMES, agreement=0.9, certainty=0.9)
    assert audit.use is not None
    assert audit.use.escalated.value == pytest.approx(0.5, abs=0.1)
    assert audit.use.agreement is not None
    assert audit.use.agreement.value == 1.0


def test_the_cascade_that_is_saved_asks_only_judges_with_a_threshold() -> None:
    rows = [judged(n, "cheap", 0.5) for n in range(120)], [judged(n, "strong", 0.9) for n in range(120)]
    runs = [run("cheap", rows[0]), run("strong", rows[1])]
    audit = audit_cascade(runs, NAMES, agreement=0.8, certainty=0.9)
    cascade = as_cascade(audit, runs)
    assert cascade is not None
    assert [step.identity for step in cascade.steps][-1] == "strong"
    assert (cascade.agreement, cascade.certainty, cascade.labels) == (0.8, 0.9, 60)


def test_too_few_labels() -> None:
    runs = half_and_half(20)
    audit = audit_cascade(runs, NAMES, agreement=0.8, certainty=0.9)
    assert (audit.labels, audit.least, audit.thresholds, audit.use) == (10, 18, None, None)
    assert as_cascade(audit, runs) is None
    [said] = in_words(audit)
    assert "18" in said
    assert "10" in said


def test_people_who_tie_certify_nothing_and_are_counted() -> None:
    labels = ["tie" if n % 4 == 0 else "a" for n in range(120)]
    columns = [[judged(n, name, 0.9, label) for n, label in enumerate(labels)] for name in NAMES]
    audit = audit_cascade(
        [run(*pair) for pair in zip(NAMES, columns, strict=True)], NAMES, agreement=0.8, certainty=0.9
    )
    assert audit.labels + audit.ties == 60
    assert audit.use is not None
    assert audit.use.agreement is not None
    assert audit.use.agreement.n == 120 - labels.count("tie") - audit.labels
    assert f"({audit.ties} comparisons" in in_words(audit)[0]


def test_one_comparison_of_each_prompt_certifies() -> None:
    """Three comparisons of each of 60 prompts are 30 labels, not 90."""
    columns = [[judged(n % 60, name, 0.9) for n in range(180)] for name in NAMES]
    audit = audit_cascade(
        [run(*pair) for pair in zip(NAMES, columns, strict=True)], NAMES, agreement=0.8, certainty=0.9
    )
    assert audit.labels == 30
    assert audit.use is not None
    assert (audit.use.rows, audit.use.prompts) == (90, 30)


def test_judges_that_people_do_not_agree_with() -> None:
    rows = [[judged(n, name, 0.9, "ab"[n % 2]) for n in range(200)] for name in NAMES]
    audit = audit_cascade([run(*pair) for pair in zip(NAMES, rows, strict=True)], NAMES, agreement=0.8, certainty=0.9)
    assert (audit.thresholds, audit.needed) == (None, None)
    assert "80%" in in_words(audit)[0]


def test_a_failure_of_the_cheap_judge_goes_to_the_strong_one() -> None:
    cheap = [judged(n, "cheap", None) for n in range(120)]
    strong = [judged(n, "strong", 0.9) for n in range(120)]
    audit = audit_cascade([run("cheap", cheap), run("strong", strong)], NAMES, agreement=0.8, certainty=0.9)
    assert audit.use is not None
    assert audit.use.answered_by == (0, 60)
