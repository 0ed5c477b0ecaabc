"""Rewards by rubrics: the share of the points that a response reaches in the rubric of its prompt."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from preceptor.core.types import JudgeFailure, Prompt, Response, Score
from preceptor.training.rl.rewards.source import check_judged

if TYPE_CHECKING:
    from preceptor.training.policy import ResponseGroup


class RubricScorer(Protocol):
    """Scores responses by the rubrics of their prompts, as `RubricJudge` does."""

    def score(self, items: Sequence[tuple[Prompt, Response]]) -> Sequence[Score | JudgeFailure]:
        """A score from 0 to 1, or a failure, for each response, in order."""
        ...


class RubricReward:
    """Rubrics as rewards (Gunjal et al. 2025, arXiv 2507.17746): the reward of a response is its expected score by its
    prompt's rubric, from 0 to 1. A response whose score failed abstains: a failed item never counts as not met.
    """

    def __init__(self, judge: RubricScorer) -> None:
        self._judge = judge

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The scores, P × G; the judge is asked about all of them at once.

        Raises: NoRewardsError when the judge failed on every response.
        """
        results = self._judge.score([(group.prompt, r) for group in groups_P for r in group.responses])
        check_judged(results, "responses")
        scores = iter(results)
        return [[_expected(next(scores)) for _ in group.responses] for group in groups_P]


def _expected(score: Score | JudgeFailure) -> float | None:
    return None if isinstance(score, JudgeFailure) else score.expectation
