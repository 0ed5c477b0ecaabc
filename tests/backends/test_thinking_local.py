"""Local models that think: where chat templates put a thought, how it is decoded and closed, and what is refused."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import trl

from conftest import make_model, make_tokenizer
from preceptor.backends.base import (
    ChoiceLogProbs,
    ChooseRequest,
    CompleteRequest,
    Completion,
    Thinking,
    asked_identity,
    in_order,
)
from preceptor.backends.resolve import open_model
from preceptor.backends.transformers.chat import encode_conversation, encode_text
from preceptor.backends.transformers.model import LocalModel
from preceptor.backends.transformers.thinking import (
    thinking_template,
    thought_begun,
    thought_closed,
    without_thought,
)
from preceptor.core.errors import UsageError
from preceptor.core.types import Conversation, JudgeFailure, Message

TEMPLATES = Path(str(trl.__file__)).parent / "chat_templates"
ASKED: Conversation = (Message(role="user", content="Q?"),)
REQUEST = ChooseRequest(ASKED, ("1", "2"), thinking=Thinking(24, seed=3))


def template(name: str) -> str:
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


def thinker(text: str = "", window: int = 512) -> LocalModel:
    """The tiny model under a thinking template, Qwen3's by default."""
    model = make_model(window=window)
    model.tokenizer.chat_template = text or template("qwen3")
    return model


def chosen(model: LocalModel, *requests: ChooseRequest) -> list[ChoiceLogProbs | JudgeFailure]:
    return in_order(model.choose(requests), len(requests))


def answered(result: ChoiceLogProbs | Completion | JudgeFailure) -> ChoiceLogProbs:
    assert isinstance(result, ChoiceLogProbs), result
    return result


@pytest.mark.parametrize(
    ("family", "begins", "closes", "end", "off"),
    [
        ("qwen3", "assistant\n<think>\n", "\n</think>\n\n", "</think>", "<think>\n\n</think>\n\n"),
        ("qwen3_5_nothink", "assistant\n<think>\n", "\n</think>\n\n", "</think>", "<think>\n\n</think>\n\n"),
        ("deepseek_r1_distill", "<｜Assistant｜><think>\n", "\n</think>\n\n", "</think>", "<think>\n\n</think>\n\n"),
        ("deepseekv3", "<｜Assistant｜><think>\n", "\n</think>\n\n", "</think>", "<think>\n\n</think>\n\n"),
        (
            "gptoss",
            "<|start|>assistant<|channel|>analysis<|message|>",
            "<|end|><|start|>assistant<|channel|>final<|message|>",
            "<|end|>",
            "<|start|>assistant<|channel|>final<|message|>",
        ),
        ("glm4moe", "<|assistant|>\n<think>", "</think>\n", "</think>", "<|assistant|>\n<think></think>"),
        ("nemotron_3_nano", "assistant\n<think>\n", "\n</think>\n", "</think>", "<think></think>"),
        ("gemma4_v2", "model\n<|channel>thought\n", "\n<channel|>", "<channel|>", "<|turn>model\n"),
        ("gemma4_v5", "model\n<|channel>thought\n", "\n<channel|>", "<channel|>", "<|turn>model\n"),
        ("lfm2_2_5", "assistant\n<think>", "</think>", "</think>", "<|im_start|>assistant\n"),
        (
            "muse_glimmer",
            "assistant to=self<|message|>",
            "<|eom|><|start|>assistant to=user<|message|>",
            "<|eom|>",
            "assistant to=user<|message|>",
        ),
    ],
)
def test_a_template_s_own_tags_are_found_by_rendering_it(
    family: str, begins: str, closes: str, end: str, off: str
) -> None:
    tokenizer: Any = make_tokenizer()
    tokenizer.chat_template = template(family)
    found = thinking_template(tokenizer)
    assert found is not None
    assert tokenizer.decode(thought_begun(tokenizer, found, ASKED, "low")).endswith(begins)
    assert (found.closing, found.end) == (closes, end)
    assert tokenizer.decode(without_thought(tokenizer, found, ASKED, "So")).endswith(f"{off}So")


@pytest.mark.parametrize("family", ["qwen2_5", "qwen3_instruct_2507", "llama3_2", "gemma3", "phi3_5", "lfm2"])
def test_a_template_without_a_place_for_a_thought_does_not_think(family: str) -> None:
    tokenizer: Any = make_tokenizer()
    tokenizer.chat_template = template(family)
    assert thinking_template(tokenizer) is None


def test_a_level_goes_to_templates_that_know_it() -> None:
    tokenizer: Any = make_tokenizer()
    tokenizer.chat_template = template("gptoss")
    found = thinking_template(tokenizer)
    assert found is not None
    assert found.efforts == ("low", "medium", "high")
    assert "Reasoning: high" in tokenizer.decode(thought_begun(tokenizer, found, ASKED, "high"))
    assert "Reasoning: medium" in tokenizer.decode(thought_begun(tokenizer, found, ASKED, 2000))
    tokenizer.chat_template = template("qwen3_8")  # which refuses "high"
    found = thinking_template(tokenizer)
    assert found is not None
    assert "set to low" in tokenizer.decode(thought_begun(tokenizer, found, ASKED, "low"))
    assert "set to" in tokenizer.decode(thought_begun(tokenizer, found, ASKED, "high"))


def test_choices_are_read_exactly_after_the_closed_thought() -> None:
    model = thinker()
    result = answered(chosen(model, REQUEST)[0])
    found = thinking_template(model.tokenizer)
    assert found is not None
    assert result.thought
    assert result.thought_cut
    begun = thought_begun(model.tokenizer, found, ASKED, 24)
    ids = begun + thought_closed(model.tokenizer, found, result.thought)
    with torch.inference_mode():
        expected = torch.log_softmax(model.model(torch.tensor([ids])).logits[0, -1].float(), dim=-1)
    tokens = [encode_text(model.tokenizer, choice)[0] for choice in ("1", "2")]
    assert result.log_probs == pytest.approx([float(expected[token]) for token in tokens], abs=1e-4)
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (len(begun) + len(ids), 24)


def test_a_thought_ends_where_the_template_says() -> None:
    """The sixth character of what the model would think is made the tag that ends a thought."""
    long = answered(chosen(thinker(), REQUEST)[0]).thought
    assert long[5] not in long[:5]
    ending = template("qwen3").replace("\\n</think>\\n\\n", long[5])
    result = answered(chosen(thinker(ending), REQUEST)[0])
    assert result.thought == long[:5].strip()
    assert not result.thought_cut


def test_a_seed_gives_the_same_thought_in_any_company_and_another_seed_another() -> None:
    model = thinker()
    other = replace(REQUEST, thinking=Thinking(24, seed=4))
    direct = replace(REQUEST, thinking=None)
    alone = answered(chosen(model, REQUEST)[0])
    together = [answered(result) for result in chosen(model, direct, other, REQUEST)]
    assert together[2].thought == alone.thought
    assert together[1].thought != alone.thought
    assert together[0].thought == ""


def test_off_closes_the_thought_before_it_begins() -> None:
    model = thinker()
    off = answered(chosen(model, replace(REQUEST, prefill="A:", thinking=Thinking("off")))[0])
    found = thinking_template(model.tokenizer)
    assert found is not None
    ids = without_thought(model.tokenizer, found, ASKED, "A:")
    with torch.inference_mode():
        expected = torch.log_softmax(model.model(torch.tensor([ids])).logits[0, -1].float(), dim=-1)
    token = encode_text(model.tokenizer, "1")[0]
    assert off.log_probs[0] == pytest.approx(float(expected[token]), abs=1e-4)
    assert off.thought == ""


def test_a_completion_follows_the_thought() -> None:
    model = thinker()
    [result] = in_order(model.complete([CompleteRequest(ASKED, 8, thinking=Thinking(24, seed=3))]), 1)
    assert isinstance(result, Completion)
    assert result.thought == answered(chosen(model, REQUEST)[0]).thought
    assert result.usage.completion_tokens == 24 + 8


def test_control_tokens_in_a_thought_stay_text() -> None:
    tokenizer: Any = make_tokenizer()
    tokenizer.chat_template = template("qwen3")
    found = thinking_template(tokenizer)
    assert found is not None
    ids = thought_closed(tokenizer, found, "x<|im_end|>\n<|im_start|>assistant")
    assert not {tokenizer.bos_token_id, tokenizer.eos_token_id} & set(ids)


def test_a_thought_that_the_window_does_not_hold_is_a_failure_of_its_request() -> None:
    long = replace(REQUEST, prompt=(Message(role="user", content="w" * 480),))
    failed, fine = chosen(thinker(), long, REQUEST)
    assert isinstance(failed, JudgeFailure)
    assert failed.reason == "prompt_too_long"
    assert math.isfinite(answered(fine).log_probs[0])


def test_models_that_cannot_think_are_refused(tiny: LocalModel) -> None:
    with pytest.raises(UsageError, match="no place for a thought"):
        asked_identity(tiny, "low")
    assert asked_identity(tiny, "off") == asked_identity(tiny, None) == tiny.identity
    with pytest.raises(UsageError, match=r"window of 512.*4,096"):
        asked_identity(thinker(), "medium")
    assert asked_identity(thinker(), 100) == "tiny-0"
    tiny.tokenizer.chat_template = None
    with pytest.raises(UsageError, match="no chat template"):
        asked_identity(tiny, "low")


def test_the_embedded_model_thinks_under_a_thinking_template() -> None:
    model = open_model("embedded")
    assert isinstance(model, LocalModel)
    kept = model.tokenizer.chat_template
    try:
        model.tokenizer.chat_template = template("qwen3")
        result = answered(chosen(model, REQUEST)[0])
        assert len(result.thought) > 24  # words, not bytes
        assert result.usage.completion_tokens <= 24
        found = thinking_template(model.tokenizer)
        assert found is not None
        assert model.tokenizer.decode(encode_conversation(model.tokenizer, ASKED)).endswith("assistant\n")
    finally:
        model.tokenizer.chat_template = kept
