"""OpenRLHF's protocol, as its client speaks it: texts with special tokens, an address and nothing else."""

from pathlib import Path

import pytest

import preceptor as pc
from backends.fault_server import FaultServer, Script
from preceptor.core.types import Message
from preceptor.serve.openrlhf import messages_in, response_in
from serve.test_faults import JUDGE, served
from serve_small import client

CHATML = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\n"
LLAMA = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nSay hi.<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
GEMMA = "<bos><start_of_turn>user\nSay hi.<end_of_turn>\n<start_of_turn>model\n"


@pytest.mark.parametrize(
    ("prompt", "end"), [(CHATML, "<|im_end|>\n"), (LLAMA, "<|eot_id|>"), (GEMMA, "<end_of_turn>\n")]
)
def test_the_judge_sees_what_the_policy_was_asked_and_said(tmp_path: Path, prompt: str, end: str) -> None:
    asked_for = [Message(role="user", content="Say hi.")]
    if prompt == CHATML:
        asked_for.insert(0, Message(role="system", content="Be brief."))
    expected = pc.Judge("scripted:random").reward([asked_for], ["Hi <b>there</b>!"])
    body = {"query": [f"{prompt}Hi <b>there</b>!{end}"], "prompts": [prompt], "labels": [None]}
    with client(tmp_path) as asked:
        answer = asked.post("/v1/openrlhf", json=body).json()
        named = asked.post("/v1/openrlhf/helpful", json=body).json()
    assert answer == named == {"rewards": expected, "scores": expected, "extra_logs": {}}


def test_the_response_is_what_follows_the_prompt_without_special_tokens() -> None:
    assert response_in("<s>Say hi.Hi!</s><pad><pad>", "Say hi.") == "Hi!"
    assert response_in("Say hi. <a> and <b>", "Say hi.") == "<a> and <b>"
    assert response_in("hi.Hi!", "Say hi.") is None


def test_thousands_of_special_tokens_are_read_at_once() -> None:
    assert response_in("q" + "Hi" + "</s> " * 50_000, "q") == "Hi"
    begun = "<|im_start|>user\n" * 50_000
    assert messages_in(begun) == begun


def test_a_template_that_is_not_known_is_shown_as_it_is() -> None:
    assert messages_in("Human: Say hi.\nAI:") == "Human: Say hi.\nAI:"


def test_where_there_is_no_reward_the_client_is_told_to_ask_again_or_not(tmp_path: Path) -> None:
    bodies = [
        {"query": [f"Say hi.{word}"], "prompts": ["Say hi."], "labels": [""]} for word in ("Hi.", "<bad>", "<long>")
    ]
    with FaultServer(Script(table=JUDGE)) as server, served(tmp_path, server) as asked:
        server.script.faults = {"<bad>": ["500"] * 3, "<long>": ["too_long"] * 9}
        fine, transient, hopeless = (asked.post("/v1/openrlhf", json=body) for body in bodies)
        again = asked.post("/v1/openrlhf", json=bodies[1])
    assert fine.json()["rewards"] == [pytest.approx(0.0, abs=0.02)]
    assert (transient.status_code, transient.headers["retry-after"]) == (503, "1")
    assert "500" in transient.json()["error"]
    assert (hopeless.status_code, "prompt_too_long" in hopeless.json()["error"]) == (422, True)
    assert again.json()["rewards"] == [pytest.approx(0.0, abs=0.02)]
