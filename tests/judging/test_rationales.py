"""Rationales that a judge finds by itself: only those that came to the label, each at the first try that did."""

from collections import Counter

from judging_examples import CONSTITUTION, compared, fresh_ledger, gives, place, text_of

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, CompleteRequest, Completion
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.progress import Silence
from preceptor.core.types import JudgeFailure
from preceptor.judging.lessons import Lesson, demonstrations_of
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.rationales import FoundRationales, find_rationales, sampling
from preceptor.judging.settings import variant
from preceptor.results.trained_judge import OwnRationales
from preceptor.store.ledger import Ledger

RIGHT_AT = {"ab": 1, "ba": 3, "xy": 1, "yx": 99, "gh": 2, "hg": 1}
"""The try at which the judge comes to the label, by the responses in the order shown; "gh" fails before."""
LESSONS = [
    Lesson(compared("a", "b", "1"), "a"),
    Lesson(compared("x", "y", "2"), "b"),
    Lesson(compared("g", "h", "3"), "a"),
    Lesson(compared("k", "l", "4"), "b"),
]
KNOWN = {LESSONS[3].key("ab"): "known", LESSONS[3].key("ba"): "known too"}
BETTER = "aygl"


def model() -> ScriptedModel:
    tries = Counter[str]()

    def reason(request: CompleteRequest) -> Completion:
        tries[text_of(request)] += 1
        return Completion(f"try {tries[text_of(request)]}", finished=True)

    def choose(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
        text = text_of(request)
        shown = place(text, "response_1") + place(text, "response_2")
        right = int(request.prefill.split()[1]) >= RIGHT_AT[shown]
        if shown == "gh" and not right:
            return JudgeFailure(reason="refused", detail="no")
        return gives(0.8, 0.2) if right == (shown[0] in BETTER) else gives(0.2, 0.8)

    return ScriptedModel("s", choose, reason)


def find(asked: ScriptedModel, ledger: Ledger, tries: int = 3) -> FoundRationales:
    judge = PairwiseJudge(asked, CONSTITUTION, sampling(variant("detailed+cot"), tries), ledger)
    return find_rationales(judge, LESSONS, KNOWN, tries, Silence())


def test_the_first_rationale_that_came_to_the_label_is_kept_and_no_question_is_asked_once_more() -> None:
    asked, ledger = model(), fresh_ledger()
    found = find(asked, ledger)
    said = {f"{id_} {order}": text for (id_, order, _), text in found.rationales.items()}
    own = {"1 ab": "try 1", "1 ba": "try 3", "2 ab": "try 1", "3 ab": "try 2", "3 ba": "try 1"}
    assert said == own | {"4 ab": "known", "4 ba": "known too"}
    assert (found.lacking, found.found, found.tries, found.without, found.failed) == (3, 2, (3, 1, 1), 1, 1)
    completed = [each for each in asked.asked if isinstance(each, CompleteRequest)]
    assert len(completed) == OwnRationales.of(found).asked == 3 * 1 + 1 * 2 + 1 * 3 + 3
    assert {each.temperature for each in completed} == {0.7}
    assert "2 of the 3" in OwnRationales.of(found).sentence
    again = model()
    assert find(again, ledger) == found
    assert again.asked == []


def test_one_try_is_sampled_as_well() -> None:
    asked = model()
    assert find(asked, fresh_ledger(), tries=1).tries == (3,)
    assert {each.temperature for each in asked.asked if isinstance(each, CompleteRequest)} == {0.7}


def test_one_comparison_with_two_labels_teaches_each_label_by_its_own_rationale() -> None:
    other = Lesson(LESSONS[0].comparison, "b")
    known = {LESSONS[0].key("ab"): "a it is", LESSONS[0].key("ba"): "still a"}
    assert LESSONS[0].reasoned(known)
    assert not other.reasoned(known)
    judge = PairwiseJudge(model(), CONSTITUTION, variant("detailed+cot"), fresh_ledger())
    taught = list(demonstrations_of(judge, [LESSONS[0]], known))
    assert [each.answer.splitlines()[0] for each in taught] == ["a it is", "still a"]
