"""The pairwise judge and its ledger: what is paid for once, and what is asked again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from judging_examples import (
    CONSTITUTION,
    compared,
    failed,
    fresh_ledger,
    gives,
    place,
    preferred,
    text_of,
)

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, CompleteRequest, Completion, Price
from preceptor.backends.scripted import ScriptedModel, random_choice
from preceptor.core.errors import PreceptorError
from preceptor.core.types import JudgeFailure, Usage
from preceptor.judging.constitution import Constitution
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.settings import variant
from preceptor.store.ledger import Ledger

COMPARED = compared("a", "b")


def judge(
    model: ScriptedModel,
    name: str = "detailed",
    ledger: Ledger | None = None,
    constitution: Constitution = CONSTITUTION,
) -> PairwiseJudge:
    return PairwiseJudge(model, constitution, variant(name), ledger or fresh_ledger())


def says(text: str) -> Callable[[CompleteRequest], Completion]:
    return lambda _: Completion(text, finished=True, usage=Usage(prompt_tokens=5, completion_tokens=3))


def test_a_second_judge_with_the_same_settings_asks_nothing(tmp_path: Path) -> None:
    model = ScriptedModel("s", random_choice, says("so"))
    comparisons = [compared("a", "b", "c"), compared("a", "x", "d")]
    with Ledger(tmp_path / "l.sqlite") as ledger:
        first = judge(model, "sc-2", ledger).compare(comparisons)
    assert len(model.asked) == 2 * 2 * 2 + 4  # each sample has a rationale of its own, and all say the same
    again = ScriptedModel("s", random_choice, says("so"))
    with Ledger(tmp_path / "l.sqlite") as ledger:
        second = judge(again, "sc-2", ledger)
        assert second.compare(comparisons) == first
        assert again.asked == []
        assert (second.model.hits, second.model.asked) == (16, 0)


def test_words_of_a_model_that_no_file_can_hold(tmp_path: Path) -> None:
    """Half of a surrogate pair, which a server's JSON can say, is a question mark, at once and from the ledger."""
    broken = JudgeFailure(reason="refused", detail="b\udfff")
    model = ScriptedModel(
        "s", lambda r: gives(0.6, 0.4) if place(text_of(r), "response_1") == "a" else broken, says("\ud800")
    )
    with Ledger(tmp_path / "l.sqlite") as ledger:
        preference = preferred(judge(model, "single+cot", ledger).compare([COMPARED])[0])
        assert preference.presentations[0].verdict.rationale == "?"
        first = judge(model, "cot", ledger).compare([COMPARED])
        assert failed(first[0]).detail == "order ba: b?"
        assert judge(ScriptedModel("s", random_choice), "cot", ledger).compare([COMPARED]) == first


def test_identical_requests_are_asked_once() -> None:
    model = ScriptedModel("s", random_choice)
    asking = judge(model)
    one, two, same = asking.compare([COMPARED, compared("a", "b", "other"), compared("z", "z", "same")])
    assert len(model.asked) == 3  # a response compared with itself is one question too
    assert (asking.model.asked, asking.model.hits) == (3, 3)
    assert preferred(one).p_a == preferred(two).p_a
    assert preferred(same).p_a == 0.5


def test_what_may_pass_is_asked_again_and_what_will_not_is_not() -> None:
    def choose(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
        if "down" in text_of(request) and len(model.asked) <= 4:
            return JudgeFailure(reason="backend_error", detail="no answer in time")
        return JudgeFailure(reason="refused", detail="no") if "rude" in text_of(request) else gives(0.6, 0.4)

    ledger = fresh_ledger()
    model = ScriptedModel("s", choose)
    comparisons = [compared("down", "b", "c"), compared("rude", "b", "d")]
    down, rude = judge(model, "detailed", ledger).compare(comparisons)
    assert (failed(down).reason, failed(rude).reason) == ("backend_error", "refused")
    assert len(model.asked) == 4
    down, rude = judge(model, "detailed", ledger).compare(comparisons)
    assert preferred(down).p_a == 0.5
    assert failed(rude).reason == "refused"
    assert all("down" in text_of(request) for request in model.asked[4:])
    assert len(model.asked) == 6
    assert (ledger.totals().calls, ledger.totals().failed_attempts) == (4, 2)


def test_the_budget_stops_and_a_larger_one_asks_only_the_rest(tmp_path: Path) -> None:
    def priced() -> ScriptedModel:
        model = ScriptedModel("s", random_choice)
        model.price = Price(prompt=1e6, completion=0.0)  # a dollar for the one token of each call
        model.concurrency = 2
        return model

    comparisons = [compared("a", f"b{i}", f"c{i}") for i in range(3)]
    first, second, third = priced(), priced(), priced()
    with (
        Ledger(tmp_path / "l.sqlite", budget=3.0) as ledger,
        pytest.raises(PreceptorError, match=r"budget of \$3 .*\$3\.0000.* \$1\.0000"),
    ):
        judge(first, "detailed", ledger).compare(comparisons)
    assert len(first.asked) == 3
    with Ledger(tmp_path / "l.sqlite", budget=3.0) as ledger, pytest.raises(PreceptorError, match="no further call"):
        judge(second, "detailed", ledger).compare(comparisons)
    assert second.asked == []
    with Ledger(tmp_path / "l.sqlite", budget=10.0) as ledger:
        outcomes = judge(third, "detailed", ledger).compare(comparisons)
        assert ledger.totals().cost_usd == 6.0
    assert len(third.asked) == 3
    assert outcomes == judge(ScriptedModel("s", random_choice)).compare(comparisons)
