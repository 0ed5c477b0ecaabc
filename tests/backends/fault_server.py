"""A real HTTP server with the OpenAI API, a tiny model behind it, and faults on request."""

import gzip
import json
import math
import re
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeAlias

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, in_order
from preceptor.backends.connection import Connection
from preceptor.backends.openai.model import OpenAIModel
from preceptor.backends.resolve import open_model
from preceptor.core.types import JudgeFailure

End = ""
"""The token that ends an answer."""
LARGE = 5 << 20
"""Bytes of an answer that is too large."""
TokenTable: TypeAlias = dict[str, dict[str, float]]
"""What has been said of the answer, to the probabilities of the next token."""

# P(" 1") = 0.5 + 0.1 * 0.5 = 0.55, of which a fifth goes on to " 10".
TABLE: TokenTable = {
    "": {" 1": 0.5, " 2": 0.3, " ": 0.1, "A": 0.06, "B": 0.04},
    " 1": {"0": 0.2, End: 0.8},
    " ": {"1": 0.5, "2": 0.3, "3": 0.2},
}


@dataclass
class Script:
    """What the server is, and what it does wrong."""

    table: TokenTable = field(default_factory=lambda: TABLE)
    votes: tuple[str, ...] = ("1",)
    """Sampled answers, by seed."""
    prefill: str = "vllm"
    """How a begun answer is continued: `vllm` by flags, `plain` by itself, `none`."""
    most_listed: int = 20
    """Tokens it may be asked to list; more is a 400. 0: it leaves log-probabilities out without a word."""
    most_listed_text: int | None = None
    """The same of plain text; None where it is the same."""
    strict: bool = False
    """Whether it refuses settings that are not in the API."""
    schemas: bool = True
    """Whether it takes a JSON schema for its answer."""
    strips: bool = False
    """Whether the chat template strips the begun answer."""
    echoes: bool = False
    """Whether it repeats the begun answer."""
    older_lists: bool = True
    """Whether /completions answers in the API's older form."""
    has_chat: bool = True
    has_text: bool = True
    models: tuple[dict[str, Any], ...] = ({"id": "tiny", "max_model_len": 512},)
    models_status: int = 200
    key: str | None = None
    """The key that it wants."""
    faults: dict[str, list[str]] = field(default_factory=lambda: {})
    """By a part of the prompt: what goes wrong at the first attempts."""
    thinker: Callable[[dict[str, Any]], tuple[int, Any]] | None = None
    """Answers conversations in place of the table."""
    dies_after: int | None = None
    """Questions it answers before it is gone."""
    bytes_per_token: int = 1
    most_at_once: int | None = None
    """Questions that it answers at once; more get a 429."""
    gathers: int = 0
    """Holds answers back until so many requests have been there at once."""


class FaultServer(ThreadingHTTPServer):
    """Use as a context manager; `asked` has the bodies of all questions, attempts that went wrong included, and
    `headers` the last ones that were sent.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, script: Script, handler: "type[FaultHandler] | None" = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or FaultHandler)
        self.script = script
        self.asked: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.in_flight = self.most_in_flight = 0
        self.gone = False
        self.changed = threading.Condition()
        self.released = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class FaultHandler(BaseHTTPRequestHandler):
    """Answers as its server's script says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultServer  # type: ignore[assignment]

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        script = self.server.script
        if not self._may():
            return
        if script.models_status != 200:
            self._json({"error": {"message": "no list"}}, script.models_status)
        else:
            self._json({"object": "list", "data": list(script.models)})

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.changed:
            server.asked.append(body)
            server.gone |= server.script.dies_after is not None and len(server.asked) > server.script.dies_after
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
            server.changed.notify_all()
            server.changed.wait_for(lambda: server.most_in_flight >= server.script.gathers, timeout=20)
            fault = self._next_fault(json.dumps(body))
            if server.script.most_at_once and server.in_flight > server.script.most_at_once:
                fault = "429"
        try:
            if server.gone:
                server.socket.close()
                self._drop()
            elif self._may():
                self._answer(body, fault)
        finally:
            with server.changed:
                server.in_flight -= 1

    def _next_fault(self, text: str) -> str:
        for part, faults in self.server.script.faults.items():
            if part in text and faults:
                return faults.pop(0)
        return ""

    def _may(self) -> bool:
        key = self.server.script.key
        self.server.headers = {name.lower(): value for name, value in self.headers.items()}
        sent = self.headers["Authorization"]
        if key is not None and sent != f"Bearer {key}":
            self._json({"error": {"message": f"Incorrect API key provided: {sent}"}}, 401)
            return False
        return True

    def _answer(self, body: dict[str, Any], fault: str) -> None:
        if fault == "drop":
            self._drop()
        elif fault == "stall":
            self.server.released.wait(5.0)
        elif fault.isdigit():
            message = {"message": f"{fault} for {self.headers['Authorization']}", "code": "a_code"}
            self._json({"error": message}, int(fault), {"Retry-After": "0.01"} if fault == "429" else {})
        elif fault.startswith("400 "):
            self._json(json.loads(fault.removeprefix("400 ")), 400)
        elif fault == "tomorrow":
            self._json({"error": {"message": "enough for today"}}, 429, {"Retry-After": "86400"})
        elif fault == "quota":
            self._json({"error": {"message": "no credit", "code": "insufficient_quota"}}, 429)
        elif fault == "too_long":
            self._json({"error": {"message": "This model's maximum context length is 512 tokens."}}, 400)
        elif fault == "html":
            self._send(b"<html>Please log in</html>", 200, {"Content-Type": "text/html"})
        elif fault == "malformed":
            self._send(b'{"choices": [', 200)
        elif fault.startswith("to "):
            self._send(b"", 307, {"Location": fault.removeprefix("to ")})
        elif fault == "drip":
            self._drip()
        elif fault == "large":
            self._send(b" " * LARGE, 200)
        elif fault.startswith("bomb"):
            bomb = gzip.compress(b" " * LARGE)
            self._send(bomb, int(fault.removeprefix("bomb ")), {"Content-Encoding": "gzip"})
        elif fault.startswith("gzip "):
            self._send(gzip.compress(fault.removeprefix("gzip ").encode()), 200, {"Content-Encoding": "gzip"})
        elif fault.startswith("{"):
            self._send(fault.encode(), 200)
        elif fault == "truncated":
            self._send(b'{"choices": [', 200, {"Content-Length": "1000"})
            self._drop()
        else:
            status, content = answered(self.server.script, body, chat="chat" in self.path)
            self._spoil(content, fault, status)

    def _spoil(self, content: Any, fault: str, status: int) -> None:
        if fault == "echo":  # the key, and what it looks like in JSON
            content["choices"][0]["message"]["content"] = f"As {self.headers['Authorization']} says."
        text = json.dumps(_spoilt(content, fault))
        if fault.startswith("usage "):  # as text: Python would not write all of these
            text = re.sub(r'"usage": \{[^}]*\}', '"usage": ' + fault.removeprefix("usage "), text)
        self._send(text.encode(), status)

    def _drip(self) -> None:
        """A body that comes a byte at a time, for ever."""
        self.send_response(200)
        self.send_header("Content-Length", str(LARGE))
        self.end_headers()
        with suppress(OSError):
            while not self.server.released.wait(0.02):
                self.wfile.write(b" ")

    def _drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(2)

    def _json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(content).encode(), status, headers)

    def _send(self, content: bytes, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (
            {"Content-Type": "application/json", "Content-Length": len(content)} | (headers or {})
        ).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)


def answered(script: Script, body: dict[str, Any], *, chat: bool) -> tuple[int, Any]:
    """The status and the model's answer, or a refusal."""
    if script.thinker and chat:
        return script.thinker(body)
    listed = int(body.get("top_logprobs" if chat else "logprobs", 0))
    if not (script.has_chat if chat else script.has_text):
        return 400, {"error": {"message": "no chat template" if chat else "this model takes conversations only"}}
    if script.strict and {"top_k", "continue_final_message"} & body.keys():
        return 400, {"error": {"message": "unrecognized request argument"}}
    if not script.schemas and "response_format" in body:
        return 400, {"error": {"message": "response_format is not supported"}}
    most = script.most_listed if chat or script.most_listed_text is None else script.most_listed_text
    if most and listed > most:
        return 400, {"error": {"message": f"top_logprobs must be at most {most}"}}
    prompt_tokens, begun = _read(script, body, chat=chat)
    tokens, tops = _say(script, body, begun)
    text = "".join(tokens)
    if script.echoes and chat and body["messages"][-1]["role"] == "assistant":
        text = body["messages"][-1]["content"] + text
    choice: dict[str, Any] = {"finish_reason": "length" if len(tokens) == body["max_tokens"] else "stop"}
    choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    if listed and most:
        logs = [{t: math.log(p) for t, p in sorted(top.items(), key=lambda item: -item[1])[:listed]} for top in tops]
        choice["logprobs"] = _older(tokens, logs) if script.older_lists and not chat else _newer(tokens, logs)
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(tokens)}
    return 200, {"choices": [choice], "usage": usage}


def _read(script: Script, body: dict[str, Any], *, chat: bool) -> tuple[int, str]:
    """Prompt tokens (a byte each, four around a message), and what has been said of the answer."""
    if not chat:
        return len(body["prompt"]) // script.bytes_per_token, body["prompt"].rpartition("Answer:")[2]
    messages = body["messages"]
    tokens = sum(len(message["content"]) + 4 for message in messages) + 4
    begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else None
    flags = bool(body.get("continue_final_message")) and body.get("add_generation_prompt") is False
    if begun is None or script.prefill == "none" or (script.prefill == "vllm" and not flags):
        return tokens, ""
    if script.strips:
        tokens -= len(begun) - len(begun.rstrip())
        begun = begun.rstrip()
    return tokens - 8 + 4, begun.rpartition("Answer:")[2]


def _say(script: Script, body: dict[str, Any], begun: str) -> tuple[list[str], list[dict[str, float]]]:
    if body.get("temperature", 1.0) > 0.0:
        answer = script.votes[int(body.get("seed", 0)) % len(script.votes)]
        return [answer], [{answer: 1.0}]
    tokens: list[str] = []
    tops: list[dict[str, float]] = []
    while len(tokens) < body["max_tokens"] and (not tokens or tokens[-1] != End):
        tops.append(script.table.get(begun, {End: 0.9, "\n": 0.1}))
        tokens.append(max(tops[-1], key=lambda token: tops[-1][token]))
        begun += tokens[-1]
    return tokens, tops


def _older(tokens: list[str], logs: list[dict[str, float]]) -> Any:
    return {"tokens": tokens, "top_logprobs": logs, "token_logprobs": [max(top.values()) for top in logs]}


def _newer(tokens: list[str], logs: list[dict[str, float]]) -> Any:
    lists = [[{"token": t, "logprob": lp, "bytes": list(t.encode())} for t, lp in top.items()] for top in logs]
    return {"content": [{"token": t, "top_logprobs": top} for t, top in zip(tokens, lists, strict=True)]}


def _spoilt(content: Any, fault: str) -> Any:
    """An answer with something wrong in it."""
    if fault == "no choices":
        content["choices"] = []
    elif fault == "an error with status 200":
        return {"error": {"message": "upstream"}}
    elif fault == "no usage":
        del content["usage"]
    elif fault.startswith("words "):
        content["choices"][0]["message"]["content"] = "w" * int(fault.removeprefix("words "))
    elif fault == "silent":
        content["choices"][0]["message"]["content"] = None
    elif fault == "missing":
        content["choices"][0]["logprobs"] = None
    elif fault in ("nan", "positive", "text", "too much"):
        value = {"nan": math.nan, "positive": 0.7, "text": "high", "too much": -0.1}[fault]
        for token in content["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
            token["logprob"] = value
    elif fault == "fewer":
        del content["choices"][0]["logprobs"]["content"][0]["top_logprobs"][1:]
    return content


# ---- A model at such a server, and what tests say to it


@contextmanager
def serving(script: Script | None = None, **settings: Any) -> Generator[tuple[OpenAIModel, FaultServer], None, None]:
    with FaultServer(script or Script()) as server:
        model = open_model(
            f"openai:tiny@{server.url}",
            Connection.model_validate({"timeout_s": 10.0, "retries": 3, "first_wait_s": 0.001} | settings),
        )
        assert isinstance(model, OpenAIModel)
        yield model, server
        model.close()


def choose(model: OpenAIModel, *requests: ChooseRequest) -> list[ChoiceLogProbs | JudgeFailure]:
    return in_order(model.choose(requests), len(requests))


def probabilities(result: ChoiceLogProbs | JudgeFailure) -> list[float]:
    assert isinstance(result, ChoiceLogProbs), result
    return [math.exp(log_prob) for log_prob in result.log_probs]


def failure(result: object) -> JudgeFailure:
    assert isinstance(result, JudgeFailure), result
    assert len(result.detail) <= 300
    assert "\n" not in result.detail
    return result


def questions(count: int) -> list[ChooseRequest]:
    return [ChooseRequest(f"Question <{i}> Answer:", ("A", "B")) for i in range(count)]
