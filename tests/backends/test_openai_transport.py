"""A model over a transport that is not HTTP: retries, spending and masking are the same."""

import asyncio
import json

import pytest
from pydantic import BaseModel

from backends.fault_server import choose, failure, probabilities
from preceptor.backends.base import UNWANTED, ChooseRequest
from preceptor.backends.connection import Connection
from preceptor.backends.openai.abilities import ASSUMED
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.client import Client, UnavailableError
from preceptor.backends.openai.keys import NO_KEY
from preceptor.backends.openai.model import OpenAIModel
from preceptor.backends.openai.transport import NoAnswerError, StatusError
from preceptor.core.abandoning import Work
from preceptor.core.errors import PreceptorError
from preceptor.core.types import JsonObject, Message

KEY = "a-token-0123456789"
ASKED = ChooseRequest((Message(role="user", content="Which?"),), ("1", "2"))
LISTED = [{"token": "1", "logprob": -0.5}, {"token": "2", "logprob": -1.0}]
ANSWER = {
    "choices": [{"message": {"content": "1"}, "logprobs": {"content": [{"token": "1", "top_logprobs": LISTED}]}}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 1},
}


class Listed(BaseModel):
    object: str


class Scripted:
    """Gives prepared answers in turn, or raises prepared errors."""

    def __init__(self, *answers: Exception | object) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, JsonObject | None]] = []
        self.closed = False

    async def send(self, path: str, body: JsonObject | None) -> bytes:
        self.sent.append((path, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return json.dumps(answer).encode()

    async def close(self) -> None:
        self.closed = True


def model_over(transport: Scripted, monkeypatch: pytest.MonkeyPatch) -> OpenAIModel:
    monkeypatch.setenv("PRECEPTOR_API_KEY", KEY)
    quick = Connection(retries=2, first_wait_s=0.0)
    return OpenAIModel(Address.parse("openai:tiny@http://localhost:1/v1"), quick, ASSUMED, transport)


def test_temporary_errors_are_tried_again_and_those_that_were_sent_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    unsent, lost = NoAnswerError("no way", reached=False), NoAnswerError("it broke off")
    transport = Scripted(unsent, lost, ANSWER)
    model = model_over(transport, monkeypatch)
    (result,) = choose(model, ASKED)
    assert probabilities(result) == pytest.approx([0.6065, 0.3679], abs=1e-4)
    assert result.usage.prompt_tokens == 7 + (8 + 2)  # the answer's, and an estimate for the attempt that broke off
    assert [path for path, _ in transport.sent] == ["/chat/completions"] * 3
    assert transport.sent[0] == transport.sent[2]
    model.close()
    assert transport.closed


def test_the_key_is_masked_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    (result,) = choose(model_over(Scripted(StatusError(400, f"no {KEY}")), monkeypatch), ASKED)
    assert failure(result).detail == "400: no ***"
    with pytest.raises(PreceptorError, match="asks for payment") as error:
        choose(model_over(Scripted(StatusError(402, f"for {KEY}")), monkeypatch), ASKED)
    assert KEY not in str(error.value)


def test_a_server_that_asks_to_wait_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = Scripted(StatusError(429, "enough for today", wait_s=86_400.0))
    (result,) = choose(model_over(transport, monkeypatch), ASKED)
    assert "86400 s" in failure(result).detail
    assert len(transport.sent) == 1


def test_a_server_that_was_gone_is_tried_again_from_time_to_time() -> None:
    now, gone = [0.0], NoAnswerError("no way", reached=False)
    transport = Scripted(gone, gone, gone, {"object": "list"}, {"object": "list"})
    address = Address.parse("openai:tiny@http://localhost:1/v1")
    client = Client(address, Connection(retries=0, concurrency=1), NO_KEY, transport, clock=lambda: now[0])

    async def ask() -> bool:
        try:
            await client.call("/models", Listed)
        except UnavailableError:
            return False
        return True

    async def ask_at(*seconds: float) -> list[tuple[bool, int]]:
        outcomes: list[tuple[bool, int]] = []
        for now[0] in seconds:
            outcomes.append((await ask(), len(transport.sent)))
        return outcomes

    lost = [(False, 1), (False, 2), (False, 2), (False, 2)]  # given up after two in a row
    found = [(False, 3), (False, 3), (True, 4), (True, 5)]
    assert asyncio.run(ask_at(0, 1, 2, 10, 11, 12, 21, 22)) == lost + found


def test_what_nobody_waits_for_any_more_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work()

    class Leaving(Scripted):
        async def send(self, path: str, body: JsonObject | None) -> bytes:
            work.abandon()  # while the first attempt is with the server
            return await super().send(path, body)

    transport = Leaving(ANSWER)
    with work.under_way():
        first, *others = choose(model_over(transport, monkeypatch), *[ASKED] * 20)
    assert probabilities(first) == pytest.approx([0.6065, 0.3679], abs=1e-4)
    assert {failure(other).detail for other in others} == {UNWANTED.detail}
    assert len(transport.sent) == 1
