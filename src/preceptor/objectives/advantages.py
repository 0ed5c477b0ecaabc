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
        rewards_PG: rewards of P groups × G responses; invalid entries may hold anything, NaN included.
        valid_PG: True where there is a reward.

    Returns: advantages PG; 0 at invalid entries and in groups with fewer than two valid responses.
    """
    _check_same_shape(rewards_PG, valid_PG)
    known_PG = _known(rewards_PG, valid_PG)
    count_P1 = valid_PG.sum(dim=1, keepdim=True)
    siblings_mean_PG = (known_PG.sum(dim=1, keepdim=True) - known_PG) / (count_P1 - 1).clamp(min=1)
    usable_PG = valid_PG & (count_P1 >= 2)
    return torch.where(usable_PG, known_PG - siblings_mean_PG, 0.0).to(rewards_PG.dtype)


def baseline_advantages(rewards_PG: Tensor, valid_PG: Tensor, baseline: float) -> Tensor:
    """REINFORCE with a baseline: reward minus a number that does not depend on the response (Williams 1992).

    Returns: advantages PG; 0 at invalid entries.
    """
    _check_same_shape(rewards_PG, valid_PG)
    return torch.where(valid_PG, rewards_PG - baseline, 0.0)


def group_normalised_advantages(rewards_PG: Tensor, valid_PG: Tensor, *, scale: bool) -> Tensor:
    """GRPO: reward minus the mean of the group, divided by its standard deviation if `scale` (Shao et al. 2024,
    section 4.1.2; Liu et al. 2025 leave the division out, because it favours groups that hardly differ).

    The deviation is the sample's (n - 1), and 1e-4 is added to it.

    Returns: advantages PG; 0 at invalid entries and in groups with fewer than two valid responses.
    """
    _check_same_shape(rewards_PG, valid_PG)
    known_PG = _known(rewards_PG, valid_PG)
    count_P1 = valid_PG.sum(dim=1, keepdim=True)
    mean_P1 = known_PG.sum(dim=1, keepdim=True) / count_P1.clamp(min=1)
    centred_PG = torch.where(valid_PG & (count_P1 >= 2), known_PG - mean_P1, 0.0)
    if not scale:
        return centred_PG.to(rewards_PG.dtype)
    deviation_P1 = ((centred_PG**2).sum(dim=1, keepdim=True) / (count_P1 - 1).clamp(min=1)).sqrt()
    return (centred_PG / (deviation_P1 + 1e-4)).to(rewards_PG.dtype)


def turn_advantages(scores_K: Tensor, valid_K: Tensor, group_of_K: Tensor) -> Tensor:
    """What each turn of an agent earned by itself: its score minus the mean score of all turns of its group, divided by
    their standard deviation, as in process supervision (Shao et al. 2024, section 4.1.3). Unlike there, a turn is not
    credited with the scores of the turns that follow it.

    Added to the advantage of the whole response, A(turn k of response i) = A_i + w · z_ik (Feng et al. 2025, "GiGPO",
    arXiv 2505.10978, who take z within groups of equal states).

    The deviation is the sample's (n - 1), and 1e-4 is added to it.

    Args:
        scores_K: a score for each of K turns; invalid entries may hold anything, NaN included.
        valid_K: True where there is a score.
        group_of_K: the index of the group that each turn belongs to.

    Returns: z of each turn; 0 at invalid entries and in groups with fewer than two valid turns.
    """
    if not scores_K.shape == valid_K.shape == group_of_K.shape:
        raise ValueError(
            f"scores {tuple(scores_K.shape)}, validity {tuple(valid_K.shape)} and groups {tuple(group_of_K.shape)} "
            "do not fit"
        )
    groups = int(group_of_K.max()) + 1 if len(group_of_K) else 0
    known_K = _known(scores_K, valid_K)
    count_P = known_K.new_zeros(groups).index_add(0, group_of_K, valid_K.to(known_K.dtype))
    mean_P = known_K.new_zeros(groups).index_add(0, group_of_K, known_K) / count_P.clamp(min=1)
    usable_K = valid_K & (count_P >= 2)[group_of_K]
    centred_K = torch.where(usable_K, known_K - mean_P[group_of_K], 0.0)
    squares_P = known_K.new_zeros(groups).index_add(0, group_of_K, centred_K**2)
    deviation_P = (squares_P / (count_P - 1).clamp(min=1)).sqrt()
    return (centred_K / (deviation_P + 1e-4)[group_of_K]).to(scores_K.dtype)


def generalised_advantages(
    rewards_N: Tensor, values_N: Tensor, lengths_B: Tensor, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """GAE without discount: A_t = Σ_k λ^k δ_{t+k}, δ_t = r_t + V_{t+1} - V_t, V = 0 after the last token (Schulman et
    al. 2016, equation 16).

    Args:
        rewards_N: reward of each of N tokens, B responses one after another.
        values_N: the value head's estimate before each token.
        lengths_B: tokens of each response.

    Returns: advantages N, and the returns N, A + V, which are the value head's targets. No gradient flows through them.
    """
    if rewards_N.shape != values_N.shape or int(lengths_B.sum()) != len(rewards_N):
        shapes = f"rewards {tuple(rewards_N.shape)}, values {tuple(values_N.shape)}"
        raise ValueError(f"{shapes} and responses of {int(lengths_B.sum())} tokens do not fit")
    rewards, values = rewards_N.detach().tolist(), values_N.detach().tolist()
    advantages = [0.0] * len(rewards)
    end = 0
    for length in lengths_B.tolist():
        start, end = end, end + length
        following_advantage = following_value = 0.0
        for t in range(end - 1, start - 1, -1):
            surprise = rewards[t] + following_value - values[t]
            following_advantage = advantages[t] = surprise + gae_lambda * following_advantage
            following_value = values[t]
    advantages_N = torch.tensor(advantages, dtype=rewards_N.dtype, device=rewards_N.device)
    return advantages_N, advantages_N + values_N.detach()


def _known(rewards_PG: Tensor, valid_PG: Tensor) -> Tensor:
    """Rewards in double precision, 0 where there is none.

    In double precision the mean of equal rewards is exact, so their advantages are 0. Single precision would leave
    rounding errors, which scaling, or an optimiser that scales as Adam does, would amplify into a training signal.
    """
    return torch.where(valid_PG, rewards_PG, 0.0).double()


def _check_same_shape(rewards_PG: Tensor, other_PG: Tensor) -> None:
    if rewards_PG.ndim != 2 or rewards_PG.shape != other_PG.shape:
        raise ValueError(
            f"expected two arrays of prompts × group, got {tuple(rewards_PG.shape)}, {tuple(other_PG.shape)}"
        )
