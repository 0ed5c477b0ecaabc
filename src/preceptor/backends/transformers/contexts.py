"""What stands before an answer, as token ids: the prompt, and the thought of a model that thinks first.

A thought is sampled as the model's makers recommend (`generation_config`), otherwise from the model's own distribution:
greedy decoding drives many of these models into repetition. It is decoded to its limit of tokens at most, and closed
with the template's own tag, whether it ended by itself or not. What the model thought is text from the model, which may
quote a candidate: control tokens in it are left out, and what the answer follows is the text that is recorded.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from preceptor.backends.base import ChooseRequest, CompleteRequest, Thinking
from preceptor.backends.transformers.chat import encode_prompt
from preceptor.backends.transformers.sampling import SampledResponse, sample_each
from preceptor.backends.transformers.thinking import (
    ThinkingTemplate,
    end_tokens,
    thinking_template,
    thought_begun,
    thought_closed,
    without_thought,
)
from preceptor.backends.transformers.thoughts import PLAIN
from preceptor.core.errors import UsageError
from preceptor.core.types import JudgeFailure

DECODED_AT_ONCE = 32
"""Most texts decoded together."""
TOKENS_AT_ONCE = 1 << 15
"""Most tokens decoded together, prompts included; bounds the memory of the key-value cache."""
Request: TypeAlias = ChooseRequest | CompleteRequest


@dataclass(frozen=True)
class Context:
    """What an answer follows."""

    ids: tuple[int, ...]
    read: int
    """Tokens that were read to get here and are read for the answer."""
    thought: str = ""
    cut: bool = False
    """Whether the thought reached its limit."""
    written: int = 0
    """Tokens of the thought."""


@dataclass(frozen=True)
class Begun:
    """A prompt up to where the thought begins."""

    ids: tuple[int, ...]
    thinking: Thinking
    template: ThinkingTemplate


class ContextMaker:
    """Makes the contexts of requests to a local model."""

    def __init__(self, model: Any, tokenizer: Any, window: int, eos_ids: Sequence[int]) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._window = window
        self._eos_ids = eos_ids

    def contexts(
        self, requests: Sequence[Request], rooms: Sequence[int]
    ) -> Iterator[dict[int, Context | JudgeFailure]]:
        """The context of each request by its index, or why there is none: first those that need no thought, then
        thoughts in batches that are decoded together.

        Args:
            rooms: tokens for which the window must have room after each context.
        """
        begun = {i: self._begun(request, rooms[i]) for i, request in enumerate(requests)}
        if known := {i: context for i, context in begun.items() if not isinstance(context, Begun)}:
            yield known
        thinking = {i: context for i, context in begun.items() if isinstance(context, Begun)}
        prompts = {i: b.ids for i, b in thinking.items()}
        seeds = {i: b.thinking.seed for i, b in thinking.items()}
        for batch in decoding_batches(prompts, seeds, {i: (b.thinking.tokens,) for i, b in thinking.items()}):
            yield self._thought_through({i: thinking[i] for i in batch}, requests, rooms)

    def _begun(self, request: Request, room: int) -> Context | Begun | JudgeFailure:
        thinking, template = request.thinking, thinking_template(self._tokenizer)
        if template is None and thinking is not None and thinking.plain_tags:
            template = PLAIN
        plain = isinstance(request.prompt, str)
        if thinking is not None and thinking.on and (plain or template is None):
            return JudgeFailure(reason="refused", detail="the model cannot think before it continues this prompt")
        try:
            if isinstance(request.prompt, str) or thinking is None or template is None:
                ids = encode_prompt(self._tokenizer, request.prompt, request.prefill)
            elif thinking.on:
                ids = thought_begun(self._tokenizer, template, request.prompt, thinking.level)
                closed = thought_closed(self._tokenizer, template, "", request.prefill)
                begun = Begun(tuple(ids), thinking, template)
                return self._too_long(len(ids) + thinking.tokens + len(closed) + room) or begun
            else:
                ids = without_thought(self._tokenizer, template, request.prompt, request.prefill)
        except UsageError as error:
            return JudgeFailure(reason="refused", detail=str(error).splitlines()[0][:300])
        return self._too_long(len(ids) + room) or Context(tuple(ids), len(ids))

    def _too_long(self, tokens: int) -> JudgeFailure | None:
        if tokens <= self._window:
            return None
        return JudgeFailure(reason="prompt_too_long", detail=f"{tokens} tokens, the window holds {self._window}")

    def _thought_through(
        self, begun: Mapping[int, Begun], requests: Sequence[Request], rooms: Sequence[int]
    ) -> dict[int, Context | JudgeFailure]:
        first = next(iter(begun.values()))
        temperature, top_k = _recommended(self._model)
        sampled = sample_each(
            self._model,
            [b.ids for b in begun.values()],
            seeds_B=[b.thinking.seed for b in begun.values()],
            max_new_tokens=first.thinking.tokens,
            temperature=temperature,
            top_k=top_k,
            eos_ids=[*self._eos_ids, *end_tokens(self._tokenizer, first.template)],
        )
        return {
            i: self._closed(b, said, requests[i].prefill, rooms[i])
            for (i, b), said in zip(begun.items(), sampled, strict=True)
        }

    def _closed(self, begun: Begun, said: SampledResponse, prefill: str, room: int) -> Context | JudgeFailure:
        """The context with the thought. A model may also end its turn in place of its thought."""
        text = str(self._tokenizer.decode(list(said.content_ids), skip_special_tokens=True))
        thought, ended, _ = text.partition(begun.template.end)
        closed = thought_closed(self._tokenizer, begun.template, thought.strip(), prefill)
        ids = (*begun.ids, *closed)
        # Encoded again as text, a thought may have a few more tokens than were sampled.
        return self._too_long(len(ids) + room) or Context(
            ids=ids,
            read=len(begun.ids) + len(ids),
            thought=thought.strip(),
            cut=not (said.finished or ended),
            written=len(said.token_ids),
        )


def decoding_batches(
    prompts: Mapping[int, tuple[int, ...]], seeds: Mapping[int, int], settings: Mapping[int, tuple[Any, ...]]
) -> Iterator[list[int]]:
    """Indices of prompts to decode together: with equal settings, the longest first, within the bounds on memory.

    Args:
        settings: of each prompt, the first of them the most new tokens.
    """
    alike: dict[tuple[Any, ...], list[int]] = {}
    for i in sorted(prompts, key=lambda i: (-len(prompts[i]), prompts[i], seeds[i])):
        alike.setdefault(settings[i], []).append(i)
    for (new_tokens, *_), indices in alike.items():
        start = 0
        while start < len(indices):
            longest = len(prompts[indices[start]]) + int(new_tokens)
            at_once = max(1, min(DECODED_AT_ONCE, TOKENS_AT_ONCE // longest))
            yield indices[start : start + at_once]
            start += at_once


def _recommended(model: Any) -> tuple[float, int | None]:
    """The temperature and the number of most probable tokens with which the model's makers sample."""
    settings = model.generation_config
    if not settings.do_sample:
        return 1.0, None
    return float(settings.temperature or 1.0), settings.top_k or None
