"""The progress of sampling by TRL's trainers."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from preceptor.backends.transformers.sampling import TOKENS_A_TICK
from preceptor.core.ticks import tick


@contextmanager
def told(model: Any, most: int) -> Generator[None]:
    """Within the context, a model that samples in this process reports its progress, as on the native engine."""
    calls = 0

    def tell(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % TOKENS_A_TICK == 0:
            tick("tokens", min(calls, most), most)

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    handle = inner.register_forward_hook(tell)
    try:
        yield
    finally:
        handle.remove()
