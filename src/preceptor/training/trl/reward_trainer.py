"""TRL's RewardTrainer on preceptor's own tokens, with labels that may be soft and pairs that may be weighted."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from trl.trainer.reward_trainer import DataCollatorForPreference, RewardTrainer

from preceptor.objectives.bradley_terry import soft_preference_loss
from preceptor.training.reward_model.train import EncodedPair, ScoredPair, reward_facts
from preceptor.training.trl.own_rows import OwnRows

LABEL_COLUMNS = ("p_chosen", "weight")


def reward_rows(pairs: Sequence[EncodedPair]) -> list[dict[str, Any]]:
    """Rows for `SoftRewardTrainer`: tokens as the native engine has them."""
    return [
        {
            "chosen_ids": list(pair.chosen),
            "rejected_ids": list(pair.rejected),
            "p_chosen": pair.p_chosen,
            "weight": pair.weight,
        }
        for pair in pairs
    ]


class RewardCollator(DataCollatorForPreference):
    """TRL's collator, which also passes the labels on."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch of chosen texts followed by the rejected ones, with a label and a weight for each pair."""
        batch = super().torch_call(examples)
        return batch | {name: torch.tensor([example[name] for example in examples]) for name in LABEL_COLUMNS}


class SoftRewardTrainer(OwnRows, RewardTrainer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """TRL's trainer on the rows of `reward_rows`, with the loss of `objectives/bradley_terry.py`."""

    def __init__(self, **arguments: Any) -> None:
        self._scored: list[ScoredPair] = []
        super().__init__(**arguments)

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["chosen_ids", "rejected_ids", *LABEL_COLUMNS]

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a part of the batch, each pair as its label and its weight say."""
        p_B, weights_B = (inputs.pop(name) for name in LABEL_COLUMNS)
        chosen_B, rejected_B = model(**inputs, use_cache=False).logits.squeeze(-1).float().chunk(2)
        center = self.args.center_rewards_coefficient or 0.0  # pyright: ignore
        losses_B = weights_B * soft_preference_loss(chosen_B, rejected_B, p_B, center_coefficient=center)
        self._keep(torch.stack((chosen_B, rejected_B, p_B, losses_B, weights_B), dim=1).detach())
        return losses_B.mean() * self.plan.scale(self.state.global_step)

    def _keep(self, columns_B5: Tensor) -> None:
        """Remembers the pairs of all processes until their step is logged."""
        everyone: Any = self.accelerator.gather(columns_B5)
        self._scored += [ScoredPair(*row[:4]) for row in everyone.tolist() if row[4] > 0.0]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs a step under the names that the native engine has for its facts."""
        if self._scored and "loss" in logs:
            epoch = math.ceil(self.state.epoch or 0.0)
            logs |= asdict(reward_facts(epoch, self._scored, logs["grad_norm"], logs["learning_rate"]))
            self._scored.clear()
        super().log(logs, start_time)
