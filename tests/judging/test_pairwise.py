"""The pairwise judge on scripted models: what it asks, and what it makes of the answers."""

import math
from collections.abc import Callable

import pytest
from judging_examples import (
    CONSTITUTION,
    PRINCIPLES,
    WITH_TIES,
    compared,
    failed,
    first_with,
    fresh_ledger,
    gives,
    likes,
    place,
    preferred,
    text_of,
)

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, CompleteRequest, Completion
from preceptor.backends.scripted import ScriptedModel, random_choice
from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.types import JudgeFailure, Usage
from preceptor.judging.constitution import Constitution
from preceptor.judging.pairwise import REASON, PairwiseJudge
from preceptor.judging.settings import PairwiseSettings, variant
from preceptor.store.ledger import Ledger

COMPARED = compared("a", "b")
ITEM = "<prompt>\nq\n</prompt>\n<response_1>\na\n</response_1>\n<response_2>\nb\n</response_2>"
TEXT = f"Judge.\n\nPrinciples:\n- Be kind.\n- Be brief.\n- Be true.\n\n{ITEM}\n\nWhich is better?"


def judge(
    model: ScriptedModel,
    name: str = "detailed",
    ledger: Ledger | None = None,
    constitution: Constitution = CONSTITUTION,
) -> PairwiseJudge:
    return PairwiseJudge(model, constitution, variant(name), ledger or fresh_ledger())


def chosen(model: ScriptedModel) -> list[ChooseRequest]:
    return [request for request in model.asked if isinstance(request, ChooseRequest)]


def completed(model: ScriptedModel) -> list[CompleteRequest]:
    return [request for request in model.asked if isinstance(request, CompleteRequest)]


def torn(first: str, second: str) -> float:
    """0.9 for a where it stands first, and 0.7 for a where it stands second."""
    return 0.9 if (first, second) == ("a", "b") else 0.3


def test_both_orders_are_asked_and_each_verdict_is_kept() -> None:
    model = ScriptedModel("s", first_with(torn))
    preference = preferred(judge(model).compare([COMPARED])[0])
    assert [place(text_of(r), "response_1") for r in model.asked] == ["a", "b"]
    assert [(p.order, p.p_a) for p in preference.presentations] == [("ab", pytest.approx(0.9)), ("ba", 0.7)]
    assert preference.presentations[1].verdict.probabilities == pytest.approx({"1": 0.3, "2": 0.7})
    assert preference.p_a == pytest.approx(0.8)
    assert preference.comparison == COMPARED
    assert preference.usage == Usage(prompt_tokens=20, completion_tokens=2)


def test_the_mean_of_log_odds() -> None:
    """Odds 9 and 7/3 for a: their geometric mean is the square root of 21."""
    preference = preferred(judge(ScriptedModel("s", first_with(torn)), "log-odds").compare([COMPARED])[0])
    assert preference.p_a == pytest.approx(math.sqrt(21) / (1 + math.sqrt(21)))


@pytest.mark.parametrize("name", ["detailed", "log-odds"])
def test_a_judge_that_only_sees_positions_prefers_nothing(name: str) -> None:
    model = ScriptedModel("s", first_with(lambda first, second: 0.8))
    preference = preferred(judge(model, name).compare([COMPARED])[0])
    assert preference.p_a == 0.5
    assert preference.disagreement == pytest.approx(0.3)


def test_a_single_order() -> None:
    model = ScriptedModel("s", first_with(torn))
    preference = preferred(judge(model, "single").compare([COMPARED])[0])
    assert [p.order for p in preference.presentations] == ["ab"]
    assert preference.p_a == pytest.approx(0.9)
    assert len(model.asked) == 1


def test_a_tie_counts_half() -> None:
    def choose(request: ChooseRequest) -> ChoiceLogProbs:
        assert request.choices == (" 1", " 2", " tie")
        return gives(0.5, 0.2, 0.3) if place(text_of(request), "response_1") == "a" else gives(0.1, 0.8, 0.1)

    model = ScriptedModel("s", choose)
    preference = preferred(judge(model, constitution=WITH_TIES).compare([COMPARED])[0])
    assert [p.p_a for p in preference.presentations] == pytest.approx([0.5 + 0.15, 1 - (0.1 + 0.05)])
    assert [p.p_tie for p in preference.presentations] == pytest.approx([0.3, 0.1])
    assert (preference.p_a, preference.p_tie) == (pytest.approx(0.75), pytest.approx(0.2))
    assert "Answer with 1, 2 or tie." in text_of(model.asked[0])


def test_preferences_in_the_order_of_the_comparisons() -> None:
    comparisons = [
        compared("good", f"b{i}", f"c{i}") if i % 2 else compared(f"b{i}", "good", f"c{i}") for i in range(9)
    ]
    outcomes = judge(ScriptedModel("s", likes("good"), batch_size=4)).compare(comparisons)
    assert [preferred(o).comparison.id for o in outcomes] == [c.id for c in comparisons]
    assert [preferred(o).p_a for o in outcomes] == pytest.approx([0.9 if i % 2 else 0.1 for i in range(9)])


# What is shown: principles and exemplars


def shown(request: ChooseRequest | CompleteRequest) -> list[int]:
    return [i for i, principle in enumerate(PRINCIPLES) if f"- {principle}" in text_of(request)]


def test_all_principles_or_none() -> None:
    model = ScriptedModel("s", random_choice)
    judge(model).compare([COMPARED])
    judge(model, "base").compare([COMPARED])
    assert [shown(request) for request in model.asked] == [[0, 1, 2]] * 2 + [[]] * 2
    assert text_of(model.asked[2]).startswith("Two responses to a prompt are compared.")
    assert "Which response is better?" in text_of(model.asked[2])
    assert "Judge." not in text_of(model.asked[2])


def test_each_principle_in_turn() -> None:
    """By kindness a is better, by the others b: the mean of 0.9, 0.3 and 0.3."""

    def choose(request: ChooseRequest) -> ChoiceLogProbs:
        [principle] = shown(request)
        p_a = 0.9 if principle == 0 else 0.3
        return gives(p_a, 1 - p_a) if place(text_of(request), "response_1") == "a" else gives(1 - p_a, p_a)

    preference = preferred(judge(ScriptedModel("s", choose), "each").compare([COMPARED])[0])
    assert preference.p_a == pytest.approx(0.5)
    assert [(p.principles, p.order) for p in preference.presentations] == [
        ((i,), order) for i in range(3) for order in ("ab", "ba")
    ]


def test_one_principle_drawn_for_each_comparison() -> None:
    """The same for both orders, in another process and in another batch; all of them over many comparisons."""
    comparisons = [compared("a", "b", f"c{i}") for i in range(40)]
    model, again = ScriptedModel("s", random_choice), ScriptedModel("s", random_choice)
    outcomes = [preferred(o) for o in judge(model, "sampled").compare(comparisons)]
    drawn = [{p.principles for p in outcome.presentations} for outcome in outcomes]
    assert all(len(principles) == 1 for principles in drawn)
    assert {(0,), (1,), (2,)} == set[tuple[int, ...]]().union(*drawn)
    assert all(shown(request) in ([0], [1], [2]) for request in model.asked)
    [last] = judge(again, "sampled").compare(comparisons[-1:])
    assert preferred(last) == outcomes[-1]
    settings = PairwiseSettings(principles="sampled", seed=1)
    reseeded = PairwiseJudge(again, CONSTITUTION, settings, fresh_ledger()).compare(comparisons)
    assert [preferred(o).presentations[0].principles for o in reseeded] != [
        o.presentations[0].principles for o in outcomes
    ]


def test_exemplars_come_before_the_question_with_their_answers() -> None:
    model = ScriptedModel("s", random_choice)
    judge(model, "1-shot").compare([COMPARED])
    text = text_of(model.asked[0])
    exemplar = "<prompt>\np1\n</prompt>\n<response_1>\nx1\n</response_1>\n<response_2>\ny1\n</response_2>"
    assert f"{exemplar}\nPreferred response: 2\n\n{ITEM}" in text
    assert "x2" not in text
    assert "why one" not in text


def test_exemplars_of_a_judge_that_reasons_have_their_rationales() -> None:
    model = ScriptedModel("s", random_choice)
    judge(model, "2-shot+cot").compare([COMPARED])
    assert "</response_2>\nwhy one\nPreferred response: 2\n\n" in text_of(model.asked[0])
    assert "</response_2>\nwhy two\nPreferred response: 1\n\n" in text_of(model.asked[0])


def test_more_exemplars_than_there_are() -> None:
    with pytest.raises(UsageError, match='3 exemplars asked for; the constitution "n" has 2'):
        judge(ScriptedModel("s", random_choice), "3-shot")


def test_the_exemplar_that_does_not_fit_the_window_is_named() -> None:
    exemplars = [e.model_dump() for e in CONSTITUTION.pairwise.exemplars]
    exemplars[1]["response_1"] = "word " * 200
    long = Constitution.model_validate({**CONSTITUTION.model_dump(), "pairwise": {"exemplars": exemplars}})
    model = ScriptedModel("s", random_choice, context_window=200)
    judge(model, "1-shot", constitution=long)
    with pytest.raises(UsageError, match=r'exemplar 2 of "n" does not fit: .* the window holds 200; show fewer'):
        judge(model, "2-shot", constitution=long)
    with pytest.raises(UsageError, match='exemplar 1 of "n" does not fit'):
        judge(model, "1-shot+cot", constitution=long)  # the rationale takes 160 of the tokens
    assert model.asked == []


# How it is asked


def test_a_chat_model_whose_answer_can_be_begun() -> None:
    model = ScriptedModel("s", random_choice)
    judge(model, "single").compare([COMPARED])
    [request] = chosen(model)
    assert not isinstance(request.prompt, str)
    assert [(m.role, m.content) for m in request.prompt] == [("user", f"{TEXT}\n\nAnswer with 1 or 2.")]
    assert (request.prefill, request.choices) == ("Preferred response:", (" 1", " 2"))


def test_a_chat_model_whose_answer_cannot_be_begun() -> None:
    model = ScriptedModel("s", random_choice)
    model.prefill = False
    judge(model, "single").compare([COMPARED])
    [request] = chosen(model)
    assert not isinstance(request.prompt, str)
    assert [(m.role, m.content) for m in request.prompt] == [
        ("user", f"{TEXT}\n\nAnswer with 1 or 2 and nothing else.")
    ]
    assert (request.prefill, request.choices) == ("", ("1", "2"))


def test_a_base_model_continues_plain_text() -> None:
    model = ScriptedModel("s", random_choice, chat=False)
    judge(model, "single").compare([COMPARED])
    assert chosen(model) == [
        ChooseRequest(f"{TEXT}\n\nAnswer with 1 or 2.\n\nPreferred response:", (" 1", " 2")),
    ]


def says(text: str) -> Callable[[CompleteRequest], Completion]:
    return lambda _: Completion(text, finished=True, usage=Usage(prompt_tokens=5, completion_tokens=3))


SAID = " A is kind.\n\n**Preferred response: 2** I am sure."


def test_a_rationale_comes_first_and_a_verdict_in_it_is_cut() -> None:
    """The verdict is read from probabilities, and never from what the judge says about it."""
    model = ScriptedModel("s", likes("a"), says(SAID))
    preference = preferred(judge(model, "cot").compare([COMPARED])[0])
    asked, final = completed(model)[0], chosen(model)[0]
    assert not isinstance(asked.prompt, str)
    assert [(m.role, m.content) for m in asked.prompt] == [("user", f"{TEXT}\n\n{REASON}")]
    assert (asked.temperature, asked.top_k, asked.max_new_tokens, asked.prefill) == (0.0, None, 160, "")
    assert final.prompt == asked.prompt
    assert final.prefill == "A is kind.\n\nPreferred response:"
    assert preference.p_a == pytest.approx(0.9)
    assert [p.verdict.rationale for p in preference.presentations] == [SAID.strip()] * 2
    assert preference.usage == Usage(prompt_tokens=30, completion_tokens=8)


def test_a_rationale_where_the_answer_cannot_be_begun() -> None:
    model = ScriptedModel("s", likes("a"), says(SAID))
    model.prefill = False
    judge(model, "cot").compare([COMPARED])
    final = chosen(model)[0]
    assert not isinstance(final.prompt, str)
    assert [(m.role, m.content) for m in final.prompt] == [
        ("user", f"{TEXT}\n\n{REASON}"),
        ("assistant", "A is kind."),
        ("user", "Answer with 1 or 2 and nothing else."),
    ]
    assert (final.prefill, final.choices) == ("", ("1", "2"))


def test_a_rationale_of_a_base_model() -> None:
    model = ScriptedModel("s", likes("a"), says(SAID), chat=False)
    judge(model, "cot").compare([COMPARED])
    asked, final = completed(model)[0], chosen(model)[0]
    assert asked.prompt == f"{TEXT}\n\n{REASON}\n\nReasoning:"
    assert asked.stop == ("\n<",)
    assert final.prompt == f"{TEXT}\n\n{REASON}\n\nReasoning: A is kind.\n\nPreferred response:"


@pytest.mark.parametrize("said", ["", "  \n", "Preferred response: 1", "preferred response is 2"])
def test_a_rationale_that_says_nothing(said: str) -> None:
    model = ScriptedModel("s", likes("a"), says(said))
    preference = preferred(judge(model, "cot").compare([COMPARED])[0])
    assert chosen(model)[0].prefill == "Preferred response:"
    assert preference.p_a == pytest.approx(0.9)


def test_tags_in_a_rationale_open_no_place() -> None:
    model = ScriptedModel("s", likes("a"), says("Good.</response_2><response_1>b"))
    judge(model, "cot").compare([COMPARED])
    assert chosen(model)[0].prefill == "Good.(/response_2)(response_1)b\n\nPreferred response:"


def test_several_rationales_are_sampled_alike_in_both_orders_and_averaged() -> None:
    """Sample 0 is sure of a, sample 1 leans to it, sample 2 leans to b: 0.9, 0.6 and 0.3."""
    seeds: list[int] = []

    def reason(request: CompleteRequest) -> Completion:
        if request.seed not in seeds:
            seeds.append(request.seed)
        return Completion(f"rationale {seeds.index(request.seed)}", finished=True)

    def choose(request: ChooseRequest) -> ChoiceLogProbs:
        p_a = (0.9, 0.6, 0.3)[int(request.prefill[len("rationale ")])]
        return gives(p_a, 1 - p_a) if place(text_of(request), "response_1") == "a" else gives(1 - p_a, p_a)

    model = ScriptedModel("s", choose, reason)
    preference = preferred(judge(model, "sc-3").compare([COMPARED])[0])
    assert preference.p_a == pytest.approx(0.6)
    assert [(p.sample, p.order) for p in preference.presentations] == [
        (sample, order) for sample in range(3) for order in ("ab", "ba")
    ]
    assert [p.p_a for p in preference.presentations] == pytest.approx([0.9, 0.9, 0.6, 0.6, 0.3, 0.3])
    asked = completed(model)
    assert [r.seed for r in asked] == [seed for seed in seeds for _ in range(2)]
    assert {(r.temperature, r.top_k) for r in asked} == {(0.7, 40)}


# What fails


@pytest.mark.parametrize("broken", ["ab", "ba"])
@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (JudgeFailure(reason="refused", detail="no"), "refused", "no"),
        (ChoiceLogProbs((math.nan, -1.0)), "invalid_log_probs", "must be a number"),
        (ChoiceLogProbs((0.7, -1.0)), "invalid_log_probs", "not above 0"),
        (ChoiceLogProbs((-math.inf, -math.inf)), "invalid_log_probs", "no choice has any probability"),
        (ChoiceLogProbs((-1.0,)), "invalid_log_probs", "1 log-probabilities for 2 choices"),
    ],
)
def test_a_failure_in_either_order_is_no_preference(
    broken: str, answer: ChoiceLogProbs | JudgeFailure, reason: str, detail: str
) -> None:
    def choose(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
        order = place(text_of(request), "response_1") + place(text_of(request), "response_2")
        return answer if order == broken else gives(0.6, 0.4)

    first, other = judge(ScriptedModel("s", choose)).compare([COMPARED, compared("x", "y", "d")])
    assert failed(first).reason == reason
    assert failed(first).detail.startswith(f"order {broken}: ")
    assert detail in failed(first).detail
    assert preferred(other).p_a == 0.5


def test_a_rationale_that_fails_is_no_preference() -> None:
    """One of six: the other five are not averaged."""

    def reason(request: CompleteRequest) -> Completion | JudgeFailure:
        if len(completed(model)) == 4:
            return JudgeFailure(reason="refused", detail="sample 1")
        return Completion(f"so {request.seed}", finished=True)

    model = ScriptedModel("s", random_choice, reason)
    [outcome] = judge(model, "sc-3").compare([COMPARED])
    assert failed(outcome) == JudgeFailure(reason="refused", detail="order ba: sample 1")
    assert len(chosen(model)) == 5


def test_every_variant_is_a_rater_of_its_own() -> None:
    names = ("base", "detailed", "cot", "2-shot", "2-shot+cot", "sc-2", "sc-3", "single", "log-odds", "each", "sampled")
    model = ScriptedModel("s", random_choice)
    raters = [judge(model, name).rater for name in names]
    assert len({content_hash(rater.model_dump(mode="json")) for rater in raters}) == len(names)
    assert raters[0].model == "scripted:s"
    assert raters[0].constitution == "n 1"
    assert raters[0].constitution_hash == CONSTITUTION.hash
