"""The same small batch through TRL's DPOTrainer and through preceptor: loss and gradient."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from conftest import make_model
from preceptor.objectives.dpo import DpoKind, dpo_losses
from preceptor.training.dpo.reference import pair_log_probs
from preceptor.training.packed import TokenGroup, packed_log_probs

BETA = 0.3
ROWS = [("ab", "yes", "no, never"), ("longer", "of course I will", "x"), ("c", "yy", "nnn"), ("d e f", "12", "3")]


class Captured(DPOTrainer):
    """Keeps what TRL computed in its first step."""

    inputs: dict[str, Any]
    loss: float
    gradient: Tensor

    def _send_telemetry(self) -> None: ...

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Tensor:  # pyright: ignore
        loss: Tensor = super()._compute_loss(model, inputs, return_outputs)  # pyright: ignore
        self.inputs, self.loss = inputs, float(loss.detach())
        self.gradient = torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, model.parameters(), retain_graph=True)]
        )
        return loss


def as_groups(inputs: dict[str, Any]) -> list[TokenGroup]:
    """TRL's batch holds all chosen rows, then all rejected ones, each with its prompt."""
    rows: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for ids, attended, completion in zip(
        inputs["input_ids"], inputs["attention_mask"].bool(), inputs["completion_mask"].bool(), strict=True
    ):
        rows.append((tuple(ids[attended & ~completion].tolist()), tuple(ids[completion].tolist())))
    pairs = zip(rows[: len(rows) // 2], rows[len(rows) // 2 :], strict=True)
    return [TokenGroup(chosen[0], (chosen[1], rejected[1])) for chosen, rejected in pairs]


@pytest.mark.parametrize(
    ("loss_type", "kind", "label_smoothing", "pairs"),
    [
        ("sigmoid", "sigmoid", 0.0, 4),
        ("robust", "robust", 0.1, 4),
        ("aot", "conservative", 0.1, 1),  # of a single pair, TRL's optimal transport is conservative DPO
    ],
)
def test_equal_to_trl(
    tiny_folder: Path, tmp_path: Path, loss_type: str, kind: DpoKind, label_smoothing: float, pairs: int
) -> None:
    columns = ("prompt", "chosen", "rejected")
    roles = ("user", "assistant", "assistant")
    trainer: Any = Captured(
        model=str(tiny_folder),
        args=DPOConfig(
            output_dir=str(tmp_path), beta=BETA, loss_type=[loss_type], label_smoothing=label_smoothing,
            per_device_train_batch_size=pairs, max_steps=1, use_cpu=True, bf16=False, report_to=[],
            logging_strategy="no", save_strategy="no", learning_rate=0.0, seed=3, disable_tqdm=True,
            gradient_checkpointing=False, model_init_kwargs={"dtype": "float32"},
        ),
        train_dataset=Dataset.from_list(
            [
                {c: [{"role": r, "content": text}] for c, r, text in zip(columns, roles, row, strict=True)}
                for row in ROWS[:pairs]
            ]
        ),
    )  # fmt: skip
    with torch.no_grad():  # the reference was copied before: now the policy differs from it
        torch.manual_seed(7)
        for parameter in trainer.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    trainer.train()

    groups = as_groups(trainer.inputs)
    assert len(groups) == pairs
    policy_B2 = pair_log_probs(packed_log_probs(trainer.model, groups, 1.0), groups)
    with torch.no_grad():
        reference_B2 = pair_log_probs(packed_log_probs(make_model().model, groups, 1.0), groups)
    assert float((policy_B2.detach() - reference_B2).abs().min()) > 0.01
    (chosen, rejected), (reference_chosen, reference_rejected) = policy_B2.unbind(1), reference_B2.unbind(1)
    losses_B = dpo_losses(
        chosen, rejected, reference_chosen, reference_rejected, BETA, torch.ones(pairs), kind, label_smoothing
    )
    loss = losses_B.mean()
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(trainer.model.parameters()))])
    assert abs(float(loss.detach()) - trainer.loss) < 1e-5
    torch.testing.assert_close(gradient, trainer.gradient, atol=1e-5, rtol=1e-4)
