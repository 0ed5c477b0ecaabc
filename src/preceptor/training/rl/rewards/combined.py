"""Rewards made of other rewards: a weighted sum, and post-processing."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

from preceptor.core.errors import PreceptorError
from preceptor.training.rl.reward_settings import RewardProcessing, Strip
from preceptor.training.rl.rewards.source import RewardSource, known

if TYPE_CHECKING:
    from preceptor.training.policy import ResponseGroup

NO_VARIATION = 1e-8
"""A standard deviation below this comes from rounding."""
_PERIODS_AND_SPACES = re.compile(r"(?<![\s.])[\s.]+\Z")


class WeightedReward:
    """The weighted sum of several sources' rewards. A response needs a reward from every source to have one.

    Raises: ValueError when there is no source.
    """

    def __init__(self, parts: Sequence[tuple[RewardSource, float]]) -> None:
        if not parts:
            raise ValueError("a weighted reward needs at least one source")
        self._parts = list(parts)

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The sums, P × G.

        Raises: PreceptorError when no response has a reward from every source.
        """
        weights = [weight for _, weight in self._parts]
        by_source = [source(groups_P) for source, _ in self._parts]
        sums = [
            [_weighted(by_source_here, weights) for by_source_here in zip(*rows_G, strict=True)]
            for rows_G in zip(*by_source, strict=True)
        ]
        if all(reward is None for row in sums for reward in row):
            raise PreceptorError(f"no response of a step has a reward from all {len(weights)} sources that are summed")
        return sums


class PostProcessed:
    """Another source's rewards after post-processing, in the order given by `RewardProcessing`.

    If texts are stripped, the source judges the stripped texts, and a response of which nothing is left abstains
    without being judged; with `strip = "none"` texts are judged unchanged. The penalty counts the sampled tokens.
    Whitening uses all rewards of the step and their population standard deviation.
    """

    def __init__(self, source: RewardSource, settings: RewardProcessing) -> None:
        self._source = source
        self._settings = settings

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The processed rewards, P × G.

        Raises: PreceptorError as the source does, and when nothing is left of any response.
        """
        rewards = [
            [self._processed(reward, response.tokens) for reward, response in zip(row, group.responses, strict=True)]
            for row, group in zip(self._judged(groups_P), groups_P, strict=True)
        ]
        return whitened(rewards) if self._settings.whiten else rewards

    def describe(self) -> str:
        """Describes the post-processing in words."""
        return self._settings.describe()

    def _judged(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The source's rewards of the stripped responses; None where nothing is left."""
        if self._settings.strip == "none":
            return self._source(groups_P)
        texts_PG = [[stripped(r.text, self._settings.strip) for r in group.responses] for group in groups_P]
        kept = [_with_texts(group, texts) for group, texts in zip(groups_P, texts_PG, strict=True) if any(texts)]
        if not kept:
            raise PreceptorError(
                "nothing is left of any response of a step after stripping; the policy answers nothing"
            )
        rewards = iter([reward for row in self._source(kept) for reward in row])
        return [[next(rewards) if text else None for text in texts] for texts in texts_PG]

    def _processed(self, reward: float | None, tokens: int) -> float | None:
        number, limit = known(reward), self._settings.clip
        if number is None:
            return None
        clipped = number if limit is None else min(max(number, -limit), limit)
        return clipped - self._settings.length_penalty * tokens


def stripped(text: str, what: Strip) -> str:
    """The text with its end stripped."""
    if what == "none":
        return text
    return text.rstrip() if what == "spaces" else _PERIODS_AND_SPACES.sub("", text)


def whitened(rewards_PG: Sequence[Sequence[float | None]]) -> list[list[float | None]]:
    """Rewards minus their mean, divided by their population standard deviation; 0 if they are all the same."""
    there = [reward for row in rewards_PG for reward in row if reward is not None]
    mean, deviation = (fmean(there), pstdev(there)) if there else (0.0, 0.0)
    scale = 0.0 if deviation < NO_VARIATION else 1.0 / deviation
    return [[None if reward is None else (reward - mean) * scale for reward in row] for row in rewards_PG]


def _weighted(rewards: Sequence[float | None], weights: Sequence[float]) -> float | None:
    there = [number for reward in rewards if (number := known(reward)) is not None]
    return math.fsum(w * r for w, r in zip(weights, there, strict=True)) if len(there) == len(rewards) else None


def _with_texts(group: "ResponseGroup", texts: Sequence[str]) -> "ResponseGroup":
    """The group with these texts; responses without one are left out."""
    responses = [r.model_copy(update={"text": t}) for r, t in zip(group.responses, texts, strict=True) if t]
    tokens = replace(group.tokens, responses=tuple(compress(group.tokens.responses, texts)))
    return replace(group, responses=tuple(responses), tokens=tokens)
