"""Comparing by rubrics: preferences by hand, what a row keeps, and the ways to ask for it."""

from pathlib import Path
from typing import Any

import pytest
from judging_examples import failed, fresh_ledger, gives, preferred, text_of

import preceptor as pc
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.rubric import rubric_of
from preceptor.core.types import Comparison, JudgeFailure, Message, Presentation, Prompt, Response, Verdict
from preceptor.judging.rubrics.aggregate import RubricScore
from preceptor.judging.rubrics.pairs import RubricPairJudge
from preceptor.judging.settings import PairwiseSettings, variant
from preceptor.judging.specs import JudgeSpec, make_judge
from preceptor.methods.judge_tables import variant_of
from preceptor.store.comparisons import ComparisonRow
from preceptor.store.preference_row import PreferenceRow

SHORT: Any = {"criterion": "Is short.", "check": {"verifier": "words", "most": 2}}
ITEMS: list[Any] = [{"criterion": "Is kind.", "points": 2}, SHORT]
BY_RUBRIC = PairwiseSettings(shown="rubric")


def compared(a: str = "good one", b: str = "bad answer here", items: Any = ITEMS) -> Comparison:
    turns = (Message(role="user", content="Hello?"),)
    prompt = Prompt(id="p", conversation=turns, rubric=None if items is None else rubric_of(items))
    responses = [Response(prompt_id="p", text=text) for text in (a, b)]
    return Comparison(id="c", prompt=prompt, a=responses[0], b=responses[1])


def kind(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
    text = text_of(request)
    if "broken" in text:
        return JudgeFailure(reason="no_answer", detail="hm")
    return gives(0.72, 0.18, 0.1) if "good" in text else gives(0.27, 0.63, 0.1)


def judge(settings: PairwiseSettings = BY_RUBRIC) -> RubricPairJudge:
    return RubricPairJudge(ScriptedModel("s", kind), settings, fresh_ledger())


def test_two_scores_become_a_preference() -> None:
    [preference] = map(preferred, judge().compare([compared()]))
    # a is short: 1 of 3 points and 2 more with 0.8. b is not: 2 of 3 with 0.3, else none. a is always higher but where
    # a has 1 and b has 2: 0.2 * 0.3.
    assert preference.p_a == pytest.approx(0.94)
    assert preference.p_tie == 0
    a, b = preference.presentations
    assert (a.order, b.order) == ("ab", "ba")
    assert a.items == pytest.approx((0.8, 1))
    assert b.items == pytest.approx((0.3, 0))
    assert a.rubric_score == pytest.approx((1 + 2 * 0.8) / 3)
    assert a.rubric_hash == b.rubric_hash == rubric_of(ITEMS).hash[:16]


def test_the_same_response_twice_is_a_tie_of_one_half() -> None:
    [preference] = map(preferred, judge().compare([compared("good one", "good one")]))
    assert preference.p_a == 0.5
    assert preference.p_tie == pytest.approx(0.8**2 + 0.2**2)


def test_a_swapped_comparison_has_the_opposite_preference() -> None:
    one, other = map(preferred, judge().compare([compared(), compared().swapped()]))
    assert one.p_a + other.p_a == pytest.approx(1)


def test_failures_are_not_preferences() -> None:
    broken, without = judge().compare([compared(b="broken"), compared(items=None)])
    assert "response b" in failed(broken).detail
    assert "item 1" in failed(broken).detail
    assert "no rubric" in failed(without).detail


def test_the_same_text_under_two_rubrics_is_scored_twice() -> None:
    other = compared(items=[SHORT])
    first, second = map(preferred, judge().compare([compared(), other]))
    assert first.presentations[0].rubric_hash != second.presentations[0].rubric_hash


def test_a_row_keeps_the_judgement_of_items_and_others_have_no_new_column() -> None:
    [preference] = map(preferred, judge().compare([compared()]))
    row = PreferenceRow.of(ComparisonRow(0, "c:1", compared(), None, None), preference)
    written = row.wire()
    assert written["verdicts"][0]["items"] == pytest.approx([0.8, 1])
    assert written["verdicts"][1]["rubric_hash"] == rubric_of(ITEMS).hash[:16]
    assert written["constitution"] == "rubric"
    assert PreferenceRow.read(written, "") == row
    plain = preference.model_copy(
        update={
            "presentations": tuple(
                Presentation(order=p.order, p_a=p.p_a, p_tie=p.p_tie, verdict=p.verdict)
                for p in preference.presentations
            )
        }
    )
    columns = PreferenceRow.of(ComparisonRow(0, "c:1", compared(), None, None), plain).wire()["verdicts"][0]
    assert not columns.keys() & {"items", "rubric_hash", "rubric_score"}
    said = Presentation(order="ab", p_a=0.5, verdict=Verdict(probabilities={"1": 1.0}, choice_mass=1.0)).model_dump()
    assert said.keys() == {"order", "principles", "sample", "p_a", "p_tie", "verdict"}


def test_the_variant_asks_for_the_rubric() -> None:
    settings = variant("rubric+one-call+threshold+leave-out")
    assert (settings.shown, settings.criteria, settings.met, settings.failed_items) == (
        "rubric",
        "one_call",
        "threshold",
        "leave_out",
    )
    made = make_judge(JudgeSpec(variant="rubric"), ScriptedModel("s", kind), fresh_ledger())
    assert made.rater.settings["shown"] == "rubric"
    for name in ("rubric", "rubric+threshold+leave-out", "rubric+implicit", "rubric+implicit+cot"):
        assert variant(variant_of(variant(name))) == variant(name)


@pytest.mark.parametrize(
    "name", ["rubric+single", "rubric+2-shot", "scored+threshold", "implicit", "rubric+implicit+one-call"]
)
def test_parts_without_a_meaning_are_refused(name: str) -> None:
    with pytest.raises(pc.UsageError, match="meaning"):
        variant(name).by_rubric  # noqa: B018 - the rubric's own settings are checked where they are used


def test_raters_from_before_rubrics_are_the_same() -> None:
    assert PairwiseSettings().for_rater().keys() == {
        "preamble",
        "exemplars",
        "principles",
        "order",
        "combine",
        "rationale",
    }
    assert PairwiseSettings(shown="alone").for_rater() == {"rationale": False, "shown": "alone"}


def test_a_judge_of_the_public_api_scores_and_compares_by_the_rubric() -> None:
    prompt = pc.Prompt.model_validate(
        {"id": "p", "conversation": [{"role": "user", "content": "Hello?"}], "rubric": [SHORT]}
    )
    with pc.Judge("scripted:random", variant="rubric") as by_rubric:
        score = by_rubric.score(prompt, "Good day")
        assert isinstance(score, RubricScore)
        assert score.expectation == 1
        assert preferred(by_rubric.compare(prompt, "Good day", "Good day to you")).p_a == 1
        assert "rubric" in failed(by_rubric.score("Hello?", "Good day")).detail


def test_rewards_for_trl_take_the_columns_of_the_prompts() -> None:
    with pc.Judge("scripted:random", variant="rubric") as by_rubric:
        reward = by_rubric.reward
        assert reward.__name__.startswith("rubric_by_")
        given = reward(["Hello?", "Hello?", "Hello?"], ["Hi", "Hi to you all", "Hi"], rubric=[[SHORT]] * 2 + [None])
    assert given == [1, -1, None]


def test_labels_by_rubrics(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": f"q{i}", "response_a": "ok fine", "response_b": "not ok at all", "rubric": [SHORT]} for i in range(4)
    ]
    without = {"prompt": "q", "response_a": "x", "response_b": "y"}
    wrong = {**without, "rubric": [{"points": 1}]}
    labels = pc.label(
        [*rows, without, wrong],
        judges=[pc.Judge("scripted:random", variant="rubric")],
        out=tmp_path / "labels",
        max_failure_rate=0.5,
    )
    assert [row.p_a for row in labels] == [1, 1, 1, 1]
    assert {verdict.items for row in labels for verdict in row.verdicts} == {(1.0,), (0.0,)}
    assert ["no rubric" in row.detail for row in labels.failures] == [True]
    assert labels.constitutions == ()
    card = (tmp_path / "labels" / "README.md").read_text(encoding="utf-8")
    assert "Preferences by rubrics" in card
    assert "helpful" not in card
    assert [v["items"] for v in labels.to_dataset()[0]["verdicts"]] == [[1], [0]]
