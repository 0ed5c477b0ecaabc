"""The judge of `benchmarks.bias_corrected`: a judge of scores that, besides, loves length."""

from collections.abc import Sequence

from preceptor.judging.text_features import length
from preceptor.methods.direct_rlaif import DirectRlaif
from preceptor.methods.parts.reinforcement import train_by_rl, whole_reward
from preceptor.recipes.direct_rlaif import DirectRlaifRecipe
from preceptor.results.run import RunSummary
from preceptor.runs.ending import Alignment
from preceptor.runs.judge import RunJudge, judging
from preceptor.runs.session import Session
from preceptor.training.policy import ResponseGroup
from preceptor.training.rl.rewards import BiasCorrectedReward, JudgeReward, Rewards, RewardSource

PLANTED = 1.0
"""Log-odds that it adds for each doubling of a response's characters."""


class LovesLength:
    """Another source's log-odds, and `PLANTED` for each doubling of the length."""

    def __init__(self, source: RewardSource) -> None:
        self._source = source

    def __call__(self, groups_P: Sequence[ResponseGroup]) -> Rewards:
        """The rewards, P × G."""
        return [
            [
                None if reward is None else reward + PLANTED * length(r.text)
                for reward, r in zip(row, group.responses, strict=True)
            ]
            for row, group in zip(self._source(groups_P), groups_P, strict=True)
        ]


class LengthLover(DirectRlaif):
    """Direct RLAIF with that judge; what the recipe names as its bias is taken off."""

    def run(self, session: Session, recipe: DirectRlaifRecipe) -> RunSummary:
        """As direct RLAIF."""
        prompts = session.split()
        session.progress.stage("loading the models")
        policy = session.open_policy(recipe.policy)
        with judging(session) as judge:
            rewards = judge and whole_reward(_reward(judge), recipe.rewards, recipe.reward_processing)
            alignment = Alignment(session, policy, prompts, judge, judge and judge.grader)
            alignment.begin(recipe.rl.steps, recipe.rl.tokens_per_step)
            steps = train_by_rl(session, policy, rewards, prompts.training, recipe.rl, alignment.look)
            return alignment.end(steps)


def _reward(judge: RunJudge) -> RewardSource:
    loves, excess = LovesLength(JudgeReward(judge.scorer, judge.reward_kind)), judge.score_correction()
    return loves if excess is None else BiasCorrectedReward(loves, excess)
