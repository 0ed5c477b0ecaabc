"""TRL's DPOTrainer on preceptor's own tokens, with labels that may be soft and pairs that may be weighted.

TRL's losses know which response was chosen and nothing more. `PairTrainer` takes the loss from `objectives/preferences`
where the recipe names no loss of TRL's; everything else, from the forward pass to sharding, is TRL's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

from preceptor.objectives.preferences.kinds import KINDS
from preceptor.objectives.preferences.pairs import Pairs
from preceptor.training.dpo.encoding import PackedPair
from preceptor.training.dpo.losses import pair_loss
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.train import SeenPair, dpo_facts, weighted_losses
from preceptor.training.trl.own_rows import OwnRows

ROUNDING = 1e-4
"""Nats: policy and reference are computed by different layers, which round differently."""
LABEL_COLUMNS = ("p_chosen", "weight", "difference")
"""Columns that TRL's own datasets of pairs do not have."""
NATIVE_NAMES = {
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
    "logps/chosen": "chosen_log_prob",
    "logps/rejected": "rejected_log_prob",
}
"""What TRL calls the facts of an update. Its accuracy counts equal rewards as wrong, ours as half right."""


def pair_rows(pairs: Sequence[PackedPair]) -> list[dict[str, Any]]:
    """M rows for `PairTrainer`: tokens as the native engine has them. The mean weight becomes 1."""
    mean_weight = sum(pair.weight for pair in pairs) / len(pairs)
    return [
        {
            "prompt_ids": list(pair.tokens.prompt),
            "chosen_ids": list(pair.tokens.responses[0]),
            "rejected_ids": list(pair.tokens.responses[1]),
            "chosen_learned": list(pair.tokens.masks[0]),
            "rejected_learned": list(pair.tokens.masks[1]),
            "p_chosen": pair.p_chosen,
            "weight": pair.weight / mean_weight,
            "difference": pair.difference or 0.0,  # every pair has one, or the loss reads none
        }
        for pair in pairs
    ]


def learn_only(mask_NT: Tensor, examples: Sequence[Mapping[str, Any]], learned: str) -> None:
    """Takes the tokens that are not learned out of the mask of a batch of responses.

    Args:
        mask_NT: 1 for every token of the responses.
        learned: the column that says which tokens of a response are learned.
    """
    for row, example in enumerate(examples):
        start, mask = len(example["prompt_ids"]), example[learned]
        mask_NT[row, start : start + len(mask)] = torch.tensor(mask, dtype=mask_NT.dtype)


class PairCollator(DataCollatorForPreference):
    """TRL's collator, which also passes the labels on and knows of tokens that are not learned."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch of chosen texts followed by the rejected ones, with a label and a weight for each pair."""
        batch = super().torch_call(examples)
        for mask_BT, side in zip(batch["completion_mask"].chunk(2), ("chosen", "rejected"), strict=True):
            learn_only(mask_BT, examples, f"{side}_learned")
        return batch | {name: torch.tensor([example[name] for example in examples]) for name in LABEL_COLUMNS}


class PairTrainer(OwnRows, DPOTrainer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """TRL's trainer on the rows of `pair_rows`. Logs an update under the native engine's names for its facts.

    Args:
        own: the settings of preceptor's own loss, which takes soft labels and weights; None for the loss that TRL's
            settings name.
        arguments: of TRL's trainer.
    """

    def __init__(self, *, own: DpoSettings | None, **arguments: Any) -> None:
        self._own = own
        self._seen: list[SeenPair] = []
        self._pairs = 0
        super().__init__(**arguments)

    def _set_signature_columns_if_needed(self) -> None:
        sides = [f"{side}_{what}" for side in ("chosen", "rejected") for what in ("ids", "learned")]
        self._signature_columns = ["prompt_ids", *sides, *LABEL_COLUMNS]

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        p_B, weights_B, differences_B = (inputs.pop(name) for name in LABEL_COLUMNS)
        if self._own is None:
            everyone: Any = self.accelerator.gather_for_metrics(p_B)  # without what fills the last batch of an epoch
            self._pairs += len(everyone)
            return super()._compute_loss(model, inputs, return_outputs)  # pyright: ignore
        pairs = Pairs(
            policy_B2=_log_probs(model, inputs),
            p_chosen_B=p_B,
            reference_B2=self._reference(inputs) if KINDS[self._own.kind].reference else None,
            lengths_B2=torch.stack(inputs["completion_mask"].sum(dim=1).float().chunk(2), dim=1),
            differences_B=differences_B,
        )
        losses_B, columns_B5 = weighted_losses(pair_loss(self._own), pairs, weights_B)
        self._keep(torch.cat([columns_B5, weights_B[:, None]], dim=1))
        return losses_B.mean() * self.plan.scale(self.state.global_step)

    def _reference(self, inputs: dict[str, Any]) -> Tensor:
        """Log-probabilities of whole responses under the reference, B × 2."""
        columns: Any = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
        return torch.stack(columns, dim=1)

    def _keep(self, columns_B6: Tensor) -> None:
        """Remembers the pairs of all processes until their update is logged."""
        everyone: Any = self.accelerator.gather(columns_B6)
        self._seen += [SeenPair(*row[:5]) for row in everyone.tolist() if row[5] > 0.0]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs an update, or the summary at the end."""
        if "loss" in logs and self._own is not None:
            rounding = ROUNDING * self._own.beta
            logs |= asdict(dpo_facts(self._seen, logs["grad_norm"], logs["learning_rate"], rounding))
            self._seen = []
        elif "loss" in logs:
            logs["pairs"] = self._pairs
            self._pairs = 0
        rename_facts(self._metrics["train"])
        super().log(logs, start_time)


def _log_probs(model: Any, inputs: dict[str, Any]) -> Tensor:
    """Log-probabilities of whole responses, B × 2: chosen and rejected."""
    outputs = model(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        use_cache=False,
        labels=inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100),
        fused_lm_head=True,
    )
    return torch.stack(outputs.log_probs.sum(dim=1).chunk(2), dim=1)


def rename_facts(metrics: dict[str, list[float]]) -> None:
    """Gives what TRL has computed since the last log the names that the native engine has for it."""
    for name in NATIVE_NAMES.keys() & metrics.keys():
        metrics[NATIVE_NAMES[name]] = metrics.pop(name)
