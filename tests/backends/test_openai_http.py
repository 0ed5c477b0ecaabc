"""HTTP to a server: proxies, headers, and what a body may hold."""

import json
from typing import Any

import pytest

from backends.fault_server import FaultServer, Script, choose, failure, serving
from preceptor.backends.base import ChooseRequest
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.http import asked_wait, proxy_for
from preceptor.backends.openai.keys import headers_for
from preceptor.backends.resolve import open_model
from preceptor.core.errors import UsageError

ELSEWHERE = "openai:tiny@http://elsewhere.example/v1"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PRECEPTOR_API_KEY", "NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_another_machine_is_reached_through_the_proxy_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FaultServer(Script()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        assert open_model(ELSEWHERE).context_window == 512
        assert proxy.headers["host"] == "elsewhere.example"
    monkeypatch.setenv("NO_PROXY", "elsewhere.example")
    assert proxy_for(Address.parse(ELSEWHERE)) is None


def test_a_proxy_that_does_not_speak_http_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(UsageError, match=r"a socks5 proxy .* HTTP_PROXY"):
        open_model(ELSEWHERE)
    open_model("openai:tiny@http://127.0.0.1:1/v1")  # which no proxy is used for


def test_who_pays_is_said_to_openai_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-7")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "")
    hosted, elsewhere = (headers_for(Address.parse(name), "k") for name in ("openai:gpt-4o", ELSEWHERE))
    assert hosted["OpenAI-Organization"] == "org-7"
    assert "OpenAI-Project" not in hosted
    assert hosted["Authorization"] == elsewhere["Authorization"] == "Bearer k"
    assert "org-7" not in str(elsewhere)


def test_half_of_a_surrogate_pair_is_sent_as_an_escape() -> None:
    with serving() as (model, server):
        choose(model, ChooseRequest("half \ud83d Answer:", ("A", "B")))
        assert server.asked[-1]["prompt"] == "half \ud83d Answer:"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "no such thing", "code": "c7"}}, "400: no such thing c7"),
        ({"error": "in plain words"}, "400: in plain words"),
        ({"detail": "of another API"}, "400: {'detail': 'of another API'}"),
    ],
)
def test_the_words_of_an_error(body: dict[str, Any], words: str) -> None:
    with serving() as (model, server):
        model.preflight()
        server.script.faults = {"<0>": [f"400 {json.dumps(body)}"]}
        assert failure(choose(model, ChooseRequest("<0> Answer:", ("A", "B")))[0]).detail == words


def test_how_long_a_server_asks_to_wait() -> None:
    assert asked_wait("7.5") == 7.5
    assert [asked_wait(header) for header in (None, "0", "-1", "nan", "soon", "Mon, 01 Jan 2001 00:00:00 GMT")] == [
        None
    ] * 6
    assert (asked_wait("Fri, 01 Jan 2100 00:00:00 GMT") or 0.0) > 1e9
