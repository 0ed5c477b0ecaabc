"""Online DPO: the DPO loss on two responses that the current policy sampled (Guo et al. 2024)."""

import torch
from torch import Tensor

from preceptor.objectives.preferences.dpo import Dpo
from preceptor.objectives.preferences.pairs import Pairs
from preceptor.training.rl.batch import Batch, Part, Targets
from preceptor.training.rl.settings import RLSettings


class OnlineDpo:
    """The soft label of two siblings is the probability that the first is better, σ(its reward - the other's reward).
    If the rewards are a judge's log-odds, this is the judge's own preference; if they are a reward model's scores, it
    is the Bradley-Terry probability.
    """

    def __init__(self, settings: RLSettings) -> None:
        self._beta = settings.kl_coefficient

    def targets(self, batch: Batch) -> Targets:
        """The probability that each token's response is preferred, minus one half; 0 unless both have a reward."""
        usable_PG = batch.valid_PG.all(dim=1, keepdim=True).expand_as(batch.valid_PG)
        difference_PG = batch.rewards_PG - batch.rewards_PG.flip(1)
        return Targets(batch.by_token(torch.where(usable_PG, torch.sigmoid(difference_PG) - 0.5, 0.0)))

    def losses(self, part: Part) -> Tensor:
        """The loss of each pair, assigned to both of its responses, so their mean is the mean over pairs."""
        now_P2, reference_P2 = (part.sums(x).view(-1, 2) for x in (part.log_probs_N, part.reference_log_probs_N))
        p_first_P = part.first_tokens(part.advantages_N).view(-1, 2)[:, 0] + 0.5
        losses_P = Dpo(self._beta).losses(Pairs(now_P2, p_first_P, reference_P2))
        return torch.where(part.valid_PG.all(dim=1), losses_P, 0.0).repeat_interleave(2)

    def state(self) -> dict[str, float | None]:
        """There is no state."""
        return {}

    def load_state(self, state: dict[str, float | None]) -> None:
        """Restores what `state` returned."""
