"""A local causal language model as a `LanguageModel`."""

from collections.abc import Iterator, Mapping, Sequence

from preceptor.backends.base import (
    FREE,
    Admission,
    ChoiceLogProbs,
    ChooseRequest,
    CompleteRequest,
    Completion,
    Indexed,
    Thinking,
    ThinkingLevel,
)
from preceptor.backends.transformers.attention import tokens_at_once
from preceptor.backends.transformers.chat import encode_prompt, encode_text
from preceptor.backends.transformers.choosing import (
    EncodedChoice,
    PrefixCache,
    batches,
    choice_log_probs,
    shared_prefix,
)
from preceptor.backends.transformers.contexts import Context, ContextMaker, decoding_batches
from preceptor.backends.transformers.cores import workers
from preceptor.backends.transformers.loading import LoadedModel, context_window
from preceptor.backends.transformers.sampling import SampledResponse, sample_each
from preceptor.backends.transformers.thinking import thinking_template
from preceptor.backends.transformers.traits import traits
from preceptor.core.errors import UsageError
from preceptor.core.types import Conversation, JudgeFailure, Usage


class LocalModel:
    """A model in this process. It computes shared prefixes of requests once; callers need not manage caches."""

    prefill = True
    price = FREE
    concurrency = 8

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded  # shared while it is referred to
        self.model = loaded.model
        self.tokenizer = loaded.tokenizer
        self.identity = loaded.identity
        self.source = loaded.source
        self.revision = loaded.revision
        self.tokens_at_once = tokens_at_once(loaded.model)
        """How many tokens a worker passes to the model at once. Fewer need less memory."""
        self._prefix_cache = PrefixCache()

    @property
    def chat(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return self.tokenizer.chat_template is not None

    @property
    def context_window(self) -> int:
        """Most tokens that the model can attend to."""
        return context_window(self.model)

    @property
    def eos_ids(self) -> list[int]:
        """The tokens that end a response."""
        eos = self.model.generation_config.eos_token_id
        eos = self.tokenizer.eos_token_id if eos is None else eos
        return [int(i) for i in (eos if isinstance(eos, list) else [eos])]

    def thinking_identity(self, level: ThinkingLevel) -> str:
        """The model's identity, which its chat template is part of.

        Raises: UsageError when the model cannot think, or its window does not hold such a thought.
        """
        thinking = Thinking(level)
        if thinking.on and not self.chat:
            raise UsageError(f"{self.identity} has no chat template and cannot think; leave out thinking")
        if thinking.on and thinking_template(self.tokenizer) is None:
            raise UsageError(
                f"the chat template of {self.identity} has no place for a thought: the model was not trained to think; "
                "leave out thinking, or have it write down its reasons (rationale = true, cot)"
            )
        if thinking.tokens >= self.context_window:
            raise UsageError(
                f"{self.identity} has a window of {self.context_window:,} tokens, which does not hold a thought of up "
                f"to {thinking.tokens:,}; give a smaller number of tokens"
            )
        return self.identity

    def count_tokens(self, prompt: str | Conversation) -> int:
        """Exact number of tokens of a prompt."""
        return len(encode_prompt(self.tokenizer, prompt))

    def decode(self, response: SampledResponse) -> str:
        """The text of a sampled response."""
        return str(self.tokenizer.decode(list(response.content_ids), skip_special_tokens=True))

    def choose(
        self, requests: Sequence[ChooseRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[ChoiceLogProbs | JudgeFailure]]:
        """Exact log-probabilities. A request fails alone if it exceeds the window or the chat template refuses it."""
        choices = [tuple(tuple(encode_text(self.tokenizer, c)) for c in request.choices) for request in requests]
        rooms = [max(map(len, of_one)) - 1 for of_one in choices]
        for contexts in self._contexts(requests, rooms):
            if failed := [(i, context) for i, context in contexts.items() if isinstance(context, JudgeFailure)]:
                yield [(i, failure) for i, failure in failed]
            yield from self._chosen({i: c for i, c in contexts.items() if isinstance(c, Context)}, choices)

    def _chosen(
        self, contexts: Mapping[int, Context], choices: Sequence[tuple[tuple[int, ...], ...]]
    ) -> Iterator[Indexed[ChoiceLogProbs | JudgeFailure]]:
        indices = list(contexts)
        encoded = [EncodedChoice(contexts[i].ids, choices[i]) for i in indices]
        at_once = self.tokens_at_once * workers(self.model.device)
        for batch in batches(encoded, at_once, forest=traits(self.model).forest):
            results = choice_log_probs(self.model, [encoded[place] for place in batch], self._prefix_cache)
            yield [
                (indices[place], _choice(contexts[indices[place]], log_probs))
                for place, log_probs in zip(batch, results, strict=True)
            ]

    def complete(
        self, requests: Sequence[CompleteRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[Completion | JudgeFailure]]:
        """Sampled or greedy continuations, in batches of similar length. Each row uses the seed of its request.

        `stop` is applied to the finished text: tokens after it were computed, so the usage counts them.
        """
        for contexts in self._contexts(requests, [request.max_new_tokens for request in requests]):
            if failed := [(i, context) for i, context in contexts.items() if isinstance(context, JudgeFailure)]:
                yield [(i, failure) for i, failure in failed]
            yield from self._completed({i: c for i, c in contexts.items() if isinstance(c, Context)}, requests)

    def _completed(
        self, contexts: Mapping[int, Context], requests: Sequence[CompleteRequest]
    ) -> Iterator[Indexed[Completion | JudgeFailure]]:
        prompts = {i: context.ids for i, context in contexts.items()}
        settings = {i: (requests[i].max_new_tokens, requests[i].temperature, requests[i].top_k) for i in contexts}
        for batch in decoding_batches(prompts, {i: requests[i].seed for i in contexts}, settings):
            first = requests[batch[0]]
            sampled = sample_each(
                self.model,
                [prompts[i] for i in batch],
                seeds_B=[requests[i].seed for i in batch],
                max_new_tokens=first.max_new_tokens,
                temperature=first.temperature,
                top_k=first.top_k,
                eos_ids=self.eos_ids,
                prefix=shared_prefix([prompts[i] for i in batch]) if traits(self.model).kept_prefixes else (),
                prefix_cache=self._prefix_cache,
            )
            yield [(i, self._completion(requests[i], contexts[i], s)) for i, s in zip(batch, sampled, strict=True)]

    def _contexts(
        self, requests: Sequence[ChooseRequest] | Sequence[CompleteRequest], rooms: Sequence[int]
    ) -> Iterator[dict[int, Context | JudgeFailure]]:
        maker = ContextMaker(self.model, self.tokenizer, self.context_window, self.eos_ids)
        return maker.contexts(requests, rooms)

    def _completion(self, request: CompleteRequest, context: Context, sampled: SampledResponse) -> Completion:
        text, finished = self.decode(sampled), sampled.finished
        for stop in request.stop:
            if stop in text:
                text, finished = text[: text.index(stop)], True
        usage = Usage(prompt_tokens=context.read, completion_tokens=context.written + len(sampled.token_ids))
        return Completion(text, finished, usage, context.thought, context.cut)


def _choice(context: Context, log_probs: Sequence[float]) -> ChoiceLogProbs:
    usage = Usage(prompt_tokens=context.read, completion_tokens=context.written)
    return ChoiceLogProbs(tuple(log_probs), usage, thought=context.thought, thought_cut=context.cut)
