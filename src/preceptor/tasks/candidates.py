"""Comparisons of responses that a policy samples for a file of prompts."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field

from preceptor.backends.base import CompleteRequest, Completion, Thinking, in_order
from preceptor.core.seeds import derive_seed
from preceptor.core.settings import Settings
from preceptor.core.types import (
    Comparison,
    Integer,
    JudgeFailure,
    NonEmpty,
    Prompt,
    Rater,
    Response,
    Seed,
    Temperature,
    Tokens,
)
from preceptor.judging.groups.design import PairDesign, read_design
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.render import PLAIN_STOP, plain_request
from preceptor.store.comparisons import ComparisonRow, Unanswered, pairs_of
from preceptor.store.in_memory import name_of
from preceptor.store.prompts import read_prompt_rows
from preceptor.store.rows import Malformed


class Answering(Settings):
    """How a model's responses to prompts are sampled."""

    samples: Integer = Field(default=1, ge=1, le=1_000)
    """Responses per prompt."""
    temperature: Temperature = 1.0
    max_new_tokens: Tokens = 256
    """Length limit of a response; of its answer, if the model thinks first."""
    seed: Seed = 0
    thinking: Tokens | Literal["off"] | None = Field(default=None, exclude_if=lambda thinking: thinking is None)
    """Most tokens of a thought before each response, which is kept apart and which no judge sees; `off` keeps models
    from thinking that otherwise would. When absent, nothing is said of it."""

    def think(self, seed: int) -> Thinking | None:
        """How a model thinks before a response."""
        if self.thinking is None:
            return None
        return Thinking("off") if self.thinking == "off" else Thinking(self.thinking, seed, plain_tags=True)


class Sampling(Answering):
    """How candidate responses are sampled."""

    policy: NonEmpty
    """A model string."""
    samples: Integer = Field(default=2, ge=2, le=1_000)
    """Responses per prompt."""
    design: PairDesign = "all"
    """Which pairs of a prompt's responses are compared."""


Candidates: TypeAlias = list[Response | JudgeFailure]
"""A policy's responses to one prompt, with a failure for each response that it did not give."""


def sampled_comparisons(
    path: Path, policy: RecordedModel, sampling: Sampling
) -> Iterator[ComparisonRow | Malformed | Unanswered]:
    """Comparisons of responses that the policy gives to each prompt of a file, in the file's order. Every pair, for a
    design that depends on answers.
    """
    return _comparisons(
        path, sampling, policy.model.concurrency, lambda prompts: sample_responses(policy, prompts, sampling)
    )


def expected_comparisons(path: Path, sampling: Sampling) -> Iterator[ComparisonRow | Malformed | Unanswered]:
    """The same comparisons before anything is sampled, for estimates: every response has the maximum length."""

    def longest(prompts: Sequence[Prompt]) -> list[Candidates]:
        text = "word " * sampling.max_new_tokens
        return [[Response(prompt_id=prompt.id, text=text) for _ in range(sampling.samples)] for prompt in prompts]

    return _comparisons(path, sampling, 1, longest)


def _comparisons(
    path: Path, sampling: Sampling, prompts_at_once: int, sample: Callable[[Sequence[Prompt]], list[Candidates]]
) -> Iterator[ComparisonRow | Malformed | Unanswered]:
    """A prompt takes up the same number of rows whether or not the policy answers it, so row numbers stay the same when
    a failed call later succeeds.
    """
    numbers, pairs = count(), pairs_of(sampling.samples, read_design(sampling.design))
    rows = read_prompt_rows(path)
    while chunk := list(islice(rows, prompts_at_once)):
        sampled = iter(sample([row for row in chunk if isinstance(row, Prompt)]))
        for row in chunk:
            if isinstance(row, Malformed):
                yield Malformed(next(numbers), row.place, row.reason)
                continue
            responses = next(sampled)
            for i, j in pairs:
                yield _row(next(numbers), f"{name_of(path)}: prompt {row.id}", row, responses, (i, j))


def candidate_rater(identity: str) -> Rater:
    """The rater under which the ledger stores sampled candidates; nobody judged them."""
    return Rater(model=identity, constitution="none", constitution_hash="none", settings={"role": "policy"})


def _row(
    number: int, place: str, prompt: Prompt, responses: Candidates, pair: tuple[int, int]
) -> ComparisonRow | Unanswered:
    a, b, name = responses[pair[0]], responses[pair[1]], f"{prompt.id}-{pair[0]}-{pair[1]}"
    if isinstance(a, Response) and isinstance(b, Response) and not (a.unfinished_thought or b.unfinished_thought):
        return ComparisonRow(number, place, Comparison(id=name, prompt=prompt, a=a, b=b), None, None)
    failure = next(known for response in (a, b) if (known := _no_answer(response)) is not None)
    return Unanswered(number, place, name, failure.model_copy(update={"detail": f"policy: {failure.detail}"}))


def _no_answer(response: Response | JudgeFailure) -> JudgeFailure | None:
    """Why there is nothing to compare, if there is nothing."""
    if isinstance(response, JudgeFailure):
        return response
    if not response.unfinished_thought:
        return None
    return JudgeFailure(
        reason="unfinished_thought", detail="the thought did not end within its limit; allow more tokens"
    )


def sample_responses(
    policy: RecordedModel, prompts: Sequence[Prompt], sampling: Answering, *, as_sampled: bool = False
) -> list[Candidates]:
    """The policy's responses to each prompt. The i-th response uses the same random numbers for every policy. A thought
    that reached its limit is a response without an answer.

    Args:
        as_sampled: leave white space at the ends of texts, which otherwise is stripped.
    """
    requests = [
        CompleteRequest(
            prompt.conversation if policy.model.chat else plain_request(prompt),
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            stop=() if policy.model.chat else PLAIN_STOP,
            seed=derive_seed(sampling.seed, "candidate", prompt.id, i),
            thinking=sampling.think(derive_seed(sampling.seed, "candidate", prompt.id, i)),
        )
        for prompt in prompts
        for i in range(sampling.samples)
    ]
    results = iter(in_order(policy.complete(requests), len(requests)))
    identity = policy.model.identity

    def response(prompt: Prompt, result: Completion | JudgeFailure) -> Response | JudgeFailure:
        about: dict[str, Any] = {"prompt_id": prompt.id, "policy": identity}
        cut = result.reason == "unfinished_thought" if isinstance(result, JudgeFailure) else result.thought_cut
        if cut:
            thought = "" if isinstance(result, JudgeFailure) else result.thought
            return Response(**about, text="", thought=thought, unfinished_thought=True, finished=False)
        if isinstance(result, JudgeFailure):
            return result
        thought = result.thought or None
        text = result.text if as_sampled else result.text.strip()
        return Response(**about, text=text, finished=result.finished, thought=thought)

    return [[response(prompt, next(results)) for _ in range(sampling.samples)] for prompt in prompts]
