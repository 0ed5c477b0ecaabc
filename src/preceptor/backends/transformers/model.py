"""A local causal language model as a `LanguageModel`."""

from collections.abc import Iterator, Sequence

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, CompleteRequest, Completion, Indexed
from preceptor.backends.transformers.chat import encode_prompt, encode_text
from preceptor.backends.transformers.choosing import EncodedChoice, PrefixCache, batches, choice_log_probs
from preceptor.backends.transformers.loading import LoadedModel
from preceptor.backends.transformers.sampling import SampledResponse, sample_groups
from preceptor.core.types import JudgeFailure, Usage


class LocalModel:
    """A model in this process. Computes shared prefixes of requests once; callers manage no caches."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.model = loaded.model
        self.tokenizer = loaded.tokenizer
        self.identity = loaded.identity
        self.source = loaded.source
        self.revision = loaded.revision
        self._prefix_cache = PrefixCache()

    @property
    def context_window(self) -> int:
        """The most tokens that the model can attend to."""
        return int(self.model.config.max_position_embeddings)

    @property
    def eos_ids(self) -> list[int]:
        """The tokens that end a response."""
        eos = self.model.generation_config.eos_token_id
        eos = self.tokenizer.eos_token_id if eos is None else eos
        return [int(i) for i in (eos if isinstance(eos, list) else [eos])]

    def decode(self, response: SampledResponse) -> str:
        """The text of a sampled response."""
        return str(self.tokenizer.decode(list(response.content_ids), skip_special_tokens=True))

    def choose(self, requests: Sequence[ChooseRequest]) -> Iterator[Indexed[ChoiceLogProbs | JudgeFailure]]:
        """Exact log-probabilities; a request longer than the window fails alone."""
        encoded = [
            EncodedChoice(
                tuple(encode_prompt(self.tokenizer, r.prompt, r.prefill)),
                tuple(tuple(encode_text(self.tokenizer, choice)) for choice in r.choices),
            )
            for r in requests
        ]
        longest = [max(len(row) for row in e.rows) for e in encoded]
        fits = [i for i in range(len(requests)) if longest[i] <= self.context_window]
        if too_long := [i for i in range(len(requests)) if longest[i] > self.context_window]:
            yield [(i, self._too_long(longest[i])) for i in too_long]
        for batch in batches([encoded[i] for i in fits]):
            chosen = [encoded[fits[i]] for i in batch]
            results = choice_log_probs(self.model, chosen, self._prefix_cache)
            yield [
                (fits[i], ChoiceLogProbs(tuple(log_probs), Usage(prompt_tokens=len(request.context))))
                for i, request, log_probs in zip(batch, chosen, results, strict=True)
            ]

    def complete(self, requests: Sequence[CompleteRequest]) -> Iterator[Indexed[Completion | JudgeFailure]]:
        """Sampled or greedy continuations, one by one, each from its own seed."""
        for index, request in enumerate(requests):
            ids = encode_prompt(self.tokenizer, request.prompt)
            if len(ids) + request.max_new_tokens > self.context_window:
                yield [(index, self._too_long(len(ids) + request.max_new_tokens))]
                continue
            [[sampled]] = sample_groups(
                self.model,
                [ids],
                group_size=1,
                max_new_tokens=request.max_new_tokens,
                temperature=request.temperature,
                eos_ids=self.eos_ids,
                seed=request.seed,
            )
            usage = Usage(prompt_tokens=len(ids), completion_tokens=len(sampled.token_ids))
            yield [(index, Completion(self.decode(sampled), sampled.finished, usage))]

    def _too_long(self, tokens: int) -> JudgeFailure:
        return JudgeFailure(reason="prompt_too_long", detail=f"{tokens} tokens, the window holds {self.context_window}")
