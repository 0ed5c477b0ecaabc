"""Episodes of an agent in TRL's GRPO: the model speaks as TRL has it sample, and preceptor plays the episodes, runs the
tools and says which tokens are learned. So templates, limits and broken calls are as on the native engine, and any chat
template will do.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from preceptor.backends.transformers.sampling import SampledResponse
from preceptor.core.errors import UsageError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Prompt
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.turns import TurnSampler
from preceptor.training.trl.divided import divides


class EpisodesOnTrl:
    """Samples a process's episodes of a step, as a `rollout_func` of TRL's GRPO trainer.

    Args:
        prompts: by id, which is what TRL takes for the prompt.
    """

    def __init__(
        self, policy: Policy, sampler: TurnSampler, prompts: Mapping[str, Prompt], settings: RLSettings, seed: int
    ) -> None:
        self._policy = policy
        self._sampler = sampler
        self._prompts = prompts
        self._settings = settings
        self._seed = seed
        self.groups: list[ResponseGroup] = []
        """The process's episodes of the last step, each in a group of its own."""

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        """Samples an episode for each prompt.

        Returns: the tokens of prompts and episodes, and which of these the policy wrote, in TRL's names.
        """
        settings = self._settings
        seeds = [derive_seed(self._seed, "episode", trainer.state.global_step, place) for place in range(len(prompts))]
        self.groups = self._sampler.spoken_by(_Speaker(self._policy, trainer)).sample(
            [self._prompts[prompt] for prompt in prompts], 1, settings.max_new_tokens, settings.temperature, seeds
        )
        tokens = [group.tokens for group in self.groups]
        return {
            "prompt_ids": [list(group.prompt) for group in tokens],
            "completion_ids": [list(group.responses[0]) for group in tokens],
            "env_mask": [[int(learned) for learned in group.masks[0]] for group in tokens],
            "logprobs": None,
        }


class _Speaker:
    """TRL's model as what speaks in episodes. Its random numbers are torch's, which the trainer seeds for each step."""

    def __init__(self, policy: Policy, trainer: Any) -> None:
        self.base = policy.base
        self.identity = policy.identity
        self._trainer = trainer

    @contextmanager
    def sampling(self) -> Generator[None]:
        """Lets a turn be as long as the settings say; then the trainer's own limit holds again."""
        config = self._trainer.generation_config
        longest = config.max_new_tokens
        try:
            yield
        finally:
            config.max_new_tokens = longest

    def continued(
        self,
        token_ids_P: Sequence[Sequence[int]],
        group_size: int,
        max_new_tokens: int,
        temperature: float,
        seeds_P: Sequence[int],
        limits_P: Sequence[int],
        prefix_cache: object = None,
    ) -> list[list[SampledResponse]]:
        """Samples one continuation of each of P texts, cut at its limit."""
        assert group_size == 1
        if not token_ids_P:
            return []
        self._trainer.generation_config.max_new_tokens = min(max_new_tokens, max(limits_P))
        completions, _ = self._trainer._generate_single_turn([list(ids) for ids in token_ids_P], None, {}, 1)
        kept = [tuple(ids[:limit]) for ids, limit in zip(completions, limits_P, strict=True)]
        return [[SampledResponse(ids, ids[-1] in self._trainer.eos_token_ids)] for ids in kept]


def joined(groups: Sequence[ResponseGroup]) -> ResponseGroup:
    """One group of the episodes of several groups of the same prompt."""
    first = groups[0]
    return ResponseGroup(
        first.prompt,
        tuple(response for group in groups for response in group.responses),
        TokenGroup(
            first.tokens.prompt,
            tuple(ids for group in groups for ids in group.tokens.responses),
            tuple(mask for group in groups for mask in group.tokens.masks),
        ),
        tuple(episode for group in groups for episode in group.episodes),
    )


def check_whole(processes: Processes) -> None:
    """Raises: UsageError where each process holds a part of the model: they compute each token together, and
    the episodes of one process may take more turns than those of another.
    """
    if divides(processes):
        raise UsageError(
            "episodes of several turns need the whole model in every process: launch with the configuration that "
            "`preceptor engine config ddp` writes"
        )
