"""The interface of what samples the responses of a step."""

from collections.abc import Sequence
from typing import Protocol

from preceptor.core.types import Prompt
from preceptor.training.policy import ResponseGroup


class Sampler(Protocol):
    """Samples responses: a `Policy`, in one turn, or a `TurnSampler`, in several."""

    def sample(
        self,
        prompts_P: Sequence[Prompt],
        group_size: int,
        max_new_tokens: int,
        temperature: float,
        seeds_P: Sequence[int],
    ) -> list[ResponseGroup]:
        """Samples `group_size` responses of up to `max_new_tokens` tokens for each of P prompts. The same arguments
        give the same responses, and a prompt's responses do not depend on the other prompts, except for rounding.
        """
        ...
