"""A judge's scores of an agent's turns, beside the reward of the whole episode."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from preceptor.core.types import JudgeFailure
from preceptor.judging.score import ScoreJudge
from preceptor.judging.steps import StepJudge, failed_as_a_whole
from preceptor.training.rl.rewards.combined import Rewarded, rewarded
from preceptor.training.rl.rewards.source import RewardSource, check_judged
from preceptor.training.rl.rewards.turns import TurnScores

if TYPE_CHECKING:
    from preceptor.training.policy import ResponseGroup

STEPS = "steps"
"""The name of the scores of turns among the sources of reward."""


class WithStepScores:
    """Another source's rewards of whole episodes, and a judge's score of each turn, from 1 to 10.

    A turn that the judge failed on has no score. Whether an episode failed as a whole is what its environment says; if
    that says nothing, what the judge of the whole says, if there is one.

    Args:
        weight: what a standard deviation of the scores, within a group, adds to a turn's advantage.
        whole: is asked about the whole where the environment does not know; None if nobody is.
    """

    def __init__(
        self, source: RewardSource, judge: StepJudge, weight: float = 1.0, whole: ScoreJudge | None = None
    ) -> None:
        self._source = source
        self._judge = judge
        self._weight = weight
        self._whole = whole

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The rewards of the whole episodes, P × G; no turn is judged.

        Raises: as the source does.
        """
        return self._source(groups_P)

    def with_turns(self, groups_P: "Sequence[ResponseGroup]") -> Rewarded:
        """The rewards of the whole episodes, and the scores of their turns.

        Raises: as the source does; NoRewardsError when the judge failed on every turn.
        """
        of_whole = rewarded(self._source, groups_P)
        scores_BK = self._judge.score([(group.prompt, r) for group in groups_P for r in group.responses])
        check_judged([score for scores_K in scores_BK for score in scores_K], "turns")
        numbers = iter([[None if isinstance(s, JudgeFailure) else s.expectation for s in row] for row in scores_BK])
        scores_PGK = [[next(numbers) for _ in group.responses] for group in groups_P]
        turns = TurnScores(scores_PGK, self._weight, self._failed(groups_P))
        return replace(of_whole, turns={**of_whole.turns, STEPS: turns})

    def _failed(self, groups_P: "Sequence[ResponseGroup]") -> list[list[bool | None]]:
        """Whether each episode failed as a whole, P × G; None where nobody knows."""
        known = [
            [None if episode.success is None else not episode.success for episode in group.episodes]
            or [None] * len(group.responses)
            for group in groups_P
        ]
        if self._whole is None:
            return known
        pairs = [(group.prompt, r) for group in groups_P for r in group.responses]
        flat = [failed for row in known for failed in row]
        asked = [place for place, failed in enumerate(flat) if failed is None]
        for place, score in zip(asked, self._whole.score([pairs[i] for i in asked]), strict=True):
            flat[place] = None if isinstance(score, JudgeFailure) else failed_as_a_whole(score)
        remaining = iter(flat)
        return [[next(remaining) for _ in row] for row in known]
