"""A local HTTP server that speaks Anthropic's messages API and Gemini's generateContent, with faults on request.

The form of requests and answers follows the providers' published references; neither provider was reachable from where
this was written.
"""

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.backends.openai.model import OpenAIModel
from preceptor.backends.resolve import open_model

Answer = tuple[int, Any, dict[str, str]]


@dataclass
class Provider:
    """What the server says, and what goes wrong."""

    answers: tuple[str, ...] = ("1",)
    """Answered in turn."""
    faults: dict[str, list[str]] = field(default_factory=lambda: {})
    """By a part of the request: what goes wrong at the first attempts."""
    key: str | None = None
    cached: int = 0
    """Prompt tokens that are read from the cache."""
    written: int = 0
    """Prompt tokens that are written to the cache."""
    log_probs: dict[str, float] | None = None
    """Gemini: the log-probabilities of the first token."""
    at_request: Callable[[int], None] | None = None
    """Called with the number of each request, before it is answered."""


class ProviderServer(ThreadingHTTPServer):
    """Use as a context manager; `asked` has the path, headers and body of every request."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, provider: Provider) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.provider = provider
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.released = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, _, body in self.asked]

    def __enter__(self) -> "ProviderServer":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ProviderServer  # type: ignore[assignment]

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_POST(self) -> None:
        server, provider = self.server, self.server.provider
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with server.lock:
            server.asked.append((self.path, headers, body))
            number = len(server.asked)
            fault = next((f.pop(0) for part, f in provider.faults.items() if f and part in json.dumps(body)), "")
        if provider.at_request:
            provider.at_request(number)
        key = headers.get("x-api-key") or headers.get("x-goog-api-key")
        google = ":generateContent" in self.path
        if provider.key is not None and key != provider.key:
            fault = "401"
        if fault == "drop":
            self.close_connection = True
            self.connection.shutdown(2)
        elif fault == "stall":
            server.released.wait(10.0)
        elif fault == "large":
            self._send(200, b" " * (5 << 20), {})
        elif fault == "malformed":
            self._send(200, b'{"candidates": [{' if google else b'{"content": [', {})
        elif fault.startswith("to "):
            self._send(307, b"", {"Location": fault.removeprefix("to ")})
        else:
            answer = provider.answers[number % len(provider.answers)]
            status, content, more = (
                _google(provider, body, fault, answer, key)
                if google
                else _anthropic(provider, body, fault, answer, key)
            )
            self._send(status, json.dumps(content).encode(), more)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (
            {"Content-Type": "application/json", "Content-Length": str(len(content))} | headers
        ).items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(content)


THOUGHT = "Let me see."
"""Seven tokens."""
_ANTHROPIC_ERRORS = {
    "400": "invalid_request_error",
    "401": "authentication_error",
    "403": "permission_error",
    "404": "not_found_error",
    "413": "request_too_large",
    "429": "rate_limit_error",
    "500": "api_error",
    "529": "overloaded_error",
}


def _anthropic(provider: Provider, body: dict[str, Any], fault: str, answer: str, key: str | None) -> Answer:
    words = {
        "too long": "prompt is too long: 250000 tokens > 200000 maximum",
        "credit": "Your credit balance is too low",
    }
    if fault in _ANTHROPIC_ERRORS or fault in words:
        status = fault if fault.isdigit() else "400"
        message = words.get(fault, f"{fault} prompt of {key}")
        error = {"type": _ANTHROPIC_ERRORS[status], "message": message}
        more = {"retry-after": "0.01"} if fault in ("429", "529") else {}
        return int(status), {"type": "error", "error": error, "request_id": "req_1"}, more
    content = [] if fault == "refusal" else [{"type": "text", "text": answer}]
    if thinks := body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        content.insert(0, {"type": "thinking", "thinking": THOUGHT, "signature": "s"})
    usage = {
        "input_tokens": 20,
        "cache_creation_input_tokens": provider.written,
        "cache_read_input_tokens": provider.cached,
        "output_tokens": 8 if thinks else 1,
    }
    said: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"]}
    said |= {"content": content, "stop_reason": "refusal" if fault == "refusal" else "end_turn"}
    return 200, said | {"stop_sequence": None, "usage": usage}, {}


_GOOGLE_ERRORS = {
    "400": "INVALID_ARGUMENT",
    "403": "PERMISSION_DENIED",
    "404": "NOT_FOUND",
    "429": "RESOURCE_EXHAUSTED",
    "500": "INTERNAL",
    "503": "UNAVAILABLE",
}


def _google(provider: Provider, body: dict[str, Any], fault: str, answer: str, key: str | None) -> Answer:
    words = {
        "401": "API key not valid. Please pass a valid API key.",
        "too long": "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
    }
    if fault in _GOOGLE_ERRORS or fault in words:
        status = fault if fault in _GOOGLE_ERRORS else "400"
        error: dict[str, Any] = {"code": int(status), "message": words.get(fault, f"{fault} prompt of {key}")}
        error["status"] = _GOOGLE_ERRORS[status]
        if fault == "429":
            error["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.01s"}]
        return int(status), {"error": error}, {}
    usage = {"promptTokenCount": 50, "candidatesTokenCount": 1, "totalTokenCount": 51}
    parts: list[dict[str, Any]] = [{"text": answer}]
    wanted = body.get("generationConfig", {}).get("thinkingConfig", {})
    if wanted.get("thinkingBudget") or wanted.get("thinkingLevel"):
        parts.insert(0, {"text": THOUGHT, "thought": True})
        usage |= {"thoughtsTokenCount": 7, "totalTokenCount": 58}
    if provider.cached:
        usage["cachedContentTokenCount"] = provider.cached
    if fault == "refusal":
        blocked = {"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": []}}
        return 200, blocked | {"usageMetadata": usage, "modelVersion": "gemini", "responseId": "r"}, {}
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "finishReason": "STOP"}
    if provider.log_probs is not None:
        top = [{"token": t, "tokenId": i, "logProbability": p} for i, (t, p) in enumerate(provider.log_probs.items())]
        candidate["logprobsResult"] = {"topCandidates": [{"candidates": top}], "chosenCandidates": top[:1]}
    return 200, {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini", "responseId": "r"}, {}


# ---- A model at such a server

ANTHROPIC = "litellm:anthropic/claude-sonnet-4-6"
GEMINI = "litellm:gemini/gemini-2.5-flash"


@contextmanager
def provided(
    name: str = ANTHROPIC, provider: Provider | None = None, **settings: Any
) -> Generator[tuple[OpenAIModel, ProviderServer], None, None]:
    with ProviderServer(provider or Provider()) as server:
        quick = {"timeout_s": 10.0, "retries": 2, "first_wait_s": 0.001, "votes": 4}
        model = open_model(f"{name}@{server.url}", Connection.model_validate(quick | settings))
        assert isinstance(model, OpenAIModel)
        yield model, server
        model.close()
