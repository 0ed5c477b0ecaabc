"""Rewards from a run's judge that compares the responses to a prompt with each other."""

from preceptor.judging.groups.design import GroupDesign
from preceptor.runs.judge import RunJudge
from preceptor.training.rl.rewards import GroupReward, PairwiseReward, RewardSource


def sibling_rewards(judge: RunJudge, design: GroupDesign, variant: str) -> RewardSource:
    """The reward of a response among its siblings: by the mean of all comparisons, or by a strength where a design
    makes fewer.
    """
    if design == "all":
        return PairwiseReward(judge.comparer(variant), judge.reward_kind)
    return GroupReward(judge.group_judge(design, variant), judge.reward_kind)
