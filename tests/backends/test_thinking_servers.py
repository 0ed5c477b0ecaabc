"""Servers of models that think: how each is asked, what its answer means, and what counts as a failure."""

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from backends.fault_server import Script, failure, probabilities, serving
from backends.thinker import Thinker, anthropic_like, deepseek_like, openai_like, plain, vllm_like
from preceptor.backends.base import (
    ChoiceLogProbs,
    ChooseRequest,
    CompleteRequest,
    Completion,
    Thinking,
    ThinkingLevel,
    in_order,
)
from preceptor.backends.names import same_model
from preceptor.backends.openai.model import OpenAIModel
from preceptor.backends.resolve import open_model
from preceptor.core.errors import UsageError
from preceptor.core.types import Conversation, JudgeFailure, Message

ASKED: Conversation = (Message(role="user", content="Which is better, 1 or 2?"),)


@contextmanager
def thinking(thinker: Thinker, **settings: Any) -> Generator[OpenAIModel]:
    with serving(Script(thinker=thinker, models_status=404), **({"votes": 4} | settings)) as (model, _):
        yield model


def chosen(
    model: OpenAIModel, level: ThinkingLevel, choices: tuple[str, ...] = ("1", "2"), seed: int = 0
) -> ChoiceLogProbs | JudgeFailure:
    [result] = in_order(model.choose([ChooseRequest(ASKED, choices, thinking=Thinking(level, seed))]), 1)
    return result


def answered(result: ChoiceLogProbs | JudgeFailure) -> ChoiceLogProbs:
    assert isinstance(result, ChoiceLogProbs), result
    return result


@pytest.mark.parametrize(
    ("thinker", "way", "sent"),
    [
        (openai_like(), "effort#votes4x16", {"reasoning_effort": "low"}),
        (anthropic_like(), "budget#votes4x16", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (deepseek_like(), "always#votes4x16", {"temperature": 1.0}),
        (vllm_like(), "template-effort", {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}}),
        (vllm_like(budget=True), "template-effort-budget", {"thinking_token_budget": 1024, "reasoning_effort": "low"}),
    ],
)
def test_each_server_is_asked_in_its_own_way_which_its_identity_names(
    thinker: Thinker, way: str, sent: dict[str, Any]
) -> None:
    with thinking(thinker) as model:
        assert model.thinking_identity("low") == f"{model.address}#thinks-{way}"
        assert same_model(model.thinking_identity("low"), str(model.address))
        result = answered(chosen(model, "low"))
        assert result.thought == ("" if thinker.shows == "hidden" else "Let me see")
        assert sent.items() <= thinker.asked[0].items()
        assert max(thinker.asked[0].get(name, 0) for name in ("max_tokens", "max_completion_tokens")) == 1024 + 16


def test_the_way_is_found_out_once() -> None:
    thinker = vllm_like()
    with serving(Script(thinker=thinker, models_status=404)) as (model, server):
        model.thinking_identity("low")
        before = len(server.asked)
        model.thinking_identity("low")
        model.thinking_calls("low")
        chosen(model, "low")
        assert len(server.asked) == before + 1


def test_a_verdict_is_read_where_it_stands_after_the_thought() -> None:
    thinker = vllm_like()
    with thinking(thinker) as model:
        result = answered(chosen(model, "low", seed=7))
        assert probabilities(result) == pytest.approx([0.7, 0.2])
        assert result.votes is None
        assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (40, 4)
        [body] = thinker.asked
        assert (body["seed"], body["temperature"], body["top_logprobs"]) == (7, 1.0, 20)
        assert body["messages"][-1]["role"] == "user"


def test_long_thoughts_list_fewer_tokens() -> None:
    """20 at each of 2,048 places are 40,960, which are 5 at each of 8,192."""
    thinker = vllm_like()
    with thinking(thinker) as model:
        chosen(model, "medium")
        assert thinker.asked[-1]["top_logprobs"] == 40_960 // (4096 + 16)
        model.thinking_identity(9000)
        assert model.thinking_calls(9000) == 4


def test_a_choice_that_begins_another_needs_its_next_place() -> None:
    """P(1) = 0.1 might be the beginning of 10, which nothing tells: more than 5 % of 0.9 is unknown."""
    thinker = vllm_like()
    thinker.answers, thinker.top = ("7",), {"7": 0.8, "1": 0.1, "The": 0.1}
    with thinking(thinker) as model:
        assert failure(chosen(model, "low", ("1", "7", "10"))).reason == "invalid_log_probs"
        thinker.top = {"7": 0.96, "1": 0.02, "10": 0.02}
        assert probabilities(chosen(model, "low", ("1", "7", "10"))) == pytest.approx([0.02, 0.96, 0.02])


def test_votes_are_thoughts_of_their_own_whose_tokens_fit() -> None:
    thinker = deepseek_like()
    thinker.answers = ("1", "2", "**1**", "1.")
    with thinking(thinker) as model:
        result = answered(chosen(model, 100))
        assert probabilities(result) == pytest.approx([0.75, 0.25])
        assert result.votes == 4
        assert [body["seed"] for body in thinker.asked] == [0, 1, 2, 3]
        assert {body["max_tokens"] for body in thinker.asked} == {100 + 16}
        assert result.usage.completion_tokens == 4 * 4


def test_what_such_models_refuse_is_not_sent() -> None:
    thinker = openai_like()
    with thinking(thinker) as model:
        answered(chosen(model, "high"))
        assert all(not {"temperature", "top_p", "seed", "logprobs"} & body.keys() for body in thinker.asked)


def test_a_thought_that_is_counted_apart_is_paid_for() -> None:
    with thinking(anthropic_like(), votes=1) as model:
        assert answered(chosen(model, "low")).usage.completion_tokens == 4


@pytest.mark.parametrize("thinker", [vllm_like(), deepseek_like(), openai_like()])
def test_a_thought_that_never_ends_is_a_failure(thinker: Thinker) -> None:
    thinker.endless = 100
    with thinking(thinker) as model:
        failed = failure(chosen(model, "low"))
        assert failed.reason == "unfinished_thought"
        assert "did not end within 1,040 tokens" in failed.detail
        assert failed.usage.completion_tokens > 0


def test_a_vote_whose_thought_never_ends_is_no_vote() -> None:
    thinker = deepseek_like()
    thinker.endless = 1
    with thinking(thinker) as model:
        result = answered(chosen(model, "low"))
        assert (result.votes, probabilities(result)) == (3, pytest.approx([0.75, 0.0]))


def test_an_answer_that_is_no_choice_is_a_failure() -> None:
    thinker = vllm_like()
    thinker.answers = ("Both are fine",)
    with thinking(thinker) as model:
        assert "Both are fine" in failure(chosen(model, "low")).detail


@pytest.mark.parametrize(
    ("thinker", "sent"),
    [
        (vllm_like(), {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}),
        (openai_like(), {"reasoning_effort": "none"}),
        (anthropic_like(), {"thinking": {"type": "disabled"}}),
    ],
)
def test_off_keeps_a_model_from_thinking(thinker: Thinker, sent: dict[str, Any]) -> None:
    thinker.default = True
    with thinking(thinker) as model:
        assert "#thinks-not-" in model.thinking_identity("off")
        result = answered(chosen(model, "off", seed=0))
        assert result.thought == ""
        assert all(sent.items() <= body.items() for body in thinker.asked)


def test_a_model_that_always_thinks_cannot_be_kept_from_it() -> None:
    with thinking(deepseek_like()) as model, pytest.raises(UsageError, match="cannot be kept from thinking"):
        model.thinking_identity("off")


def test_a_model_that_never_thinks_is_refused() -> None:
    with thinking(plain()) as model:
        assert "#thinks-not-template" in model.thinking_identity("off")
        with pytest.raises(UsageError, match=r"no sign of thinking.*cot"):
            model.thinking_identity("low")


def test_a_window_that_does_not_hold_the_thought_is_said() -> None:
    with (
        serving(Script(thinker=vllm_like(), models=({"id": "tiny", "max_model_len": 2000},))) as (model, _),
        pytest.raises(UsageError, match=r"window of 2,000.*4,096"),
    ):
        model.thinking_identity("medium")


def test_a_model_that_thinks_unasked_is_told_how_to_be_asked() -> None:
    thinker = deepseek_like()
    thinker.endless = 100
    with thinking(thinker) as model:
        [result] = in_order(model.choose([ChooseRequest(ASKED, ("1", "2"))]), 1)
        assert "think-low" in failure(result).detail


def test_a_completion_comes_after_a_thought() -> None:
    thinker = vllm_like()
    thinker.answers = ('{"tone": 7}',)
    with thinking(thinker) as model:
        request = CompleteRequest(ASKED, 50, schema={"type": "object"}, thinking=Thinking("low", 5))
        [result] = in_order(model.complete([request]), 1)
        assert isinstance(result, Completion)
        assert (result.text, result.thought) == ('{"tone": 7}', "Let me see")
        assert thinker.asked[0]["max_tokens"] == 1024 + 50
        assert "response_format" in thinker.asked[0]
        thinker.endless = 100
        [result] = in_order(model.complete([request]), 1)
        assert "did not end" in failure(result).detail


def test_a_dry_run_asks_nothing_and_counts_votes() -> None:
    model = open_model("openai:o4-mini", unasked=True)
    assert isinstance(model, OpenAIModel)
    assert model.thinking_calls("low") == 8
    assert "#thinks-effort#votes8x16" in model.thinking_identity("low")
    model.close()


def test_a_thought_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEPTOR_API_KEY", "a-secret-of-ours")

    class Telling(Thinker):
        def __call__(self, body: dict[str, Any]) -> tuple[int, Any]:
            status, answer = super().__call__(body)
            if status == 200:
                answer["choices"][0]["message"]["reasoning_content"] = "The key is a-secret-of-ours."
            return status, answer

    with thinking(Telling(vllm_like().takes, by="template", lists=True)) as model:
        assert answered(chosen(model, "low")).thought == "The key is ***."
        assert math.isfinite(answered(chosen(model, "low")).log_probs[0])
