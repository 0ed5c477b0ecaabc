"""A forest as blocks of FlexAttention, against the additive mask and separate rows. A CPU has no gradient of it."""

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from conftest import make_model
from preceptor.backends.transformers import flex
from preceptor.backends.transformers.choosing import PrefixCache
from preceptor.backends.transformers.forest import Forest

TEXTS = [(1, 2, 3, 4), (1, 2, 3, 9, 8), (1, 2, 3, 9), (1, 7), (5, 6), (5, 6)]


def long_texts() -> list[tuple[int, ...]]:
    """A tree over four blocks, whose branches begin and end inside of them."""
    generator = torch.Generator().manual_seed(0)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(5, 90, (count,), generator=generator).tolist())

    root = tokens(150)
    first, second = root + tokens(40), root + tokens(9)
    return [first + tokens(130), first + tokens(3), second + tokens(20), second, tokens(70)]


def allowed(forest: Forest) -> Tensor:
    """What the additive mask allows."""
    return forest.mask(torch.float32, torch.device("cpu"))[0, 0] == 0


def test_one_number_says_who_may_see_a_token() -> None:
    forest = Forest.of(TEXTS)
    assert forest.tokens == [1, 2, 3, 4, 9, 8, 7, 5, 6]
    assert flex.seen_until(forest, row=10) == [7, 6, 6, 4, 6, 6, 7, 9, 9, 10]


@pytest.mark.parametrize("prefix", [0, 140])
def test_the_blocks_hold_what_the_additive_mask_allows(prefix: int) -> None:
    forest = Forest.of(long_texts()[:4], prefix)
    size, row = len(forest.tokens), 3 * flex.BLOCK if prefix else 4 * flex.BLOCK
    mask = flex.block_mask(forest, row, torch.device("cpu"))
    queries, keys = torch.arange(row)[:, None], torch.arange(prefix + row)
    one = torch.tensor(0)
    exact = mask.mask_mod(one, one, queries, keys)
    assert torch.equal(exact[:size, : prefix + size], allowed(forest))
    assert torch.equal(exact[size:], (keys == queries[size:] + prefix) | (keys < prefix))
    computed = mask.to_dense()[0, 0]  # blocks that are computed, in part or in whole
    whole = torch.zeros_like(computed)
    assert mask.full_kv_num_blocks is not None and mask.full_kv_indices is not None
    for block, count in enumerate(mask.full_kv_num_blocks[0, 0].tolist()):
        whole[block, mask.full_kv_indices[0, 0, block, :count]] = 1
    for q in range(computed.shape[0]):
        for k in range(computed.shape[1]):
            seen = exact[q * flex.BLOCK : (q + 1) * flex.BLOCK, k * flex.BLOCK : (k + 1) * flex.BLOCK]
            assert bool(computed[q, k]) or not bool(seen.any())
            assert bool(whole[q, k]) == (bool(seen.all()) and seen.shape[1] == flex.BLOCK)
    assert 0 < int(whole.sum()) < int((computed != 0).sum()) < computed.numel()


@torch.inference_mode()
def test_values_are_those_of_separate_rows() -> None:
    texts = long_texts()
    model: Any = make_model(window=1024).model
    plain = copy.deepcopy(model)
    plain.set_attn_implementation("eager")
    model.set_attn_implementation(flex.NAME)
    forest = Forest.of(texts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not compiled here
        logits = model(**flex.forest_arguments(forest, model.device)).logits[0]
    for text, places in zip(texts, forest.places, strict=True):
        torch.testing.assert_close(logits[places], plain(torch.tensor([text])).logits[0], atol=1e-4, rtol=0)


@torch.inference_mode()
def test_values_after_a_cached_prefix_are_those_of_separate_rows() -> None:
    texts = long_texts()[:4]
    model: Any = make_model(window=1024).model
    plain = copy.deepcopy(model)
    plain.set_attn_implementation("eager")
    model.set_attn_implementation(flex.NAME)
    forest = Forest.of(texts, prefix=100)
    cache = PrefixCache().expanded(model, texts[0][:100], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logits = model(**flex.forest_arguments(forest, model.device), past_key_values=cache).logits[0]
    for text, places in zip(texts, forest.places, strict=True):
        torch.testing.assert_close(logits[places], plain(torch.tensor([text])).logits[0, 100:], atol=1e-4, rtol=0)


@torch.inference_mode()
def test_whatever_is_no_forest_gets_the_fused_attention() -> None:
    model: Any = make_model().model
    fused = copy.deepcopy(model)
    fused.set_attn_implementation("sdpa")
    model.set_attn_implementation(flex.NAME)
    ids = torch.randint(5, 90, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 12, [0] * 5 + [1] * 7, [1] * 12])
    for arguments in ({}, {"attention_mask": mask}):
        assert torch.equal(model(ids, **arguments).logits, fused(ids, **arguments).logits)


def test_it_is_not_used_where_it_is_not_compiled() -> None:
    assert not flex.works(4, 2, 16, torch.float32, "cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_the_trial_notices_another_mask(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.inference_mode(False), torch.no_grad():
            assert flex.agrees(4, 2, 16, dtype, "cpu")
            monkeypatch.setattr(flex, "seen_until", lambda forest, row: [row] * row)  # branches see each other
            assert not flex.agrees(4, 2, 16, dtype, "cpu")
