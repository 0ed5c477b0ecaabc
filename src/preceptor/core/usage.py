"""The tokens of calls to language models."""

from collections.abc import Iterable

from pydantic import Field

from preceptor.core.fields import Frozen


class Usage(Frozen):
    """Tokens that one call read and wrote."""

    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    estimated: bool = False
    """Whether some of the tokens are estimates of preceptor, because the model did not count them."""
    cached_tokens: int = Field(default=0, ge=0)
    """Of the prompt tokens, those that the provider read from its cache."""
    cache_writes: int = Field(default=0, ge=0)
    """Of the prompt tokens, those that the provider wrote to its cache, where it says so and they have their price."""


def total_usage(usages: Iterable[Usage]) -> Usage:
    """The sum of usages."""
    listed = list(usages)
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in listed),
        completion_tokens=sum(usage.completion_tokens for usage in listed),
        estimated=any(usage.estimated for usage in listed),
        cached_tokens=sum(usage.cached_tokens for usage in listed),
        cache_writes=sum(usage.cache_writes for usage in listed),
    )
