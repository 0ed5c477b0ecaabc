"""Servers of models that think, as the common ones behave: what each takes, refuses and answers."""

import math
from dataclasses import dataclass, field
from typing import Any

STANDARD = {"model", "messages", "max_tokens", "max_completion_tokens", "stop", "response_format"}
SAMPLING = {"temperature", "top_p", "top_k", "min_p", "repetition_penalty"}


@dataclass
class Thinker:
    """A model that thinks three tokens, and answers by the seed of the request."""

    takes: set[str]
    """Fields beyond the standard ones; any other is a 400."""
    by: str = "always"
    """The field that makes it think: `effort`, `template`, `thinking`; `always`; `never`."""
    shows: str = "reasoning_content"
    """Where its thought is: in `reasoning_content`, in `reasoning`, between tags in the text, or `hidden`."""
    default: bool = False
    """Whether it thinks if nothing is said."""
    lists: bool = False
    """Whether it lists the most probable tokens."""
    answers: tuple[str, ...] = ("1",)
    """By seed."""
    top: dict[str, float] = field(default_factory=lambda: {"1": 0.7, "2": 0.2, "The": 0.1})
    endless: int = 0
    """How many of the answers never end their thought, from the first seed."""
    apart: bool = False
    """Whether `completion_tokens` leaves the thought out."""
    asked: list[dict[str, Any]] = field(default_factory=lambda: [])
    """The requests about something else than sheep."""

    def __call__(self, body: dict[str, Any]) -> tuple[int, Any]:
        if refused := body.keys() - STANDARD - self.takes:
            return 400, {"error": {"message": f"unknown parameter {sorted(refused)[0]}"}}
        probing = "sheep" in body["messages"][-1]["content"] or body["messages"][0]["content"] == "Hi"
        if not probing:
            self.asked.append(body)
        seed = int(body.get("seed", 0))
        limit = int(body.get("max_tokens") or body["max_completion_tokens"])
        endless = not probing and seed < self.endless
        return 200, self._answer(body, self.answers[seed % len(self.answers)], self._thinks(body), limit, endless)

    def _thinks(self, body: dict[str, Any]) -> bool:
        if self.by in ("always", "never"):
            return self.by == "always"
        if self.by == "effort" and "reasoning_effort" in body:
            return body["reasoning_effort"] not in ("none", "minimal")
        if self.by == "thinking" and "thinking" in body:
            return body["thinking"]["type"] == "enabled"
        if self.by == "template" and "chat_template_kwargs" in body:
            return body["chat_template_kwargs"]["enable_thinking"] is True
        return self.default

    def _answer(self, body: dict[str, Any], said: str, thinks: bool, limit: int, endless: bool) -> dict[str, Any]:
        thought = ["Let", " me", " see"] if thinks else []
        cut = thinks and (endless or limit <= len(thought))
        message: dict[str, Any] = {"role": "assistant", "content": None if cut else said}
        shown = "".join(thought)
        if thinks and self.shows in ("reasoning_content", "reasoning"):
            message[self.shows] = shown
        elif thinks and self.shows == "tags":
            message["content"] = f"<think>\n{shown}" if cut else f"<think>\n{shown}\n</think>\n\n{said}"
        choice: dict[str, Any] = {"message": message, "finish_reason": "length" if cut else "stop"}
        if body.get("logprobs") and self.lists:
            before = (*thought, "</think>", "\n\n") if thinks else ()
            choice["logprobs"] = {"content": [self._listed(token) for token in before]}
            choice["logprobs"]["content"] += [self._listed(said, self.top), self._listed("<|im_end|>")]
        usage: dict[str, Any] = {"prompt_tokens": 40, "completion_tokens": 1 if self.apart else len(thought) + 1}
        usage["total_tokens"] = 40 + len(thought) + 1
        if thinks:
            usage["completion_tokens_details"] = {"reasoning_tokens": len(thought)}
        return {"choices": [choice], "usage": usage}

    def _listed(self, token: str, top: dict[str, float] | None = None) -> dict[str, Any]:
        listed = [{"token": t, "logprob": math.log(p)} for t, p in (top or {token: 0.9, "x": 0.1}).items()]
        return {"token": token, "logprob": listed[0]["logprob"], "top_logprobs": listed}


def openai_like() -> Thinker:
    """Takes an effort; refuses temperatures, seeds and log-probabilities; hides the thought."""
    return Thinker({"reasoning_effort"}, by="effort", shows="hidden", default=True)


def vllm_like(*, budget: bool = False) -> Thinker:
    """Takes nearly everything, and lists tokens; a thinking budget only if it was started with one."""
    budgets = {"thinking_token_budget"} if budget else set[str]()
    taken = {"chat_template_kwargs", "reasoning_effort", "seed", "logprobs", "top_logprobs"} | SAMPLING | budgets
    return Thinker(taken, by="template", lists=True)


def anthropic_like() -> Thinker:
    """Takes a budget of thinking, and neither temperature nor seed beside it."""
    return Thinker({"thinking"}, by="thinking", apart=True)


def deepseek_like() -> Thinker:
    """Always thinks; the server leaves the thought between tags."""
    return Thinker({"temperature", "top_p", "seed"}, by="always", shows="tags")


def plain() -> Thinker:
    """Takes any field, and never thinks."""
    return Thinker(vllm_like(budget=True).takes | {"thinking"}, by="never", lists=True)
