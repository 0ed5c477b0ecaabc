"""What the served backend does not do: show a key, send it astray, guess from crumbs, ask what a server refuses."""

import pytest

from backends.fault_server import FaultServer, Script
from preceptor.backends.base import ChooseRequest, CompleteRequest, in_order
from preceptor.backends.connection import Connection
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.keys import key_for
from preceptor.backends.resolve import open_model
from preceptor.core.errors import UsageError
from preceptor.core.types import JudgeFailure, Message

FAST = Connection(retries=1, timeout_s=5.0, first_wait_s=0.001)


@pytest.mark.parametrize("key", ["clé-secret", "two words", "new\nline-secret"])
def test_a_key_that_is_none_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("PRECEPTOR_API_KEY", key)
    with pytest.raises(UsageError, match="PRECEPTOR_API_KEY") as caught:
        open_model("openai:tiny@http://127.0.0.1:9/v1")
    assert not any(part in str(caught.value) for part in ("secret", "words"))


def test_the_line_end_after_a_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEPTOR_API_KEY", "my-token\n")
    with FaultServer(Script(key="my-token")) as server:
        assert open_model(f"openai:tiny@{server.url}").chat


def test_the_key_of_openai_goes_to_openai_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hosted-key")
    monkeypatch.delenv("PRECEPTOR_API_KEY", raising=False)
    assert key_for(Address.parse("openai:gpt-4o")) == "hosted-key"
    assert key_for(Address.parse("openai:x@http://elsewhere.example/v1")) == ""


def test_no_preference_from_crumbs() -> None:
    """Most of the probability is behind a space that this server's template strips."""
    table = {"": {" ": 0.45, " 1": 0.003, " 2": 0.0005, "The": 0.5}}
    with FaultServer(Script(table=table, strips=True)) as server:
        conversation = (Message(role="user", content="Which?"),)
        request = ChooseRequest(conversation, (" 1", " 2"), prefill="Answer:")
        [result] = in_order(open_model(f"openai:tiny@{server.url}").choose([request]), 1)
    assert isinstance(result, JudgeFailure)
    assert result.reason == "invalid_log_probs"
    assert result.usage.prompt_tokens > 0  # it was paid for


def test_a_server_without_top_k_is_not_asked_for_it() -> None:
    with FaultServer(Script(strict=True)) as server:
        model = open_model(f"openai:tiny@{server.url}")
        asked = len(server.asked)
        with pytest.raises(UsageError, match="set top_k = 0"):
            list(model.complete([CompleteRequest("Answer:", 4, temperature=1.0, top_k=40)]))
        model.chat  # noqa: B018
        assert all(body["max_tokens"] <= 16 for body in server.asked[asked:])


def test_an_endpoint_that_breaks_is_one_that_is_not_there() -> None:
    with FaultServer(Script(faults={'"prompt": "Hi"': ["500"] * 50})) as server:
        model = open_model(f"openai:tiny@{server.url}", FAST)
        assert model.chat
