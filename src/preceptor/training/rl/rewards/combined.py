"""Rewards made of other rewards: a weighted sum, and post-processing."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from statistics import fmean, pstdev, stdev
from typing import TYPE_CHECKING, TypeAlias

from preceptor.core.types import Rollout
from preceptor.training.rl.reward_settings import Aggregation, RewardProcessing, Strip
from preceptor.training.rl.rewards.source import NO_VARIATION, NoRewardsError, RewardSource, all_equal, known, known_of
from preceptor.training.rl.rewards.turns import TurnRewardSource, TurnScores
from preceptor.training.thinking_settings import PolicyThinking

if TYPE_CHECKING:
    from preceptor.training.policy import ResponseGroup

Rewards: TypeAlias = list[list[float | None]]
"""A number or None for each response, P × G."""
_PERIODS_AND_SPACES = re.compile(r"(?<![\s.])[\s.]+\Z")


@dataclass(frozen=True)
class Rewarded:
    """The rewards of a batch, P × G, with the rewards of each source, by its name, where there are several."""

    rewards_PG: Rewards
    by_source: Mapping[str, Rewards] = field(default_factory=dict[str, Rewards])
    turns: Mapping[str, TurnScores] = field(default_factory=dict[str, TurnScores])
    """The scores of single turns, by the source that gave them."""


class WeightedReward:
    """The weighted sum of several sources' rewards. A response needs a reward from every source to have one.

    With `normalize_then_sum`, each source's rewards are normalised within their group before they are weighted, over
    the responses that have a reward from every source: all sources then have the same mean (0) and the same standard
    deviation (1), whatever their units (Liu et al. 2026, "GDPO", arXiv 2601.05242, equation 4). A source that gives
    all responses of a group the same adds 0. In a group with fewer than two such responses, all abstain.

    Args:
        names: a name for each source, for metrics; their places if not given.

    Raises: ValueError when there is no source.
    """

    def __init__(
        self,
        parts: Sequence[tuple[RewardSource, float]],
        names: Sequence[str] | None = None,
        aggregation: Aggregation = "sum",
    ) -> None:
        if not parts:
            raise ValueError("a weighted reward needs at least one source")
        self._parts = list(parts)
        self.names = _distinct(names or [f"source {place}" for place in range(1, len(parts) + 1)])
        self._aggregation: Aggregation = aggregation

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> Rewards:
        """The sums, P × G.

        Raises: NoRewardsError when no response has a reward from every source.
        """
        return self.with_sources(groups_P).rewards_PG

    def with_sources(self, groups_P: "Sequence[ResponseGroup]") -> Rewarded:
        """The sums, and each source's rewards as it gave them.

        Raises: NoRewardsError when no response has a reward from every source.
        """
        asked = [rewarded(source, groups_P) for source, _ in self._parts]
        by_source = [of_source.rewards_PG for of_source in asked]
        sums = [self._summed(rows_G) for rows_G in zip(*by_source, strict=True)]
        if all(reward is None for row in sums for reward in row):
            wanted = f"all {len(self._parts)} sources that are summed"
            siblings = ", as has a sibling" if self._aggregation == "normalize_then_sum" else ""
            raise NoRewardsError(f"no response of a step has a reward from {wanted}{siblings}")
        turns = {name: scores for of_source in asked for name, scores in of_source.turns.items()}
        return Rewarded(sums, dict(zip(self.names, by_source, strict=True)), turns)

    def _summed(self, rewards_SG: Sequence[Sequence[float | None]]) -> list[float | None]:
        """The sums of one group, from each source's rewards."""
        complete = [all(known(r) is not None for r in of_response) for of_response in zip(*rewards_SG, strict=True)]
        kept_SG = [known_of(list(compress(row_G, complete))) for row_G in rewards_SG]
        if self._aggregation == "normalize_then_sum":
            if sum(complete) < 2:
                return [None] * len(complete)
            kept_SG = [group_normalised(row_G) for row_G in kept_SG]
        weights = [weight for _, weight in self._parts]
        sums = iter([math.fsum(w * r for w, r in zip(weights, of, strict=True)) for of in zip(*kept_SG, strict=True)])
        return [next(sums) if there else None for there in complete]


class PostProcessed:
    """Another source's rewards after post-processing, in the order given by `RewardProcessing`.

    If texts are stripped, the source judges the stripped texts, and a response of which nothing is left abstains
    without being judged; with `strip = "none"` texts are judged unchanged. The penalty counts the sampled tokens of the
    answer. Whitening uses all rewards of the step and their population standard deviation.

    A response whose thought is unfinished is not judged: it gets what `thinking` says.

    Args:
        thinking: of a policy that thinks.
    """

    def __init__(
        self, source: RewardSource, settings: RewardProcessing, thinking: PolicyThinking | None = None
    ) -> None:
        self._source = source
        self._settings = settings
        self._thinking = thinking or PolicyThinking()

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> Rewards:
        """The processed rewards, P × G.

        Raises: PreceptorError as the source does, and NoRewardsError when nothing is left of any response.
        """
        return self.of_step(self.of_groups(groups_P).rewards_PG)

    def of_groups(self, groups_P: "Sequence[ResponseGroup]") -> Rewarded:
        """The rewards of some groups of a step, after all processing that looks at no other group.

        Raises: as a call.
        """
        judged = self._judged(groups_P)
        rewards = [
            [self._processed(reward, response) for reward, response in zip(row, group.responses, strict=True)]
            for row, group in zip(judged.rewards_PG, groups_P, strict=True)
        ]
        return replace(judged, rewards_PG=rewards)

    def of_step(self, rewards_PG: Rewards) -> Rewards:
        """The rewards of a whole step from those of its groups: whitened, if the settings say so."""
        return whitened(rewards_PG) if self._settings.whiten else rewards_PG

    def describe(self) -> str:
        """Describes the post-processing in words."""
        return self._settings.describe()

    def _judged(self, groups_P: "Sequence[ResponseGroup]") -> Rewarded:
        """The source's rewards of the responses as it sees them; None where there is nothing to see."""
        texts_PG = [[self._seen(response) for response in group.responses] for group in groups_P]
        if all(r.text == t for group, row in zip(groups_P, texts_PG, strict=True) for r, t in _both(group, row)):
            return rewarded(self._source, groups_P)
        kept = [
            _with_texts(group, row) for group, row in zip(groups_P, texts_PG, strict=True) if row != [None] * len(row)
        ]
        if not kept and self._thinking.penalty is None:
            raise NoRewardsError(_nothing_left(groups_P))
        judged = rewarded(self._source, kept) if kept else self._unasked()
        by_source = {name: _at_their_places(rewards, texts_PG) for name, rewards in judged.by_source.items()}
        turns = {name: _turns_at_their_places(scores, texts_PG) for name, scores in judged.turns.items()}
        return Rewarded(_at_their_places(judged.rewards_PG, texts_PG), by_source, turns)

    def _unasked(self) -> Rewarded:
        """What a source says of no response."""
        names = self._source.names if isinstance(self._source, WeightedReward) else ()
        return Rewarded([], {name: [] for name in names})

    def _seen(self, response: Rollout) -> str | None:
        """The text that the source sees; None if it is not asked."""
        text = stripped(response.text, self._settings.strip)
        if response.unfinished_thought or (not text and self._settings.strip != "none"):
            return None
        return with_thought(response.thought, text) if self._thinking.judge_sees_thought else text

    def _processed(self, reward: float | None, response: Rollout) -> float | None:
        if response.unfinished_thought:
            return self._thinking.penalty
        number, limit = known(reward), self._settings.clip
        if number is None:
            return None
        clipped = number if limit is None else min(max(number, -limit), limit)
        return clipped - self._settings.length_penalty * response.answer_tokens


def rewarded(source: RewardSource, groups_P: "Sequence[ResponseGroup]") -> Rewarded:
    """All that a source says of some groups.

    Raises: PreceptorError as the source does.
    """
    if isinstance(source, WeightedReward):
        return source.with_sources(groups_P)
    if isinstance(source, TurnRewardSource):
        return source.with_turns(groups_P)
    return Rewarded(source(groups_P))


def stripped(text: str, what: Strip) -> str:
    """The text with its end stripped."""
    if what == "none":
        return text
    return text.rstrip() if what == "spaces" else _PERIODS_AND_SPACES.sub("", text)


def with_thought(thought: str | None, answer: str) -> str:
    """An answer with the thought before it, for those who see both."""
    return answer if thought is None else f"<think>\n{thought}\n</think>\n\n{answer}"


def whitened(rewards_PG: Sequence[Sequence[float | None]]) -> list[list[float | None]]:
    """Rewards minus their mean, divided by their population standard deviation; 0 if they are all the same."""
    there = [reward for row in rewards_PG for reward in row if reward is not None]
    mean, deviation = (fmean(there), pstdev(there)) if there else (0.0, 0.0)
    scale = 0.0 if deviation < NO_VARIATION else 1.0 / deviation
    return [[None if reward is None else (reward - mean) * scale for reward in row] for row in rewards_PG]


def group_normalised(rewards_G: Sequence[float]) -> list[float]:
    """Rewards of a group minus their mean, divided by their standard deviation, the sample's (n - 1); 0 if they are
    all the same. Nothing is added to the deviation, so that the unit of the rewards does not matter.
    """
    if len(rewards_G) < 2 or all_equal(rewards_G):
        return [0.0] * len(rewards_G)
    mean, deviation = fmean(rewards_G), stdev(rewards_G)
    return [(reward - mean) / deviation for reward in rewards_G]


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, those that occur again with a number behind."""
    return [name if (n := names[:place].count(name)) == 0 else f"{name} {n + 1}" for place, name in enumerate(names)]


def _at_their_places(rewards: Rewards, texts_PG: Sequence[Sequence[str | None]]) -> Rewards:
    """The rewards of the responses that have a text, and None for the others."""
    remaining = iter([reward for row in rewards for reward in row])
    return [[None if text is None else next(remaining) for text in texts] for texts in texts_PG]


def _turns_at_their_places(scores: TurnScores, texts_PG: Sequence[Sequence[str | None]]) -> TurnScores:
    """The scores of turns; none where nothing is left of a response."""
    remaining = iter([turns for row in scores.scores_PGK for turns in row])
    failed = iter([each for row in scores.failed_PG for each in row])
    kept_PG = [[text is not None for text in texts] for texts in texts_PG]
    return replace(
        scores,
        scores_PGK=[[next(remaining) if kept else [] for kept in row] for row in kept_PG],
        failed_PG=[[next(failed) if kept else None for kept in row] for row in kept_PG if scores.failed_PG],
    )


def _with_texts(group: "ResponseGroup", texts: Sequence[str | None]) -> "ResponseGroup":
    """The group with these texts; responses without one are left out."""
    responses = [r.model_copy(update={"text": text}) for r, text in _both(group, texts) if text is not None]
    kept = [text is not None for text in texts]
    episodes = tuple(compress(group.episodes, kept))
    return replace(group, responses=tuple(responses), tokens=group.tokens.only(kept), episodes=episodes)


def _both(group: "ResponseGroup", texts: Sequence[str | None]) -> list[tuple[Rollout, str | None]]:
    return list(zip(group.responses, texts, strict=True))


def _nothing_left(groups_P: "Sequence[ResponseGroup]") -> str:
    """Why no response of a step is judged."""
    unfinished = [response.unfinished_thought for group in groups_P for response in group.responses]
    if all(unfinished):
        return (
            f"none of the {len(unfinished)} thoughts of a step ended within its limit, so there is no answer to judge; "
            "raise thinking.tokens, or give such responses a reward by thinking.unfinished_reward"
        )
    return "nothing is left of any response of a step after stripping; the policy answers nothing"
