"""One row of each of the usual datasets, as its card shows it."""

from typing import Any

import pytest

from preceptor.store.hub.columns import in_our_columns

USER, ASSISTANT = {"role": "user", "content": "q"}, {"role": "assistant", "content": "x"}
OTHER = {"role": "assistant", "content": "y"}


def kept(row: dict[str, Any], *names: str) -> list[Any]:
    ours = in_our_columns(row)
    assert ours is not None
    return [ours.get(name) for name in names]


def test_transcripts_become_messages() -> None:
    row = {"chosen": "\n\nHuman: q\n\nAssistant: x", "rejected": "\n\nHuman: q\n\nAssistant: y"}  # hh-rlhf
    assert kept(row, "prompt", "chosen", "rejected") == [[USER], [ASSISTANT], [OTHER]]


def test_a_transcript_that_waits_for_its_answer_is_a_prompt() -> None:
    row = {"prompt": "\n\nHuman: q\n\nAssistant:", "chosen": " x", "rejected": " y"}  # full-hh-rlhf
    assert kept(row, "prompt") == [[USER]]


def test_a_text_with_such_a_word_inside_is_no_transcript() -> None:
    assert kept({"prompt": "Write\n\nHuman: q"}, "prompt") == ["Write\n\nHuman: q"]


def test_whole_conversations_are_split_where_they_part() -> None:
    row = {
        "chosen": [USER, ASSISTANT],
        "rejected": [USER, OTHER],
        "score_chosen": 8.0,
    }  # ultrafeedback_binarized of TRL
    assert kept(row, "prompt", "chosen", "rejected") == [[USER], [ASSISTANT], [OTHER]]


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ({"response_0": "x", "response_1": "y", "better_response_id": 1}, "b"),  # PKU-SafeRLHF
        ({"response_1": "x", "response_2": "y", "preference_strength": -2}, "a"),  # HelpSteer2
        ({"response1": "x", "response2": "y", "overall_preference": 3}, "b"),  # HelpSteer3
        ({"output_1": "x", "output_2": "y", "preference": 1}, "a"),  # AlpacaFarm
        ({"human_ref_A": "x", "human_ref_B": "y", "labels": 0}, "b"),  # SHP
        ({"response1": "x", "response2": "y", "overall_preference": 0}, "tie"),
        ({"response1": "x", "response2": "y", "overall_preference": None}, None),
    ],
)
def test_two_responses_and_who_is_preferred(row: dict[str, Any], label: str | None) -> None:
    assert kept({"prompt": "q"} | row, "prompt", "response_a", "response_b", "label") == ["q", "x", "y", label]


def test_two_conversations_of_an_arena() -> None:
    row = {
        "conversation_a": [USER, ASSISTANT],
        "conversation_b": [USER, OTHER],
        "winner": "tie (bothbad)",
        "model_a": "one",
        "model_b": "two",
    }
    assert kept(row, "prompt", "response_a", "response_b", "label") == [[USER], [ASSISTANT], [OTHER], "tie"]
    assert kept(row, "policy_a", "policy_b") == ["one", "two"]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "q", "completions": [{"model": "m", "response": "x"}, {"model": "n", "response": "y"}]},
        {"prompt": "q", "answers": [{"model": "m", "answer": "x"}, {"model": "n", "answer": "y"}]},  # Nectar
    ],
)
def test_several_responses(row: dict[str, Any]) -> None:
    assert kept(row, "prompt", "responses", "policies") == ["q", ["x", "y"], ["m", "n"]]


@pytest.mark.parametrize(
    ("row", "prompt", "reference"),
    [
        ({"instruction": "q", "input": "", "output": "x"}, "q", "x"),  # Alpaca
        ({"instruction": "q", "input": "i", "output": "x"}, "q\n\ni", "x"),
        ({"instruction": "q", "context": "i", "response": "x"}, "q\n\ni", "x"),  # Dolly
        ({"question": "q", "answer": "x"}, "q", "x"),  # GSM8K
        ({"problem": "q", "solution": "x"}, "q", "x"),  # MATH
        ({"messages": [USER, ASSISTANT]}, [USER], "x"),  # UltraChat
        ({"conversation": [USER | {"country": "CH"}, ASSISTANT]}, [USER], "x"),  # WildChat
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "x"}]}, [USER], "x"),  # ShareGPT
        ({"system_prompt": "s", "question": "q"}, [{"role": "system", "content": "s"}, USER], None),  # OpenOrca
    ],
)
def test_prompts_and_their_answers(row: dict[str, Any], prompt: object, reference: str | None) -> None:
    assert kept(row, "prompt", "reference", "conversation") == [prompt, reference, None]


def test_of_a_tree_of_messages_only_beginnings_are_prompts() -> None:
    root = {"message_id": "m", "parent_id": None, "role": "prompter", "text": "q"}  # OpenAssistant
    assert kept(root, "prompt") == ["q"]
    assert in_our_columns(root | {"parent_id": "k"}) is None
    assert in_our_columns(root | {"role": "assistant"}) is None


def test_a_column_of_another_meaning_is_left_out() -> None:
    row = {"prompt": "q", "chosen": "x", "rejected": "y", "id": {"n": 1}, "metadata": "m", "weight": "heavy"}
    assert kept(row, "id", "metadata", "weight") == [None, None, None]


def test_our_own_columns_stay() -> None:
    row = {"prompt": "q", "response_a": "x", "response_b": "y", "ratings": ["a", "tie"], "category": "maths"}
    assert in_our_columns(row) == row


def test_a_subset_is_a_category() -> None:
    assert kept({"prompt": "q", "subset": "chat"}, "category") == ["chat"]  # reward-bench
