"""How much better than expected a response was. Rewards may be masked where the judge failed."""

import torch
from torch import Tensor


def kl_penalised_rewards(rewards_PG: Tensor, kl_PG: Tensor, kl_coefficient: float) -> Tensor:
    """Reward minus β times the sequence's KL estimate (Stiennon et al. 2020; Lee et al. 2023, section 2.1).

    Args:
        rewards_PG: one reward for each of P prompts × G responses.
        kl_PG: sum over the response's tokens of log π(token) - log π_ref(token), in nats.
        kl_coefficient: β.
    """
    _check_same_shape(rewards_PG, kl_PG)
    return rewards_PG - kl_coefficient * kl_PG


def leave_one_out_advantages(rewards_PG: Tensor, valid_PG: Tensor) -> Tensor:
    """RLOO: each response's reward minus the mean reward of its valid siblings (Ahmadian et al. 2024, equation 6).

    Args:
        rewards_PG: rewards of P groups × G responses; an invalid place may hold anything, NaN included.
        valid_PG: True where there is a reward.

    Returns: advantages PG; 0 at invalid places and in groups with fewer than two valid responses.
    """
    _check_same_shape(rewards_PG, valid_PG)
    known_PG = torch.where(valid_PG, rewards_PG, 0.0)
    count_P1 = valid_PG.sum(dim=1, keepdim=True)
    siblings_mean_PG = (known_PG.sum(dim=1, keepdim=True) - known_PG) / (count_P1 - 1).clamp(min=1)
    usable_PG = valid_PG & (count_P1 >= 2)
    return torch.where(usable_PG, known_PG - siblings_mean_PG, 0.0)


def baseline_advantages(rewards_PG: Tensor, valid_PG: Tensor, baseline: float) -> Tensor:
    """REINFORCE with a baseline: reward minus a number that does not depend on the response (Williams 1992).

    Returns: advantages PG; 0 at invalid places.
    """
    _check_same_shape(rewards_PG, valid_PG)
    return torch.where(valid_PG, rewards_PG - baseline, 0.0)


def _check_same_shape(rewards_PG: Tensor, other_PG: Tensor) -> None:
    if rewards_PG.ndim != 2 or rewards_PG.shape != other_PG.shape:
        raise ValueError(
            f"expected two arrays of prompts × group, got {tuple(rewards_PG.shape)}, {tuple(other_PG.shape)}"
        )
