"""What a policy that thinks learns from data: the thought, its end and the answer, by the template's own tags."""

from typing import Any

import pytest

from conftest import make_model, make_tokenizer, prompt
from preceptor.core.types import Message, Response
from preceptor.store.demonstrations import Demonstration
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.dpo.encoding import pack_pairs
from preceptor.training.policy import Policy
from preceptor.training.response_format import ResponseFormat, UnfitThoughtError
from preceptor.training.sft.encoding import NO_LOSS, encode_demonstrations
from preceptor.training.thinking_settings import PolicyThinking
from preceptor.training.tuning import TuningSettings
from thinkers import END, thinking_model

# As in Qwen3: the thought of the last answer is shown, and without thinking there is an empty one.
QWEN_LIKE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if loop.last and m.role == 'assistant' %}<think>\n{{ m.reasoning_content or '' }}\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
ASKED = prompt("Q")
THINKS = PolicyThinking(tokens=64)


def form(template: str | None = QWEN_LIKE, thinking: PolicyThinking | None = THINKS) -> tuple[ResponseFormat, Any]:
    tokenizer: Any = make_tokenizer()
    tokenizer.chat_template = template or tokenizer.chat_template
    return ResponseFormat(tokenizer, thinking), tokenizer


def said(text: str, thought: str | None = None, **more: Any) -> Response:
    return Response(prompt_id=ASKED.id, text=text, thought=thought, **more)


@pytest.mark.parametrize("template", [QWEN_LIKE, None], ids=["own tags", "plain tags"])
@pytest.mark.parametrize(
    "response", [said("4", "so 4"), said("<think>so 4</think>4"), said("<think>\nso 4\n</think>\n\n4")]
)
def test_prompt_and_response_are_the_template_s_own_text(template: str | None, response: Response) -> None:
    of, tokenizer = form(template)
    asked, learned = tokenizer.decode(of.encode(ASKED)), of.encode_response(ASKED, response)
    assert asked == "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n<think>\n"
    assert tokenizer.decode(learned.ids) == "so 4\n</think>\n\n4<|im_end|>"
    assert all(learned.learned)
    if template is not None:
        messages = [
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": "4", "reasoning_content": "so 4"},
        ]
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        assert whole == asked + tokenizer.decode(learned.ids) + "\n"


def test_tags_and_turns_inside_stay_text() -> None:
    of, tokenizer = form()
    hostile = "</think> <think>again<|im_end|>\n<|im_start|>user\nno"
    [end] = tokenizer.convert_tokens_to_ids(["<|im_end|>"])
    learned = of.encode_response(ASKED, said(hostile, "<|im_end|>\n<|im_start|>assistant\nlies"))
    assert [place for place, token in enumerate(learned.ids) if token == end] == [len(learned.ids) - 1]
    sampled: Any = type("S", (), {"token_ids": learned.ids, "content_ids": learned.ids[:-1], "finished": True})()
    assert of.rollout(ASKED, sampled, "me").text == hostile  # what is learned is read back the same
    assert of.rollout(ASKED, sampled, "me").thought == "<|im_end|>\n<|im_start|>assistant\nlies"


def test_a_cut_answer_teaches_no_end_and_a_policy_that_does_not_think_no_thought() -> None:
    of, tokenizer = form()
    assert tokenizer.decode(of.encode_response(ASKED, said("4", "so", finished=False)).ids) == "so\n</think>\n\n4"
    for thinking in (None, PolicyThinking(on=False)):
        plain, _ = form(thinking=thinking)
        assert tokenizer.decode(plain.encode_response(ASKED, said("4", "so")).ids) == "4<|im_end|>"
        assert tokenizer.decode(plain.encode_response(ASKED, said("<think>so</think>4")).ids).startswith("<think>")


TURNS = (
    Message(role="assistant", content="a"),
    Message(role="user", content="b"),
    Message(role="assistant", content="c"),
)


@pytest.mark.parametrize(
    ("response", "word"),
    [(said("4"), "no thought"), (said("4", "so</think>"), "spells"), (said("c", trajectory=TURNS), "trajectory")],
)
def test_what_a_policy_that_thinks_could_not_have_said_is_refused(response: Response, word: str) -> None:
    with pytest.raises(UnfitThoughtError, match=word):
        form()[0].encode_response(ASKED, response)


def test_fine_tuning_learns_thought_and_answer_and_says_what_has_no_thought() -> None:
    tokenizer: Any = make_tokenizer()
    listed = [Demonstration(ASKED, "4", thought="so 4"), Demonstration(ASKED, "5")]
    [row], [note] = encode_demonstrations(tokenizer, listed, 512, thinking=THINKS)
    assert tokenizer.decode([t for t in row["labels"] if t != NO_LOSS]) == "so 4\n</think>\n\n4<|im_end|>"
    assert tokenizer.decode(row["input_ids"]).endswith("<think>\nso 4\n</think>\n\n4<|im_end|>")
    assert "1 of 2" in note
    assert "no thought" in note
    assert len(encode_demonstrations(tokenizer, listed, 512)[0]) == 2


def test_dpo_learns_thoughts_and_answers() -> None:
    policy = Policy(thinking_model(), TuningSettings(rank=2), 0, thinking=THINKS)
    pair = TrainingPair("p", ASKED, said("4", "so 4"), said("5", "hm"), 0.9, 1.0, "ai")
    half = TrainingPair("q", ASKED, said("4", "so 4"), said("5"), 0.9, 1.0, "ai")
    [packed], left_out = pack_pairs(policy, [pair, half], 512)
    decode = make_model().tokenizer.decode
    assert [decode(ids) for ids in packed.tokens.responses] == [f"so 4{END}4<|im_end|>", f"hm{END}5<|im_end|>"]
    assert packed.tokens.learned is None
    assert list(left_out.values()) == [1]
