"""The input of an algorithm: rewards and log-probabilities of B = P × G responses with N tokens in total."""

from dataclasses import dataclass

import torch
from torch import Tensor

from preceptor.objectives.advantages import kl_penalised_rewards
from preceptor.objectives.policy_gradient import kl_estimate, sequence_sums


@dataclass(frozen=True)
class Turns:
    """The turns of agents' responses: K turns that hold the N tokens, one response after another."""

    lengths_K: Tensor
    """Tokens of each turn that the policy wrote."""
    advantages_K: Tensor
    """What each turn earned by itself, weighted; 0 where it has no score."""

    @property
    def starts_K(self) -> Tensor:
        """The first token of each turn."""
        return self.lengths_K.cumsum(0) - self.lengths_K

    @property
    def advantages_N(self) -> Tensor:
        """The same for each token."""
        return self.advantages_K.repeat_interleave(self.lengths_K)


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
    turns: Turns | None = None
    """The turns of the responses, where turns have advantages of their own."""
    sampler_log_probs_N: Tensor | None = None
    """As what sampled the tokens computed them, with rounded weights; kept for `rl.truncated_importance` alone."""

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

    def credited(self, advantages_PG: Tensor) -> Tensor:
        """The advantage of each token: its response's, plus its turn's own, if turns have them: P × G to N."""
        advantages_N = self.by_token(advantages_PG)
        return advantages_N if self.turns is None else advantages_N + self.turns.advantages_N


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
    turn_lengths_K: Tensor | None = None
    """Tokens of each turn, where turns have advantages of their own."""
    sampler_log_probs_N: Tensor | None = None
    """As in `Batch`."""

    @property
    def response_of_N(self) -> Tensor:
        """The index of the response that each token belongs to."""
        return torch.repeat_interleave(self.lengths_B)

    def sums(self, values_N: Tensor) -> Tensor:
        """Sums token values by response: N to B."""
        return sequence_sums(values_N, self.response_of_N, len(self.lengths_B))

    @property
    def act_starts_A(self) -> Tensor:
        """The first token of each act: of each response, or of each turn where turns have advantages of their own."""
        lengths_A = self._act_lengths_A
        return lengths_A.cumsum(0) - lengths_A

    def act_sums(self, values_N: Tensor) -> Tensor:
        """Sums token values by act: N to A."""
        lengths_A = self._act_lengths_A
        return sequence_sums(values_N, torch.repeat_interleave(lengths_A), len(lengths_A))

    @property
    def _act_lengths_A(self) -> Tensor:
        return self.lengths_B if self.turn_lengths_K is None else self.turn_lengths_K

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
