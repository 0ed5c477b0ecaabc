"""Model strings, keys, prices, a list of models, and what of a text is sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from backends.fault_server import FaultServer, Script
from preceptor.backends.base import FREE, Price
from preceptor.backends.names import check_name
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.answers import ModelCard
from preceptor.backends.openai.keys import key_for, words_without
from preceptor.backends.openai.prices import price_of
from preceptor.backends.openai.wire import question
from preceptor.backends.resolve import open_model
from preceptor.core.control_tokens import defused
from preceptor.core.errors import UsageError
from preceptor.core.types import FunctionCall, Message, ToolCall


def test_model_strings() -> None:
    assert Address.parse("openai:gpt-4o") == Address("gpt-4o", "https://api.openai.com/v1")
    assert Address.parse("openai:org/m:8b@http://localhost:8000/v1/") == Address("org/m:8b", "http://localhost:8000/v1")
    check_name("openai:m@https://example.com/v1")
    for wrong in (
        "openai:",
        "openai:@http://x/v1",
        "openai:m@http://",
        "openai:m@http://h:x/v1",
        "openai:m@http://h?k=1",
    ):
        with pytest.raises(UsageError, match="openai:"):
            check_name(wrong)
    for host, variable in (("httpbin.example", "PRECEPTOR_API_KEY"), ("api.openai.com", "OPENAI_API_KEY")):
        with pytest.raises(UsageError, match=f"user name or a password.* variable {variable}") as error:
            check_name(f"openai:m@https://me:pass@{host}/v1")
        assert "pass@" not in str(error.value)


@pytest.mark.parametrize(
    ("model", "variable"), [("openai:m", "OPENAI_API_KEY"), ("openai:m@http://h/v1", "PRECEPTOR_API_KEY")]
)
@pytest.mark.parametrize("key", ["s\u00e9cret-key", "secret key", "secret\nkey"])
def test_a_key_that_no_header_can_hold(monkeypatch: pytest.MonkeyPatch, model: str, variable: str, key: str) -> None:
    monkeypatch.setenv(variable, key)
    with pytest.raises(UsageError, match=f"variable {variable} holds no valid key") as error:
        open_model(model)
    assert "\n" not in str(error.value)
    assert "cret" not in str(error.value)


def test_a_key_is_masked_in_every_form_it_is_quoted_in(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "my\\secret'\"token"
    monkeypatch.setenv("PRECEPTOR_API_KEY", f" {key}\n")
    address = Address("m", "http://localhost:1/v1")
    assert key_for(address) == key
    shown = words_without(key, f"{key} {key!r} {json.dumps(key)} {key.encode()!r}")
    assert "token" not in shown
    assert shown.count("***") == 4


def test_nothing_that_is_for_openai_goes_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other clients of this API send all of these to any server, the custom Authorization in place of the key."""
    custom = "authorization: Bearer for-openai-a\nX-Token: for-openai-b\n"
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", custom)
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", f"for-openai-{name}")
    for key, sent in (("", "Bearer none"), ("own-key", "Bearer own-key")):
        monkeypatch.setenv("PRECEPTOR_API_KEY", key)
        with FaultServer(Script()) as server:
            assert open_model(f"openai:tiny@{server.url}").chat
        assert server.headers["authorization"] == sent
        assert "for-openai" not in str(server.headers)


def test_the_window_is_the_one_that_a_server_runs_with() -> None:
    windows = {
        '{"id": "m", "max_model_len": 512}': 512,
        '{"id": "m", "meta": {"n_ctx": 4096, "n_ctx_train": 131072}}': 4096,
        '{"id": "m", "meta": {"n_ctx_train": 131072}}': None,
    }
    assert {text: ModelCard.model_validate_json(text).context_window for text in windows} == windows


def test_prices(tmp_path: Path) -> None:
    listed, elsewhere = Address("gpt-4o-mini-2024-07-18"), Address("gpt-4o-mini", "https://example.com/v1")
    assert price_of(listed, None) == Price(0.15, 0.6, cached=0.075)
    assert price_of(elsewhere, None) is None
    for private in ("localhost", "127.0.0.1", "192.168.1.2", "gpu-box", "[::1]"):
        assert price_of(Address("m", f"http://{private}:8000/v1"), None) == FREE
    may, august = Address("gpt-4o-2024-05-13"), Address("gpt-4o-2024-08-06")
    assert (price_of(may, None), price_of(august, None)) == (Price(5.0, 15.0), Price(2.5, 10.0, cached=1.25))
    for unknown in ("gpt-4o-audio-preview-2024-12-17", "gpt-3.5-turbo-0125", "gpt-4o-2024-08"):
        assert price_of(Address(unknown), None) is None
    own = tmp_path / "prices.toml"
    own.write_text("[gpt-4o]\nprompt = 1\ncompletion = 2\n")
    assert (price_of(may, own), price_of(august, own)) == (Price(5.0, 15.0), Price(1.0, 2.0))
    own.write_text("[gpt-4o-mini]\nprompt = 1\ncompletion = 2\n")
    assert price_of(elsewhere, own) == price_of(listed, own) == Price(1.0, 2.0)
    own.write_text("[gpt-4o-mini]\nprompt = 1\n")
    with pytest.raises(UsageError, match="not a table of prices"):
        price_of(listed, own)


def test_tokens_are_overestimated_and_control_tokens_defused() -> None:
    model = open_model("openai:m@http://localhost:1/v1")
    assert model.count_tokens("0123456789") == 12
    assert model.count_tokens((Message(role="user", content="Which?"),) * 2) == 20
    assert defused("a<|im_end|>b</s>c<s>[INST]d <b> 1 < 2") == "a< |im_end|>b< /s>c< s>[ INST]d <b> 1 < 2"


def test_no_part_of_a_message_reaches_a_server_as_a_control_token() -> None:
    token = "<|im_end|>"
    call = ToolCall(id=token, function=FunctionCall(name=token, arguments=f'{{"x": "{token}"}}'))
    conversation = (
        Message(role="user", content=token),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content=token, tool_call_id=token, name=token),
        Message(role="user", content="plain <b>"),
    )
    body: dict[str, Any] = question("m", conversation, "", {})[1]
    assert token not in json.dumps(body)
    assert json.dumps(body).count("< |im_end|>") == 7
    assert body["messages"][3] == {"role": "user", "content": "plain <b>"}
    assert json.loads(body["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"x": "< |im_end|>"}
