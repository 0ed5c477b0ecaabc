"""The local backend's log-probabilities against a plain computation, one sequence at a time, in fp32."""

import math

import pytest
import torch

from conftest import make_model
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, in_order
from preceptor.backends.transformers.chat import encode_prompt, encode_text
from preceptor.backends.transformers.model import LocalModel
from preceptor.core.types import JudgeFailure, Message

SHARED = "The instructions come first and are the same in every request. "
SCALE = tuple(f" {i}" for i in range(1, 11))


@torch.no_grad()
def plain(model: LocalModel, request: ChooseRequest) -> list[float]:
    context = encode_prompt(model.tokenizer, request.prompt, request.prefill)
    results: list[float] = []
    for choice in request.choices:
        tokens = encode_text(model.tokenizer, choice)
        log_probs = torch.log_softmax(model.model(torch.tensor([context + tokens])).logits[0].float(), dim=-1)
        results.append(sum(float(log_probs[len(context) + i - 1, token]) for i, token in enumerate(tokens)))
    # One token per byte here: a choice that begins the next longer one loses that one's probability.
    excluded = {
        choice: [p for other, p in zip(request.choices, results, strict=True) if other[:-1] == choice]
        for choice in request.choices
    }
    return [
        math.log(math.exp(p) - sum(math.exp(longer) for longer in excluded[choice]))
        for choice, p in zip(request.choices, results, strict=True)
    ]


def check(model: LocalModel, requests: list[ChooseRequest]) -> None:
    for request, result in zip(requests, in_order(model.choose(requests), len(requests)), strict=True):
        assert isinstance(result, ChoiceLogProbs)
        assert result.log_probs == pytest.approx(plain(model, request), abs=1e-4)


def test_equal_to_the_plain_computation_with_a_shared_prefix(tiny: LocalModel) -> None:
    check(tiny, [ChooseRequest(SHARED + text, (" yes", " no")) for text in ("a", "something longer", "a", "mid one")])


def test_choices_of_several_tokens_are_exact(tiny: LocalModel) -> None:
    """Here "1" is the beginning of "10", and every choice is several byte tokens."""
    check(tiny, [ChooseRequest(SHARED + text, SCALE) for text in ("x", "a longer one")])
    check(tiny, [ChooseRequest("no shared prefix", ("a", "ab", "abc", "b"))])


def test_conversations_and_prefill(tiny: LocalModel) -> None:
    conversation = (Message(role="system", content="judge"), Message(role="user", content="which?"))
    check(tiny, [ChooseRequest(conversation, ("1", "2"), prefill="Answer: "), ChooseRequest("plain", ("1", "2"))])


def test_the_prefix_is_kept_from_call_to_call_and_changes_nothing(tiny: LocalModel) -> None:
    requests = [ChooseRequest(SHARED + text, (" yes", " no")) for text in ("a", "b and c")]
    first = in_order(tiny.choose(requests), 2)
    assert in_order(tiny.choose(requests), 2) == first
    check(tiny, [ChooseRequest("Quite another beginning, " + text, (" yes", " no")) for text in ("a", "b")])


def test_many_small_batches_give_the_same(tiny: LocalModel) -> None:
    requests = [ChooseRequest(SHARED + "x" * i, (" yes", " no")) for i in range(9)]
    whole = in_order(tiny.choose(requests), 9)
    tiny.tokens_at_once = 16
    batches = list(tiny.choose(requests))
    assert len(batches) > 2
    for one, other in zip(in_order(batches, 9), whole, strict=True):
        assert isinstance(one, ChoiceLogProbs)
        assert isinstance(other, ChoiceLogProbs)
        assert one.log_probs == pytest.approx(other.log_probs, abs=1e-4)


def test_what_is_left_after_some_batches_is_batched_the_same(tiny: LocalModel) -> None:
    """A run cut between two batches must compute the rest bit for bit as it would have."""
    fresh = make_model()
    tiny.tokens_at_once = fresh.tokens_at_once = 16
    requests = [ChooseRequest(SHARED + "y" * (i % 5) + str(i), (" yes", " no")) for i in range(9)]
    batches = list(tiny.choose(requests))
    done = {index for index, _ in batches[0]}
    rest = [i for i in range(9) if i not in done]
    again = [[(rest[i], result) for i, result in batch] for batch in fresh.choose([requests[i] for i in rest])]
    assert again == batches[1:]


def test_a_request_that_does_not_fit_fails_alone() -> None:
    model = make_model(window=64)
    requests = [ChooseRequest("x" * 100, ("a", "b")), ChooseRequest("short", ("a", "b"))]
    too_long, fine = in_order(model.choose(requests), 2)
    assert isinstance(too_long, JudgeFailure)
    assert too_long.reason == "prompt_too_long"
    assert isinstance(fine, ChoiceLogProbs)


def test_nonsense_requests_are_refused() -> None:
    for choices in (("a",), ("a", "a"), ("a", "")):
        with pytest.raises(ValueError, match="choices"):
            ChooseRequest("p", choices)
    with pytest.raises(ValueError, match="empty"):
        ChooseRequest("", ("a", "b"))


def test_an_answer_missing_or_given_twice_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="1 of 2"):
        in_order([[(0, "x")]], 2)
    with pytest.raises(RuntimeError, match="twice"):
        in_order([[(0, "x")], [(0, "y")]], 2)
