"""The input of an algorithm: rewards and log-probabilities of B = P × G responses with N tokens in total."""

from dataclasses import dataclass

import torch
from torch import Tensor

from preceptor.objectives.advantages import kl_penalised_rewards
from preceptor.objectives.policy_gradient import kl_estimate, sequence_sums


@dataclass(frozen=True)
class Batch:
    """A whole step, the same in every process. Nothing here carries a gradient."""

    rewards_PG: Tensor
    """Rewards as the source returned them; anything, even NaN, where `valid_PG` is False."""
    valid_PG: Tensor
    """True where there is a reward."""
    lengths_B: Tensor
    """Tokens of each response that the policy wrote; no other token is in the batch."""
    old_log_probs_N: Tensor
    """Log-probabilities under the policy that sampled the tokens; one response after another."""
    reference_log_probs_N: Tensor
    values_N: Tensor | None
    """The value head's estimate before each token, if the algorithm has a value head."""
    kl_penalty: float
    """β if the KL is subtracted from the reward; 0 if it is in the loss."""

    @property
    def response_of_N(self) -> Tensor:
        """The index of the response that each token belongs to."""
        return torch.repeat_interleave(self.lengths_B)

    @property
    def kl_N(self) -> Tensor:
        """Log π - log π_ref of each token."""
        return self.old_log_probs_N - self.reference_log_probs_N

    @property
    def kl_PG(self) -> Tensor:
        """Log π - log π_ref of each response."""
        return sequence_sums(self.kl_N, self.response_of_N, len(self.lengths_B)).view(self.rewards_PG.shape)

    @property
    def penalised_PG(self) -> Tensor:
        """Rewards minus the KL penalty, unless it is in the loss."""
        return kl_penalised_rewards(self.rewards_PG, self.kl_PG, self.kl_penalty)

    def by_token(self, values_PG: Tensor) -> Tensor:
        """Gives each token its response's number: P × G to N."""
        return values_PG.flatten()[self.response_of_N]


@dataclass(frozen=True)
class Targets:
    """The targets that an algorithm computes for each of a batch's N tokens."""

    advantages_N: Tensor
    returns_N: Tensor | None = None
    """Targets of the value head."""


@dataclass(frozen=True)
class Part:
    """Complete groups of a batch under the current policy; `log_probs_N` and `values_N` carry the gradient."""

    log_probs_N: Tensor
    values_N: Tensor | None
    old_log_probs_N: Tensor
    old_values_N: Tensor | None
    reference_log_probs_N: Tensor
    advantages_N: Tensor
    returns_N: Tensor | None
    rewards_PG: Tensor
    valid_PG: Tensor
    lengths_B: Tensor
    mean_length: float
    """Mean number of tokens per response in the whole batch."""
    kl_in_loss: float
    """β if the KL is in the loss; 0 if it is subtracted from the reward."""

    def sums(self, values_N: Tensor) -> Tensor:
        """Sums token values by response: N to B."""
        return sequence_sums(values_N, torch.repeat_interleave(self.lengths_B), len(self.lengths_B))

    def with_kl(self, losses_N: Tensor) -> Tensor:
        """Token losses plus β times the KL estimate, if the KL is in the loss.

        The estimate is weighted by the token's probability ratio, even if that is 1: without the weight, its gradient
        would be that of the reverse, KL(π_ref ‖ π) (DeepSeek-AI 2025, arXiv 2512.02556, section 3.1).
        """
        if self.kl_in_loss == 0.0:
            return losses_N
        ratio_N = torch.exp(self.log_probs_N - self.old_log_probs_N)
        return losses_N + self.kl_in_loss * ratio_N * kl_estimate(self.log_probs_N, self.reference_log_probs_N)

    def first_tokens(self, values_N: Tensor) -> Tensor:
        """The value of each response's first token: N to B."""
        starts_B = self.lengths_B.cumsum(0) - self.lengths_B
        return values_N[starts_B]
