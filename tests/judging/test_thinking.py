"""Judges that think: what is asked, what becomes of the thought, and which settings exclude each other."""

import math
from dataclasses import replace

import pytest
from judging_examples import CONSTITUTION, compared, failed, fresh_ledger, preferred, response, text_of

from conftest import prompt
from preceptor.backends.base import (
    ChoiceLogProbs,
    ChooseRequest,
    CompleteRequest,
    Completion,
    Thinking,
)
from preceptor.backends.scripted import ScriptedModel, random_choice
from preceptor.core.errors import UsageError
from preceptor.core.types import JudgeFailure, Score, Usage
from preceptor.judging.constitution import load_constitution
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.score import ScoreJudge
from preceptor.judging.scored import check_scoring
from preceptor.judging.settings import PairwiseSettings, ScoreSettings, variant
from preceptor.store.call_rows import call_key
from preceptor.store.ledger import Ledger

COMPARED = compared("a", "b")


def thinks(request: ChooseRequest) -> ChoiceLogProbs:
    """Thinks of the seed, and is cut where the first order is shown."""
    assert request.thinking is not None
    usage = Usage(prompt_tokens=10, completion_tokens=7)
    n = len(request.choices)
    cut = "\na\n" in text_of(request).partition("<response")[2][:20]
    return ChoiceLogProbs((math.log(1 / n),) * n, usage, None, f"of {request.thinking.seed}", cut)


def judge(name: str, ledger: Ledger | None = None) -> PairwiseJudge:
    model = ScriptedModel("s", thinks, thinks=True)
    return PairwiseJudge(model, CONSTITUTION, variant(name), ledger or fresh_ledger())


def asked(judge: PairwiseJudge) -> list[ChooseRequest]:
    model = judge.model.model
    assert isinstance(model, ScriptedModel)
    return [request for request in model.asked if isinstance(request, ChooseRequest)]


def test_a_judge_thinks_in_one_request_and_its_thought_is_the_rationale() -> None:
    thinking = judge("think-low")
    preference = preferred(thinking.compare([COMPARED])[0])
    first, second = asked(thinking)
    assert first.thinking == second.thinking
    assert first.thinking is not None
    assert first.thinking.level == "low"
    assert first.prefill == ""
    assert first.choices == ("1", "2")
    assert "nothing else" in text_of(first)
    said = f"of {first.thinking.seed}"
    rationales = [p.verdict.rationale for p in preference.presentations]
    assert [said in rationale for rationale in rationales] == [True, True]
    assert ["cut" in rationale for rationale in rationales] == [True, False]
    assert preference.usage == Usage(prompt_tokens=20, completion_tokens=14)


def test_samples_are_thoughts_of_their_own() -> None:
    name = PairwiseSettings(thinking=100, samples=3)
    model = ScriptedModel("s", thinks, thinks=True)
    PairwiseJudge(model, CONSTITUTION, name, fresh_ledger()).compare([COMPARED])
    requests = [request for request in model.asked if isinstance(request, ChooseRequest)]
    assert len(requests) == 6
    assert len({request.thinking for request in requests}) == 3


def test_off_says_so_and_asks_as_always() -> None:
    plain, off = judge("detailed"), judge("think-off")
    quiet = ScriptedModel("s", random_choice)
    PairwiseJudge(quiet, CONSTITUTION, variant("detailed"), fresh_ledger()).compare([COMPARED])
    off.compare([COMPARED])
    requests = [request for request in quiet.asked if isinstance(request, ChooseRequest)]
    assert asked(off) == [replace(request, thinking=Thinking("off")) for request in requests]
    assert off.rater != plain.rater


def test_a_rationale_is_asked_for_with_thinking_off() -> None:
    model = ScriptedModel("s", random_choice, lambda _: Completion("why", finished=True))
    result = PairwiseJudge(model, CONSTITUTION, variant("cot+think-off"), fresh_ledger()).compare([COMPARED])
    assert {request.thinking for request in model.asked} == {Thinking("off")}
    assert preferred(result[0]).presentations[0].verdict.rationale == "why"


def test_a_score_is_given_after_a_thought_for_each_criterion() -> None:
    model = ScriptedModel("s", thinks, thinks=True)
    settings = ScoreSettings(thinking="medium")
    [score] = ScoreJudge(model, load_constitution("helpful"), fresh_ledger(), settings).score(
        [(prompt("q"), response("r"))]
    )
    assert isinstance(score, Score)
    assert all(verdict.rationale.startswith("of ") for verdict in score.criteria.values())
    assert {request.thinking.level for request in model.asked if request.thinking} == {"medium"}


def test_one_call_for_all_criteria_thinks_too() -> None:
    constitution = load_constitution("helpful")
    given = ", ".join(f'"{criterion.name}": 7' for criterion in constitution.score.criteria)
    model = ScriptedModel("s", thinks, lambda _: Completion(f"{{{given}}}", finished=True, thought="so"), thinks=True)
    settings = ScoreSettings(thinking=500, criteria="one_call")
    scorer = ScoreJudge(model, constitution, fresh_ledger(), settings)
    [score] = scorer.score([(prompt("q"), response("r"))])
    assert isinstance(score, Score)
    assert score.verdict.rationale == "so"
    [request] = model.asked
    assert isinstance(request, CompleteRequest)
    demand = scorer.demand([(prompt("q"), response("r"))])
    assert demand.usage.completion_tokens == request.max_new_tokens + 500


def test_a_thought_counts_at_its_limit_in_the_estimate() -> None:
    thinking, plain = judge("think-low").demand([COMPARED]), judge("detailed").demand([COMPARED])
    assert (thinking.calls, plain.calls) == (2, 2)
    assert thinking.usage.completion_tokens == 2 * (1024 + 1)
    assert plain.usage.completion_tokens == 2


def test_thoughts_are_found_in_the_ledger() -> None:
    ledger = fresh_ledger()
    first, again = judge("think-low", ledger), judge("think-low", ledger)
    assert first.compare([COMPARED]) == again.compare([COMPARED])
    assert asked(again) == []


def test_the_keys_of_calls_without_thinking_are_those_of_older_ledgers() -> None:
    ledger = fresh_ledger()
    model = ScriptedModel("s", random_choice, lambda _: Completion("x", finished=True))
    recorded = RecordedModel(model, ledger, judge("detailed").rater)
    list(recorded.choose([ChooseRequest("p", ("1", "2"))]))
    list(recorded.complete([CompleteRequest("p", 4)]))
    before: dict[str, object] = {"prompt": "p", "choices": ["1", "2"], "prefill": ""}
    assert ledger.find([call_key("choose", recorded.identity, before)])
    list(recorded.choose([ChooseRequest("p", ("1", "2"), thinking=Thinking("low", 5))]))
    now: dict[str, object] = before | {"thinking": {"level": "low", "seed": 5}}
    assert not ledger.find([call_key("choose", recorded.identity, now | {"seed": 5})])
    assert ledger.find([call_key("choose", recorded.identity, now)])


def test_a_thought_that_is_longer_than_its_tokens_allow_is_a_failure() -> None:
    def endless(request: ChooseRequest) -> ChoiceLogProbs:
        return replace(thinks(request), thought="x" * 20_000)

    model = ScriptedModel("s", endless, thinks=True)
    [outcome] = PairwiseJudge(model, CONSTITUTION, variant("think-16"), fresh_ledger()).compare([COMPARED])
    assert "20,000 characters" in failed(outcome).detail
    assert "16 tokens" in failed(outcome).detail


def test_a_failure_to_think_is_a_failure_of_the_comparison() -> None:
    def never(request: ChooseRequest) -> JudgeFailure:
        return JudgeFailure(reason="no_answer", detail="the thought did not end")

    model = ScriptedModel("s", never, thinks=True)
    [outcome] = PairwiseJudge(model, CONSTITUTION, variant("think-low"), fresh_ledger()).compare([COMPARED])
    assert failed(outcome).reason == "no_answer"


@pytest.mark.parametrize(("level", "tokens"), [("off", 0), ("low", 1024), ("medium", 4096), ("high", 8192), (77, 77)])
def test_levels_in_tokens(level: str, tokens: int) -> None:
    settings = variant(f"think-{level}")
    assert settings.thought is not None
    assert settings.thought.tokens == tokens


def test_a_rater_is_told_of_thinking_only_if_it_was_set() -> None:
    assert "thinking" not in variant("detailed").for_rater()
    assert variant("think-off").for_rater() == variant("detailed").for_rater() | {"thinking": "off"}
    told = variant("think-64").for_rater()
    assert told == variant("detailed").for_rater() | {"thinking": 64, "samples": 1, "seed": 0}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cot+think-low", "leave out rationale"),
        ("sc-3+think-high", "leave out rationale"),
        ("think-0", "thinking"),
        ("think-much", "think-LEVEL"),
        ("think-low+think-high", "by an earlier part"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        variant(name)


def test_models_that_cannot_think_are_refused_at_once() -> None:
    for name in ("random", "first"):
        with pytest.raises(UsageError, match="cannot think"):
            PairwiseJudge(ScriptedModel.named(name), CONSTITUTION, variant("think-low"), fresh_ledger())
    with pytest.raises(UsageError, match="cannot think"):
        ScoreJudge(ScriptedModel.named("first"), CONSTITUTION, fresh_ledger(), ScoreSettings(thinking="low"))


def test_a_plain_text_has_no_place_for_a_thought() -> None:
    plain = load_constitution("warm_tone")
    with pytest.raises(UsageError, match="plain text"):
        check_scoring(plain, variant("scored+think-low"))
