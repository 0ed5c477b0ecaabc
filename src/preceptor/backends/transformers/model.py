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
from preceptor.backends.transformers.cores import workers
from preceptor.backends.transformers.loading import LoadedModel, context_window
from preceptor.backends.transformers.sampling import SampledResponse, sample_each
from preceptor.backends.transformers.traits import traits
from preceptor.core.errors import UsageError
from preceptor.core.types import Conversation, JudgeFailure, Usage

COMPLETIONS_AT_ONCE = 32
"""Most continuations decoded together."""
COMPLETION_TOKENS_AT_ONCE = 1 << 15
"""Most tokens decoded together, prompts included; bounds the memory of the key-value cache."""


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
        encoded = [self._encoded_choice(request) for request in requests]
        fits = [(i, choice) for i, choice in enumerate(encoded) if isinstance(choice, EncodedChoice)]
        if failed := [(i, choice) for i, choice in enumerate(encoded) if isinstance(choice, JudgeFailure)]:
            yield [(i, failure) for i, failure in failed]
        at_once = self.tokens_at_once * workers(self.model.device)
        for batch in batches([choice for _, choice in fits], at_once, forest=traits(self.model).forest):
            chosen = [fits[i][1] for i in batch]
            results = choice_log_probs(self.model, chosen, self._prefix_cache)
            yield [
                (fits[i][0], ChoiceLogProbs(tuple(log_probs), Usage(prompt_tokens=len(request.context))))
                for i, request, log_probs in zip(batch, chosen, results, strict=True)
            ]

    def complete(
        self, requests: Sequence[CompleteRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[Completion | JudgeFailure]]:
        """Sampled or greedy continuations, in batches of similar length. Each row uses the seed of its request.

        `stop` is applied to the finished text: tokens after it were computed, so the usage counts them.
        """
        encoded = [self._encoded(r.prompt, r.prefill, r.max_new_tokens) for r in requests]
        if failed := [(i, choice) for i, choice in enumerate(encoded) if isinstance(choice, JudgeFailure)]:
            yield [(i, failure) for i, failure in failed]
        fits = {i: choice for i, choice in enumerate(encoded) if not isinstance(choice, JudgeFailure)}
        for batch in _completion_batches(requests, fits):
            first = requests[batch[0]]
            sampled = sample_each(
                self.model,
                [fits[i] for i in batch],
                seeds_B=[requests[i].seed for i in batch],
                max_new_tokens=first.max_new_tokens,
                temperature=first.temperature,
                top_k=first.top_k,
                eos_ids=self.eos_ids,
                prefix=shared_prefix([fits[i] for i in batch]) if traits(self.model).kept_prefixes else (),
                prefix_cache=self._prefix_cache,
            )
            yield [(i, self._completion(requests[i], len(fits[i]), s)) for i, s in zip(batch, sampled, strict=True)]

    def _encoded(self, prompt: str | Conversation, prefill: str, new_tokens: int) -> tuple[int, ...] | JudgeFailure:
        """Token ids of a prompt that leaves room for the answer in the window, or a failure."""
        try:
            ids = tuple(encode_prompt(self.tokenizer, prompt, prefill))
        except UsageError as error:
            return JudgeFailure(reason="refused", detail=str(error).splitlines()[0][:300])
        if len(ids) + new_tokens > self.context_window:
            detail = f"{len(ids) + new_tokens} tokens, the window holds {self.context_window}"
            return JudgeFailure(reason="prompt_too_long", detail=detail)
        return ids

    def _encoded_choice(self, request: ChooseRequest) -> EncodedChoice | JudgeFailure:
        choices = tuple(tuple(encode_text(self.tokenizer, choice)) for choice in request.choices)
        context = self._encoded(request.prompt, request.prefill, max(len(choice) for choice in choices) - 1)
        return context if isinstance(context, JudgeFailure) else EncodedChoice(context, choices)

    def _completion(self, request: CompleteRequest, prompt_tokens: int, sampled: SampledResponse) -> Completion:
        text, finished = self.decode(sampled), sampled.finished
        for stop in request.stop:
            if stop in text:
                text, finished = text[: text.index(stop)], True
        return Completion(text, finished, Usage(prompt_tokens=prompt_tokens, completion_tokens=len(sampled.token_ids)))


def _completion_batches(
    requests: Sequence[CompleteRequest], prompts: Mapping[int, tuple[int, ...]]
) -> Iterator[list[int]]:
    """Indices of requests to decode together: with equal settings, the longest first, within the bounds on memory."""
    alike: dict[tuple[int, float, int | None], list[int]] = {}
    for i in sorted(prompts, key=lambda i: (-len(prompts[i]), prompts[i], requests[i].seed)):
        settings = (requests[i].max_new_tokens, requests[i].temperature, requests[i].top_k)
        alike.setdefault(settings, []).append(i)
    for (new_tokens, _, _), indices in alike.items():
        start = 0
        while start < len(indices):
            longest = len(prompts[indices[start]]) + new_tokens
            at_once = max(1, min(COMPLETIONS_AT_ONCE, COMPLETION_TOKENS_AT_ONCE // longest))
            yield indices[start : start + at_once]
            start += at_once
