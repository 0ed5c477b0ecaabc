"""Sampling against transformers' own `generate`, and the distribution it draws from."""

from collections import Counter

import torch

from conftest import make_model
from preceptor.backends.base import CompleteRequest, Completion, in_order
from preceptor.backends.transformers.choosing import PrefixCache
from preceptor.backends.transformers.model import LocalModel
from preceptor.backends.transformers.sampling import ROWS_AT_ONCE, SampledResponse, sample_groups
from preceptor.core.types import Message
from tolerance import assert_equal_but_for_rounding

PROMPTS = [[72, 101, 108], [65, 66, 67, 68, 69, 70], [90]]


def sample(
    model: LocalModel,
    group_size: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
    limit: int = 12,
    rows_at_once: int = ROWS_AT_ONCE,
    limits: list[int] | None = None,
    log_probs: bool = False,
) -> list[list[SampledResponse]]:
    return sample_groups(
        model.model,
        PROMPTS,
        seeds_P=[seed, seed + 100, seed + 200],
        group_size=group_size,
        max_new_tokens=limit,
        temperature=temperature,
        eos_ids=model.eos_ids,
        limits_P=limits,
        rows_at_once=rows_at_once,
        log_probs=log_probs,
    )


def test_greedy_equals_generate(tiny: LocalModel) -> None:
    for ids, [response] in zip(PROMPTS, sample(tiny), strict=True):
        expected = tiny.model.generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), do_sample=False, max_new_tokens=12
        )[0, len(ids) :]
        assert list(response.token_ids) == expected.tolist()


def test_a_response_ends_with_its_first_end_token_and_the_others_go_on(tiny: LocalModel) -> None:
    responses = [r for group in sample(tiny, group_size=24, temperature=3.0, limit=40) for r in group]
    ended = [r for r in responses if r.finished]
    assert 0 < len(ended) < len(responses)
    for response in responses:
        assert not set(tiny.eos_ids) & set(response.content_ids)
        if response.finished:
            assert response.token_ids[-1] in tiny.eos_ids
        else:
            assert len(response.token_ids) == 40


def test_the_log_probabilities_of_sampling_can_be_kept_and_change_nothing(tiny: LocalModel) -> None:
    """In batches that lose rows, and for each row the number of its own tokens."""
    kept, plain = (sample(tiny, 24, 3.0, limit=40, rows_at_once=48, log_probs=asked) for asked in (True, False))
    assert [[r.token_ids for r in group] for group in kept] == [[r.token_ids for r in group] for group in plain]
    assert {len(r.token_ids) for group in kept for r in group} > {40}
    assert all(r.log_probs == () for group in plain for r in group)
    for ids, group in zip(PROMPTS, kept, strict=True):
        for response in group[:4]:
            logits = tiny.model(torch.tensor([[*ids, *response.token_ids]])).logits[0, len(ids) - 1 : -1]
            expected = torch.log_softmax(logits / 3.0, dim=-1).gather(1, torch.tensor(response.token_ids)[:, None])
            assert_equal_but_for_rounding(torch.tensor(response.log_probs), expected.squeeze(1))


def test_the_seed_decides(tiny: LocalModel) -> None:
    assert sample(tiny, 4, 1.0, seed=1) == sample(tiny, 4, 1.0, seed=1)
    assert sample(tiny, 4, 1.0, seed=1) != sample(tiny, 4, 1.0, seed=2)


def test_samples_follow_the_model_s_distribution(tiny: LocalModel) -> None:
    count = 4000
    first = Counter(
        r.token_ids[0]
        for r in sample_groups(
            tiny.model, [PROMPTS[1]], seeds_P=[0], group_size=count, max_new_tokens=1, temperature=0.7, eos_ids=[]
        )[0]
    )
    logits = tiny.model(torch.tensor([PROMPTS[1]])).logits[0, -1]
    expected = torch.softmax(logits / 0.7, dim=-1)
    for token in expected.topk(5).indices.tolist():
        p = float(expected[token])
        assert abs(first[token] / count - p) < 4 * (p * (1 - p) / count) ** 0.5


def test_groups_stay_with_their_prompts_when_the_batch_is_divided() -> None:
    assert sample(make_model(), rows_at_once=1) == sample(make_model())


def test_a_limit_of_one_prompt_cuts_its_responses_and_changes_nothing_else(tiny: LocalModel) -> None:
    whole = sample(tiny, 8, temperature=3.0, limit=40)
    cut = sample(tiny, 8, temperature=3.0, limit=40, limits=[5, 60, 1])
    assert cut[1] == whole[1]
    for limit, expected, found in ((5, whole[0], cut[0]), (1, whole[2], cut[2])):
        assert [r.token_ids for r in found] == [r.token_ids[:limit] for r in expected]
        assert [r.finished for r in found] == [r.finished and len(r.token_ids) <= limit for r in expected]


def test_what_prompts_begin_with_alike_is_computed_once_and_changes_nothing(tiny: LocalModel) -> None:
    alike = [[*range(70), *prompt] for prompt in PROMPTS]
    found = [
        sample_groups(
            tiny.model, alike, seeds_P=[1, 2, 3], group_size=3, max_new_tokens=12, temperature=1.0,
            eos_ids=tiny.eos_ids, prefix_cache=cache,
        )
        for cache in (None, PrefixCache())
    ]  # fmt: skip
    assert found[0] == found[1]


def test_completions(tiny: LocalModel) -> None:
    requests = [CompleteRequest("Hel", 5), CompleteRequest("x" * 600, 5)]
    [completion, failure] = in_order(tiny.complete(requests), 2)
    assert isinstance(completion, Completion)
    assert completion.usage.prompt_tokens == 3
    assert not isinstance(failure, Completion)
    assert failure.reason == "prompt_too_long"


def test_a_completion_does_not_depend_on_the_requests_beside_it(tiny: LocalModel) -> None:
    shared = "These instructions begin every request. "
    requests = [
        CompleteRequest(shared + text, 12, temperature=t, top_k=k, seed=seed)
        for text in ("a", "quite a bit longer", "mid")
        for t, k in ((0.0, None), (1.0, None), (1.5, 5))
        for seed in (0, 1)
    ]
    together = in_order(tiny.complete(requests), len(requests))
    alone = [in_order(make_model().complete([request]), 1)[0] for request in requests]
    assert together == alone
    assert len({str(c) for c in together}) > 6


def test_the_most_probable_token_alone_is_greedy(tiny: LocalModel) -> None:
    greedy, first = in_order(
        tiny.complete([CompleteRequest("Hel", 8), CompleteRequest("Hel", 8, temperature=2.0, top_k=1, seed=3)]), 2
    )
    assert greedy == first


def test_a_completion_goes_on_from_the_prefill_and_ends_before_a_stop_text(tiny: LocalModel) -> None:
    question = (Message(role="user", content="q"),)
    [whole] = in_order(tiny.complete([CompleteRequest(question, 12, prefill="So: ")]), 1)
    assert isinstance(whole, Completion)
    stop = whole.text[4:6]
    [cut] = in_order(tiny.complete([CompleteRequest(question, 12, prefill="So: ", stop=(stop,))]), 1)
    assert isinstance(cut, Completion)
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finished
