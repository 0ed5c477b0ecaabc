"""A source of reward as a reward function of TRL's trainers."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from preceptor.backends.transformers.sampling import SampledResponse
from preceptor.core.types import Prompt
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.collecting import Collected, processed
from preceptor.training.rl.rewards import Rewards, RewardSource
from preceptor.training.trl.episodes import EpisodesOnTrl, joined

T = TypeVar("T")


class _AsPolicy(Protocol):
    def __call__(self) -> AbstractContextManager[None]: ...


class StepRewards:
    """Judges the responses of a step, which TRL has sampled, once for all processes.

    The main process gathers the responses of all, puts them into groups, and asks the source: so a group may be
    sampled by several processes, and the judge's ledger, budget and failures are as on the native engine. A response
    without a reward is None, which TRL gives no advantage and leaves out of its siblings' baseline.

    Args:
        source: asked only in the main process; other processes may pass None.
        prompts: by id, which is what TRL takes for the prompt.
        as_policy: within it, the policy's model computes as on the native engine.
        episodes: what sampled the responses, where an agent acts in an environment.
    """

    def __init__(
        self,
        policy: Policy,
        source: RewardSource | None,
        prompts: Mapping[str, Prompt],
        group_size: int,
        processes: Processes,
        as_policy: _AsPolicy,
        episodes: EpisodesOnTrl | None = None,
    ) -> None:
        self._policy = policy
        self._source = None if source is None else processed(source)
        self._prompts = prompts
        self._group_size = group_size
        self._processes = processes
        self._as_policy = as_policy
        self._episodes = episodes
        self._ends = set(policy.base.eos_ids)
        self.seconds = 0.0
        """What judging the last step took."""
        self.collected: Collected | None = None
        """The last step; in the main process only."""

    def __call__(self, prompts: Sequence[str], completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float | None]:
        """The rewards of this process's responses.

        Args:
            prompts: the id of each response's prompt.
            completion_ids: the tokens of each response, its end-of-sequence token included.

        Raises: PreceptorError as the source does, among them NoRewardsError.
        """
        began = time.perf_counter()
        if self._episodes is not None:
            episodes = self._processes.gather(self._episodes.groups)
            judged = self._processes.on_main(lambda: self._judged([joined(part) for part in self._divided(episodes)]))
        else:
            mine = [(prompt, tuple(ids)) for prompt, ids in zip(prompts, completion_ids, strict=True)]
            whole = self._processes.gather(mine)
            judged = self._processes.on_main(lambda: self._judged([self._group(p) for p in self._divided(whole)]))
        rewards = [reward for row in judged for reward in row]
        start = self._processes.index * len(prompts)
        self.seconds = time.perf_counter() - began
        return rewards[start : start + len(prompts)]

    def _divided(self, responses: Sequence[T]) -> list[Sequence[T]]:
        """The responses of a step, prompt by prompt."""
        size = self._group_size
        return [responses[start : start + size] for start in range(0, len(responses), size)]

    def _group(self, sampled: Sequence[tuple[str, tuple[int, ...]]]) -> ResponseGroup:
        prompt = self._prompts[sampled[0][0]]
        responses = [SampledResponse(ids, ids[-1] in self._ends) for _, ids in sampled]
        return self._policy.group(prompt, self._policy.encode(prompt), responses)

    def _judged(self, groups: list[ResponseGroup]) -> Rewards:
        """The rewards of all responses, P × G. In the main process."""
        assert self._source is not None
        with self._as_policy():
            rewarded = self._source.of_groups(groups)
        collected = Collected(groups, list(rewarded.rewards_PG), dict(rewarded.by_source), {})
        collected.count_groups()
        collected.rewards_PG = self._source.of_step(collected.rewards_PG)
        self.collected = collected
        return collected.rewards_PG
