"""Rewards from a run's judge: of each response by itself, or compared with the others to its prompt."""

from preceptor.judging.groups.design import GroupDesign
from preceptor.runs.judge import RunJudge
from preceptor.training.rl.rewards import BiasCorrectedReward, GroupReward, JudgeReward, PairwiseReward, RewardSource


def score_rewards(judge: RunJudge) -> RewardSource:
    """The judge's score of a response, less what the recipe has taken off it.

    Raises: UsageError when the bias correction was fitted on another judge.
    """
    rewards, excess = JudgeReward(judge.scorer, judge.reward_kind), judge.score_correction()
    return rewards if excess is None else BiasCorrectedReward(rewards, excess)


def sibling_rewards(judge: RunJudge, design: GroupDesign, variant: str) -> RewardSource:
    """The reward of a response among its siblings: by the mean of all comparisons, or by a strength where a design
    makes fewer.
    """
    if design == "all":
        return PairwiseReward(judge.comparer(variant), judge.reward_kind)
    return GroupReward(judge.group_judge(design, variant), judge.reward_kind)
