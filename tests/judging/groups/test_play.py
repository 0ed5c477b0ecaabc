"""Groups played by a scripted judge: what is asked, in which batches, and what comes of failures."""

import math
from collections.abc import Sequence

import pytest

from conftest import prompt
from judging.judging_examples import CONSTITUTION, first_with, fresh_ledger, place, response, text_of
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.types import Comparison, JudgeFailure, Preference
from preceptor.judging.groups.design import PairDesign, comparisons_of
from preceptor.judging.groups.play import ComparedGroups, Group, JudgedGroup, play
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.settings import PairwiseSettings

WORTH = {"best": 2.0, "good": 1.0, "fair": 0.0, "poor": -1.0, "bad": -2.0}


def by_worth(first: str, second: str) -> float:
    return 1 / (1 + math.exp(WORTH[second] - WORTH[first]))


def broken(*texts: str) -> ScriptedModel:
    """A judge by worth that fails on comparisons of two of these texts."""

    def choose(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
        shown = {place(text_of(request), tag) for tag in ("response_1", "response_2")}
        if shown <= set(texts):
            return JudgeFailure(reason="refused", detail="broken")
        return first_with(by_worth)(request)

    return ScriptedModel("s", choose)


class Counting(PairwiseJudge):
    """Counts the comparisons of each batch."""

    def __init__(self, model: ScriptedModel) -> None:
        super().__init__(model, CONSTITUTION, PairwiseSettings(), fresh_ledger())
        self.batches: list[int] = []

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        self.batches.append(len(comparisons))
        return super().compare(comparisons)


def group(*texts: str, question: str = "q") -> Group:
    return Group.of(prompt(question), [response(text, question=question) for text in texts])


def values(judged: JudgedGroup) -> dict[str, float | None]:
    return {r.text: value for r, value in zip(judged.group.responses, judged.strengths.values, strict=True)}


def test_a_group_is_its_distinct_responses_in_an_order_of_their_own() -> None:
    assert group("fair", "good", "fair") == group("good", "fair")
    assert len(group("fair", "good", "fair").responses) == 2


@pytest.mark.parametrize("design", ["all", "circular", "anchor", "swiss", "knockout"])
def test_every_design_recovers_a_judge_that_is_a_bradley_terry_model(design: PairDesign) -> None:
    model = broken()
    [judged] = ComparedGroups(Counting(model), design).judge([group(*WORTH)])
    assert values(judged) == pytest.approx(WORTH, abs=0.25)
    assert sorted(WORTH, key=lambda text: -(values(judged)[text] or 0.0)) == list(WORTH)
    assert len(judged.outcomes) == comparisons_of(design, 5)
    assert len(model.asked) == 2 * comparisons_of(design, 5)  # both orders


def test_a_round_of_all_groups_is_one_batch() -> None:
    judge = Counting(broken())
    groups = [group(*list(WORTH)[:4], question=f"q{n}") for n in range(3)]
    play(judge, groups, "swiss")
    assert judge.batches == [6, 6]
    judge.batches.clear()
    play(judge, [*groups, group("best", question="alone")], "knockout")
    assert judge.batches == [6, 3]


def test_a_response_that_cannot_be_judged_abstains() -> None:
    model = ScriptedModel(
        "s",
        lambda request: (
            JudgeFailure(reason="no_answer", detail="poor")
            if "poor" in text_of(request)
            else first_with(by_worth)(request)
        ),
    )
    for design in ("all", "circular", "swiss"):
        [judged] = ComparedGroups(Counting(model), design).judge([group(*WORTH)])
        found = values(judged)
        assert found.pop("poor") is None
        assert None not in found.values()
        assert judged.strengths.parts == 1


def test_two_parts_are_said_to_be_two() -> None:
    """Every comparison with the anchor fails but one; its part has two responses, the others none."""
    texts = [r.text for r in group(*WORTH).responses]
    model = ScriptedModel(
        "s",
        lambda request: (
            JudgeFailure(reason="refused", detail="cut")
            if (texts[0] in text_of(request)) != (texts[1] in text_of(request))
            else first_with(by_worth)(request)
        ),
    )
    [judged] = ComparedGroups(Counting(model), "circular").judge([group(*WORTH)])
    assert judged.strengths.parts == 2
    assert [value is None for value in judged.strengths.values] == [True, True, False, False, False]


def test_nothing_is_asked_of_a_single_response() -> None:
    judge = Counting(broken())
    [judged] = ComparedGroups(judge, "swiss").judge([group("good", "good")])
    assert judged.strengths.values == (None,)
    assert judge.batches == []
