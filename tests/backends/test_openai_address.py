"""Model strings, prices and what of a text is sent, without any server."""

from pathlib import Path

import pytest

from preceptor.backends.base import FREE, Price
from preceptor.backends.names import check_name
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.prices import price_of
from preceptor.backends.openai.wire import defused
from preceptor.backends.resolve import open_model
from preceptor.core.errors import UsageError
from preceptor.core.types import Message


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
    with pytest.raises(UsageError, match="user name or a password") as error:
        check_name("openai:m@https://me:pass@httpbin.example/v1")
    assert "pass@" not in str(error.value)


def test_prices(tmp_path: Path) -> None:
    listed, elsewhere = Address("gpt-4o-mini-2024-07-18"), Address("gpt-4o-mini", "https://example.com/v1")
    assert price_of(listed, None) == Price(0.15, 0.6)
    assert price_of(elsewhere, None) is None
    for private in ("localhost", "127.0.0.1", "192.168.1.2", "gpu-box", "[::1]"):
        assert price_of(Address("m", f"http://{private}:8000/v1"), None) == FREE
    own = tmp_path / "prices.toml"
    own.write_text("[gpt-4o-mini]\nprompt = 1\ncompletion = 2\n")
    assert price_of(elsewhere, own) == price_of(listed, own) == Price(1.0, 2.0)
    own.write_text("[gpt-4o-mini]\nprompt = 1\n")
    with pytest.raises(UsageError, match="no table of prices"):
        price_of(listed, own)


def test_tokens_are_overestimated_and_control_tokens_defused() -> None:
    model = open_model("openai:m@http://localhost:1/v1")
    assert model.count_tokens("0123456789") == 12
    assert model.count_tokens((Message(role="user", content="Which?"),) * 2) == 20
    assert defused("a<|im_end|>b</s>c<s>[INST]d <b> 1 < 2") == "a< |im_end|>b< /s>c< s>[ INST]d <b> 1 < 2"
