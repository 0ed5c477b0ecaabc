"""The measures of rubrics, counted by hand on three prompts."""

import math

import pytest

from preceptor.core.rubric import Rubric, RubricItem
from preceptor.core.types import HumanLabel, JudgeFailure, Message, Prompt, Rater, Verdict
from preceptor.evaluation.judges.rubric_audit import LabelledPair, RubricAudit, Scored, audit_rubrics
from preceptor.judging.rubrics.aggregate import ItemJudgement, RubricScore

SHORT, CAUSE = "Is short.", "Names the cause."
RATER = Rater(model="m", constitution="rubric", constitution_hash="h")
FAILED = JudgeFailure(reason="no_answer", detail="said nothing")
RUBRIC = Rubric(items=(RubricItem(criterion=SHORT, points=1.0), RubricItem(criterion=CAUSE, points=-2.0)))


def score(value: float, *met: float | JudgeFailure | None) -> RubricScore:
    values = {"0": 0.0, "1": 1.0, "v": value}
    judged = [ItemJudgement(failure=m) if isinstance(m, JudgeFailure) else ItemJudgement(met=m) for m in met]
    verdict = Verdict(probabilities={"0": 0.0, "1": 0.0, "v": 1.0}, choice_mass=1.0)
    return RubricScore(verdict=verdict, values=values, rater=RATER, rubric_hash="r", items=tuple(judged))


def scored(name: str, length: int, judged: RubricScore | JudgeFailure, back: RubricScore | None = None) -> Scored:
    prompt = Prompt(id=name, conversation=(Message(role="user", content=name),), rubric=RUBRIC)
    return Scored(prompt, length, judged, back)


def pair(a: Scored, b: Scored, p_a: float) -> LabelledPair:
    return LabelledPair(a, b, HumanLabel(p_a=p_a))


A1, A2 = scored("p", 10, score(0.8, 0.9, 0.1)), scored("p", 30, score(0.2, 0.1, 0.1))
B1, B2 = scored("q", 20, score(0.4, 0.9, 0.9)), scored("q", 10, score(0.6, 0.7, 0.3))
C1, C2 = scored("r", 20, score(0.5, 0.9, None)), scored("r", 10, score(0.5, FAILED, 0.6))
D = scored("s", 5, FAILED)
ALL = (A1, A2, B1, B2, C1, C2, D)
PAIRS = (pair(A1, A2, 1.0), pair(B1, B2, 1.0), pair(C1, C2, 0.0), pair(A1, A2, 0.5), pair(D, A1, 1.0))


@pytest.fixture(scope="module")
def audit() -> RubricAudit:
    return audit_rubrics(ALL, PAIRS)


def test_what_was_judged_is_counted(audit: RubricAudit) -> None:
    assert (audit.prompts, audit.responses, audit.failed) == (4, 7, 1)
    assert (audit.verdicts, audit.unassessed, audit.failed_items) == (10, 1, 1)
    assert audit.share_met == pytest.approx((0.9 + 0.1 + 0.1 + 0.1 + 0.9 + 0.9 + 0.7 + 0.3 + 0.9 + 0.6) / 10)


def test_items_that_tell_responses_apart(audit: RubricAudit) -> None:
    # p: short does, cause does not; q: short does not, cause does; r: no item has two verdicts.
    assert audit.separates is not None and audit.separates.value == 0.5 and audit.separates.n == 2
    assert (audit.met_by_all, audit.met_by_none) == (1, 1)
    # Half the distance squared: 0.4², 0, 0.1², 0.3².
    assert audit.variance == pytest.approx((0.16 + 0.0 + 0.01 + 0.09) / 4)


def test_agreement_with_people(audit: RubricAudit) -> None:
    # p agrees, q does not, r is equal and counts half; people are even on the fourth, and the fifth has no score.
    assert audit.agreement is not None and audit.agreement.value == 0.5 and audit.agreement.n == 3
    assert (audit.labelled, audit.equal) == (4, 1)
    assert audit.longer_baseline is not None and audit.longer_baseline.value == pytest.approx(1 / 3)  # q only
    assert audit.above_longer is not None and audit.above_longer.value == pytest.approx(0.5 - 1 / 3)


def test_length(audit: RubricAudit) -> None:
    # Score and length differences of p, q, r: (-0.6, 20), (-0.2, 10)... of later minus earlier; all go against length.
    assert audit.length_correlation is not None and audit.length_correlation < -0.5


def test_each_criterion(audit: RubricAudit) -> None:
    short, cause = {item.criterion: item for item in audit.items}[SHORT], audit.items[1]
    assert (short.prompts, short.verdicts, short.unassessed, short.failed) == (3, 5, 0, 1)
    assert (cause.criterion, cause.verdicts, cause.unassessed) == (CAUSE, 5, 1)
    assert (short.separates, cause.separates) == (0.5, 0.5)
    assert short.agreement is not None and (short.agreement.value, short.agreement.n) == (1.0, 1)
    assert cause.agreement is not None and cause.agreement.value == 0.0  # a fault that the preferred response has


def test_no_labels_and_no_order_are_none() -> None:
    bare = audit_rubrics([A1, A2], [])
    assert (bare.agreement, bare.above_longer, bare.order, bare.labelled) == (None, None, None, 0)


def test_without_any_score_nothing_is_a_number() -> None:
    empty = audit_rubrics([D], [])
    assert (empty.share_met, empty.separates, empty.variance, empty.length_correlation) == (None, None, None, None)


def test_the_order_of_items() -> None:
    # Shown second, each item is met with 0.2 more; the first item's verdict changes.
    one = scored("p", 10, score(0.5, 0.4, 0.9), score(0.5, 0.7, 0.6))  # reversed: cause first, short last
    effect = audit_rubrics([one], []).order
    assert effect is not None and effect.changed.value == 0.5 and effect.changed.n == 2
    assert effect.later.value == pytest.approx(0.2)


def test_intervals_cover_the_value() -> None:
    many = [(scored(f"p{i}", 2, score(0.9, 0.9, 0.1)), scored(f"p{i}", 1, score(0.1, 0.1, 0.1))) for i in range(20)]
    audit = audit_rubrics(
        [each for both in many for each in both], [pair(a, b, float(i < 15)) for i, (a, b) in enumerate(many)]
    )
    agreement = audit.agreement
    assert agreement is not None and agreement.value == 0.75
    assert agreement.low is not None and agreement.high is not None
    assert 0.5 < agreement.low < 0.75 < agreement.high < 1.0
    assert math.isclose(agreement.low, 0.509, abs_tol=0.005)  # Clopper & Pearson, 15 of 20
