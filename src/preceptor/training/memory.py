"""Turns out-of-memory errors into ones that say which setting to lower."""

from collections.abc import Generator
from contextlib import contextmanager

import torch

from preceptor.core.errors import PreceptorError

_OTHER_WORDS = ("allocate memory", "out of memory", "ALLOC_FAILED")
"""Messages of torch that have no error type of their own: from a CPU, from CUDA or Metal, and from cuBLAS."""


@contextmanager
def memory_for(doing: str, lower: str) -> Generator[None]:
    """Within the context, an out-of-memory error becomes one that names the settings to lower.

    Args:
        doing: what was being done, for instance "sampling".
        lower: the settings that determine how much memory this takes.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and not any(words in str(error) for words in _OTHER_WORDS):
            raise
        raise PreceptorError(
            f"out of memory in {doing}: lower {lower}; tuning.gradient_checkpointing = true needs less memory too, and "
            'tuning.method = "lora" less than "full"'
        ) from error
