"""What a step learns from: groups of responses and their rewards. Groups that tell nothing apart can be replaced."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from preceptor.core.hashing import unit_hash
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Prompt
from preceptor.environments.outcomes import episode_means
from preceptor.training.policy import ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.facts import SourceFacts, UpdateFacts, thought_facts
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.rewards import NoRewardsError, PostProcessed, Rewarded, Rewards, RewardSource, TurnScores
from preceptor.training.rl.rewards.source import all_equal, known_of
from preceptor.training.rl.sampling import Sampler
from preceptor.training.rl.settings import RLSettings


@dataclass
class Collected:
    """The groups of a step with their rewards. The same in every process."""

    groups_P: list[ResponseGroup]
    rewards_PG: Rewards
    by_source: dict[str, Rewards]
    """As each source gave them; empty where there is one source."""
    seconds: dict[str, float]
    equal_groups: int = 0
    short_groups: int = 0
    resampled: int = 0
    discarded_tokens: int = 0
    turns: dict[str, TurnScores] = field(default_factory=dict[str, TurnScores])
    """The scores of single turns, by the source that gave them."""

    def count_groups(self) -> None:
        """Counts the groups that tell nothing apart; before the rewards are processed as a whole step."""
        self.equal_groups = sum(map(all_equal, self.rewards_PG))
        self.short_groups = sum(map(_is_short, self.rewards_PG))

    def with_facts(self, facts: UpdateFacts) -> UpdateFacts:
        """The facts of the update, with those of the groups."""
        return replace(
            facts,
            equal_groups=self.equal_groups,
            short_groups=self.short_groups,
            resampled_groups=self.resampled,
            discarded_tokens=self.discarded_tokens,
            episodes=episode_means([episode for group in self.groups_P for episode in group.episodes])
            | {name: n for of in self.turns.values() if of.failed_PG for name, n in of.counts().items()},
            thoughts=thought_facts([response for group in self.groups_P for response in group.responses]),
            sources={name: SourceFacts.of(rewards) for name, rewards in self.by_source.items()},
        )


class Collector:
    """Samples the groups of a step and asks for their rewards.

    With `rl.dynamic_sampling`, groups without variance (all rewards equal, or fewer than two) are replaced by groups
    of prompts that the step has not taken yet, at most that many times; what is still without variance then is kept.
    Which prompts these are depends on the seed and the step alone, so a resumed run takes the same.

    Args:
        sampler: samples this process's part of the responses.
        rewards: called only in the main process; other processes may pass None.
    """

    def __init__(
        self, sampler: Sampler, rewards: RewardSource | None, settings: RLSettings, processes: Processes, seed: int
    ) -> None:
        self._sampler = sampler
        self._rewards = None if rewards is None else processed(rewards)
        self._settings = settings
        self._processes = processes
        self._seed = seed

    def collect(self, step: int, taken: Sequence[Prompt], prompts: Sequence[Prompt]) -> Collected:
        """The groups of a step, and their rewards.

        Args:
            taken: the step's prompts.
            prompts: all training prompts, from which others are taken where groups are replaced.

        Raises: PreceptorError as the source of rewards does.
        """
        seconds = {"sampling": 0.0, "judging": 0.0}
        seeds = [derive_seed(self._seed, "rollout", step, place) for place in range(len(taken))]
        groups = self._sampled(taken, seeds, seconds)
        rewarded = self._rewarded(groups, seconds)
        by_source = {name: list(rewards) for name, rewards in rewarded.by_source.items()}
        turns = {name: scores.copy() for name, scores in rewarded.turns.items()}
        collected = Collected(groups, list(rewarded.rewards_PG), by_source, seconds, turns=turns)
        others = self._others(step, taken, prompts)
        for attempt in range(1, self._settings.dynamic_sampling + 1):
            places = [p for p, row in enumerate(collected.rewards_PG) if all_equal(row) or _is_short(row)]
            fresh = [prompt for _, prompt in zip(places, others, strict=False)]
            if not fresh:
                break
            seeds = [derive_seed(self._seed, "rollout", step, place, "attempt", attempt) for place in places]
            groups = self._sampled(fresh, seeds[: len(fresh)], seconds)
            _put(collected, places, groups, self._rewarded(groups, seconds, may_have_none=True))
        collected.count_groups()
        collected.rewards_PG = self._of_step(collected.rewards_PG)
        return collected

    def _sampled(
        self, prompts: Sequence[Prompt], seeds: Sequence[int], seconds: dict[str, float]
    ) -> list[ResponseGroup]:
        """The groups of some prompts; each process samples its part."""
        began, settings, part = time.perf_counter(), self._settings, self._processes.part
        groups = self._processes.gather(
            self._sampler.sample(
                part(prompts), settings.group_size, settings.max_new_tokens, settings.temperature, part(seeds)
            )
        )
        seconds["sampling"] += time.perf_counter() - began
        return groups

    def _rewarded(
        self, groups_P: Sequence[ResponseGroup], seconds: dict[str, float], *, may_have_none: bool = False
    ) -> Rewarded:
        """The rewards of some groups. A few groups may have none, which does not end the training."""

        def ask() -> Rewarded:
            assert self._rewards is not None
            try:
                return self._rewards.of_groups(groups_P)
            except NoRewardsError:
                if not may_have_none:
                    raise
                return Rewarded([[None] * len(group.responses) for group in groups_P])

        began = time.perf_counter()
        rewarded = self._processes.on_main(ask)
        seconds["judging"] += time.perf_counter() - began
        return rewarded

    def _of_step(self, rewards_PG: Rewards) -> Rewards:
        def finish() -> Rewards:
            assert self._rewards is not None
            return self._rewards.of_step(rewards_PG)

        return self._processes.on_main(finish)

    def _others(self, step: int, taken: Sequence[Prompt], prompts: Sequence[Prompt]) -> Iterator[Prompt]:
        """The prompts that the step has not taken, in an order of its own."""
        ids = {prompt.id for prompt in taken}
        rest = [prompt for prompt in prompts if prompt.id not in ids]
        return iter(sorted(rest, key=lambda prompt: unit_hash(self._seed, "dynamic sampling", step, prompt.id)))


def _put(collected: Collected, places: Sequence[int], groups: Sequence[ResponseGroup], rewarded: Rewarded) -> None:
    """Puts groups in the places of others, and counts what those had cost."""
    for of_new, place in enumerate(places[: len(groups)]):
        collected.resampled += 1
        collected.discarded_tokens += sum(response.tokens for response in collected.groups_P[place].responses)
        collected.groups_P[place] = groups[of_new]
        collected.rewards_PG[place] = rewarded.rewards_PG[of_new]
        for name, rewards in collected.by_source.items():
            of_source = rewarded.by_source.get(name)
            rewards[place] = [None] * len(groups[of_new].responses) if of_source is None else of_source[of_new]
        for name, scores in collected.turns.items():
            scores.put(place, rewarded.turns.get(name), of_new, len(groups[of_new].responses))


def _is_short(rewards_G: Sequence[float | None]) -> bool:
    """Whether responses that could be compared with siblings have too few rewards for it."""
    return len(rewards_G) > 1 and len(known_of(rewards_G)) < 2


def processed(source: RewardSource) -> PostProcessed:
    """The source with post-processing, which may do nothing."""
    return source if isinstance(source, PostProcessed) else PostProcessed(source, RewardProcessing())
