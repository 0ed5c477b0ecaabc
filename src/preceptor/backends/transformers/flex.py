"""A forest's attention on an accelerator: PyTorch's FlexAttention with a block mask made from the tree.

Its memory grows with the length of the row and the number of blocks, not with the square of the length as an additive
mask does, and blocks that no token may see are never computed. Everything but a forest is transformers' own attention.

In a row, whatever may see a token follows it without a gap: the texts that begin with it stand next to each other. So
one number for each token says who may see it, and that number is the whole mask.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

from preceptor.backends.transformers.forest import Forest

NAME = "preceptor_flex"
"""Name of the attention in transformers' configurations."""
BLOCK = 128
"""Queries and keys of one block; rows are padded to a multiple of it."""
_TRIED = 2 * BLOCK
"""The length of the row that `works` tries."""


def in_use(model: Any) -> bool:
    """Whether a model uses this attention."""
    return model.config.get_text_config()._attn_implementation == NAME


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    **rest: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as transformers calls it.

    Args:
        query: B × H × T × D, key and value: B × K × S × D, of H query heads and K heads of keys.
        attention_mask: a forest's block mask, or what transformers' fused attention takes.

    Returns: B × T × H × D, and no attention weights.
    """
    if not isinstance(attention_mask, BlockMask):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **rest)
    return _over_blocks(query, key, value, attention_mask, scaling).transpose(1, 2).contiguous(), None


def forest_arguments(forest: Forest, device: torch.device) -> dict[str, object]:
    """The arguments with which a model that uses this attention computes a forest's row; results are 1 × T."""
    row = len(forest.tokens) + -len(forest.tokens) % BLOCK
    filling = [0] * (row - len(forest.tokens))
    return {
        "input_ids": torch.tensor([forest.tokens + filling], device=device),
        "position_ids": torch.tensor([forest.positions + filling], device=device),
        "attention_mask": block_mask(forest, row, device),  # transformers uses a mask of four dimensions unchanged
        "use_cache": False,
    }


def block_mask(forest: Forest, row: int, device: torch.device) -> BlockMask:
    """The mask of a forest: a token sees the cached prefix, the tokens that lead to it, and itself.

    Args:
        row: the row's length, a multiple of `BLOCK`; tokens after the forest's see the prefix and themselves.
    """
    prefix = forest.prefix
    until = torch.tensor([2 * (prefix + row)] * prefix + [prefix + end for end in seen_until(forest, row)])
    until_S = torch.nn.functional.pad(until, (0, -len(until) % BLOCK)).to(device)  # nothing sees what is beyond the row

    def mask_mod(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        place = query + prefix
        return (key <= place) & (place < until_S[key])

    partly, wholly = _blocks(until_S, prefix, row)
    return BlockMask.from_kv_blocks(
        *_in_order(partly), *_in_order(wholly), BLOCK_SIZE=BLOCK, mask_mod=mask_mod, seq_lengths=(row, prefix + row)
    )


def seen_until(forest: Forest, row: int) -> list[int]:
    """For each place of the row, the first place after it that may not see it."""
    until = list(range(1, row + 1))
    for segment in forest.segments:
        for start, end in (*segment.before, (segment.start, segment.end)):
            until[start:end] = [segment.end] * (end - start)
    return until


@lru_cache
def works(heads: int, keys: int, size: int, dtype: torch.dtype, device: str) -> bool:
    """Whether this machine compiles the attention of a model, forward and backward, and computes with it what the mask
    says; tried once in a process.

    Args:
        heads: of queries; `keys`: of keys; `size`: of one head.
        device: its type.
    """
    if device != "cuda":
        return False
    try:
        with torch.inference_mode(False), torch.enable_grad():
            return agrees(heads, keys, size, dtype, device)
    except Exception:  # there is no compiler, or no kernel fits this card: the forest gets an additive mask
        return False


def agrees(heads: int, keys: int, size: int, dtype: torch.dtype, device: str) -> bool:
    """Whether the attention over blocks, and its gradient, are those of an additive mask, on a small forest."""
    shared = tuple(range(_TRIED // 4))
    forest = Forest.of([shared + (first,) * (_TRIED // 4) for first in (-1, -2, -3)])
    mask = block_mask(forest, _TRIED, torch.device(device))
    generator = torch.Generator().manual_seed(0)
    counts = (heads, keys, keys)
    learns = device == "cuda"  # a CPU has no gradient of it
    given = [torch.randn(1, n, _TRIED, size, generator=generator).to(device, dtype) for n in counts]
    plain = [tensor.float().requires_grad_(learns) for tensor in given]
    query, key, value = (tensor.requires_grad_(learns) for tensor in given)
    additive = forest.mask(torch.float32, torch.device(device))
    blocks = _over_blocks(query, key, value, mask, None)
    dense = torch.nn.functional.scaled_dot_product_attention(*plain, attn_mask=additive, enable_gqa=heads != keys)
    if learns:
        blocks.float().square().sum().backward()
        dense.square().sum().backward()
    close = 1e-3 if dtype == torch.float32 else 3e-2
    pairs = [(blocks, dense), *((a.grad, b.grad) for a, b in zip(given, plain, strict=True) if b.grad is not None)]
    return all(a is not None and _near(a.float(), b, close) for a, b in pairs)


def _near(values: Tensor, expected: Tensor, share: float) -> bool:
    """Whether no value is further off than a share of the largest one."""
    return bool((values - expected).abs().max() <= share * expected.abs().max())


def _over_blocks(query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scaling: float | None) -> Tensor:
    """B × H × T × D. On a CPU, where it is only tested, without being compiled."""
    if torch.is_autocast_enabled(query.device.type):
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    compute: Any = _compiled() if query.device.type == "cuda" else flex_attention
    return compute(query, key, value, block_mask=mask, scale=scaling, enable_gqa=query.shape[1] != key.shape[1])


@lru_cache
def _compiled() -> Any:
    return torch.compile(flex_attention)


def _blocks(until_S: Tensor, prefix: int, row: int) -> tuple[Tensor, Tensor]:
    """Which blocks of keys each block of queries sees in part and in whole: two tables of queries × keys."""
    first_K = torch.arange(0, len(until_S), BLOCK, device=until_S.device)
    first_Q = torch.arange(prefix, prefix + row, BLOCK, device=until_S.device)[:, None]
    until_KB = until_S.view(-1, BLOCK)
    some = (first_K < first_Q + BLOCK) & (first_Q < until_KB.max(dim=1).values)
    wholly = (first_K + BLOCK <= first_Q + 1) & (first_Q + BLOCK <= until_KB.min(dim=1).values)
    return some & ~wholly, wholly


def _in_order(seen: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of keys each block of queries sees, and these blocks first in its row of all."""
    counts = seen.sum(dim=1, dtype=torch.int32)
    return counts[None, None], torch.argsort(~seen, dim=1, stable=True).to(torch.int32)[None, None].contiguous()


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
