"""Rewards: a number or None for each rollout. None abstains: the response is masked, never counted as 0."""

from preceptor.training.rl.rewards.bias_corrected import BiasCorrectedReward
from preceptor.training.rl.rewards.combined import PostProcessed, Rewarded, Rewards, WeightedReward
from preceptor.training.rl.rewards.comparing import AgainstReference, GroupReward, PairwiseReward
from preceptor.training.rl.rewards.environment import EnvironmentReward
from preceptor.training.rl.rewards.escalating import EscalatingReward
from preceptor.training.rl.rewards.function import CallableReward, load_reward_function
from preceptor.training.rl.rewards.rubric import RubricReward
from preceptor.training.rl.rewards.source import JudgeReward, NoRewardsError, RewardSource
from preceptor.training.rl.rewards.steps import WithStepScores
from preceptor.training.rl.rewards.turns import TurnRewardSource, TurnScores

__all__ = [
    "AgainstReference",
    "BiasCorrectedReward",
    "CallableReward",
    "EnvironmentReward",
    "EscalatingReward",
    "GroupReward",
    "JudgeReward",
    "NoRewardsError",
    "PairwiseReward",
    "PostProcessed",
    "RewardSource",
    "Rewarded",
    "Rewards",
    "RubricReward",
    "TurnRewardSource",
    "TurnScores",
    "WeightedReward",
    "WithStepScores",
    "load_reward_function",
]
