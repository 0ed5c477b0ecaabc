"""Reads the prompts of several files, each of which may be a cohort of its own."""

from collections.abc import Sequence
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.core.types import Prompt
from preceptor.store.prompts import read_prompts


def read_prompt_sets(texts: Sequence[str], limit: int | None = None) -> list[Prompt]:
    """The prompts of all files, in their order.

    Args:
        texts: each a file or a packaged set, or `COHORT=FILE`, which puts all of a file's prompts into a cohort.
        limit: how many prompts of each file to use, from its beginning.

    Raises: UsageError when a file cannot be read or holds a wrong line, or when two prompts have the same id.
    """
    read: list[Prompt] = []
    for text in texts:
        cohort, equals, source = text.partition("=")
        named = equals and not Path(text).exists()
        if named and not cohort:
            raise UsageError(f"{text}: the name of the cohort is empty; give COHORT=FILE, or a file alone")
        prompts = read_prompts(source if named else text, limit)
        read += [prompt.model_copy(update={"cohort": cohort}) for prompt in prompts] if named else prompts
    return check_unique(read)


def check_unique(prompts: list[Prompt]) -> list[Prompt]:
    """Returns the prompts unchanged.

    Raises: UsageError when two of them have the same id.
    """
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise UsageError(f'two prompts have the id "{prompt.id}"; ids must be unique over all prompts')
        seen.add(prompt.id)
    return prompts
