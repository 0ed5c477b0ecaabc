"""Texts that share beginnings: the layout, and attention over it against separate rows."""

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from conftest import make_model
from preceptor.backends.transformers import attention
from preceptor.backends.transformers.attention import forest_arguments
from preceptor.backends.transformers.choosing import PrefixCache
from preceptor.backends.transformers.forest import LONGEST_SEGMENT, Forest, in_parts

TEXTS = [(1, 2, 3, 4), (1, 2, 3, 9, 8), (1, 2, 3, 9), (1, 7), (5, 6), (5, 6)]


def test_what_neighbours_share_is_laid_out_once() -> None:
    forest = Forest.of(TEXTS)
    assert forest.tokens == [1, 2, 3, 4, 9, 8, 7, 5, 6]
    assert forest.positions == [0, 1, 2, 3, 3, 4, 1, 0, 1]
    for text, places in zip(TEXTS, forest.places, strict=True):
        assert tuple(forest.tokens[place] for place in places) == text
        assert [forest.positions[place] for place in places] == list(range(len(text)))


def test_the_prefix_is_not_laid_out() -> None:
    forest = Forest.of([(1, 2, 3, 4), (1, 2, 5)], prefix=2)
    assert forest.tokens == [3, 4, 5]
    assert forest.positions == [2, 3, 2]
    with pytest.raises(ValueError, match="beyond the prefix"):
        forest.add((1, 2))


def test_long_texts_are_divided() -> None:
    forest = Forest.of([tuple(range(2 * LONGEST_SEGMENT + 1))])
    assert [s.end - s.start for s in forest.segments] == [LONGEST_SEGMENT, LONGEST_SEGMENT, 1]
    assert [s.before for s in forest.segments] == [(), ((0, LONGEST_SEGMENT),), ((0, 2 * LONGEST_SEGMENT),)]


def test_parts_hold_everything_once_and_keep_to_the_bound() -> None:
    sizes = [3, 9, 4, 30, 5, 5]
    parts = in_parts(sizes, 12)
    assert [list(part) for part in parts] == [[0, 1], [2], [3], [4, 5]]
    assert in_parts([], 12) == []
    assert all(a.stop == b.start for a, b in pairwise(parts))


def test_parts_for_several_workers_are_about_as_large() -> None:
    sizes = [5, 5, 5, 5, 5, 5, 1]
    assert [len(part) for part in in_parts(sizes, 31, 2)] == [3, 4]
    assert [len(part) for part in in_parts(sizes, 12, 2)] == [2, 2, 2, 1]
    assert in_parts([40], 12, 4) == [range(0, 1)]
    assert in_parts([], 12, 2) == []
    for at_once in range(5, 40):
        parts = in_parts(sizes, at_once, 2)
        assert [i for part in parts for i in part] == list(range(len(sizes)))
        assert all(sum(sizes[i] for i in part) <= at_once for part in parts)


def random_texts() -> list[tuple[int, ...]]:
    """Two trees of three levels, with texts longer than a segment."""
    generator = torch.Generator().manual_seed(0)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(5, 90, (count,), generator=generator).tolist())

    texts: list[tuple[int, ...]] = []
    for _ in range(2):
        root = tokens(20)
        for middle in (root + tokens(LONGEST_SEGMENT + 9), root + tokens(3)):
            texts += [middle + tokens(5), middle + tokens(17), middle]
    return texts


def hidden(model: Any, texts: list[tuple[int, ...]]) -> Tensor:
    """Logits of every token of every text, from one row."""
    forest = Forest.of(texts)
    logits = model(**forest_arguments(model, forest)).logits[0]
    return torch.cat([logits[places] for places in forest.places])


def separately(model: Any, texts: list[tuple[int, ...]]) -> Tensor:
    return torch.cat([model(torch.tensor([text]), use_cache=False).logits[0] for text in texts])


def test_values_and_gradients_are_those_of_separate_rows() -> None:
    texts = random_texts()
    fast: Any = make_model(window=1024).model
    assert attention.in_use(fast)
    plain, masked = copy.deepcopy(fast), copy.deepcopy(fast)
    plain.set_attn_implementation("eager")
    masked.set_attn_implementation("sdpa")
    expected = separately(plain, texts)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    (expected * weights).sum().backward()
    for model in (fast, masked):
        found = hidden(model, texts)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        (found * weights).sum().backward()
        for one, other in zip(model.parameters(), plain.parameters(), strict=True):
            assert float((one.grad - other.grad).norm() / other.grad.norm()) < 1e-4


@pytest.mark.parametrize(("autocast", "far"), [(False, 1e-5), (True, 0.1)])
def test_a_padded_batch_without_a_gradient_is_that_of_the_plain_attention(autocast: bool, far: float) -> None:
    fast: Any = make_model().model
    plain = copy.deepcopy(fast)
    plain.set_attn_implementation("eager")
    ids = torch.randint(5, 90, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 12, [0] * 5 + [1] * 7, [1] * 12])
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        found = fast(ids, attention_mask=mask, use_cache=False).logits
    with torch.inference_mode():
        expected = plain(ids, attention_mask=mask, use_cache=False).logits
    assert float((found.float() - expected)[mask == 1].abs().mean()) < far


@torch.inference_mode()
def test_a_kept_prefix_does_not_depend_on_what_was_asked_before() -> None:
    model: Any = make_model(window=1024).model
    prefix = tuple(range(5, 5 + 64)) + tuple(range(20, 84)) + tuple(range(9, 73))
    fresh, used = PrefixCache(), PrefixCache()
    used.expanded(model, prefix[:64] + tuple(reversed(prefix[64:])), 2)
    used.expanded(model, prefix[:128], 1)
    kept: list[Any] = [cache.expanded(model, prefix, 2).layers for cache in (fresh, used)]
    for one, other in zip(*kept, strict=True):
        assert torch.equal(one.keys, other.keys)
        assert torch.equal(one.values, other.values)
