"""The same small batch through TRL's losses of pairs and through preceptor's: loss and gradient."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from conftest import make_model
from preceptor.objectives.preferences.pairs import Pairs
from preceptor.training.dpo.losses import pair_loss
from preceptor.training.dpo.reference import response_log_probs
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.packed import TokenGroup, packed_log_probs

BETA = 0.3
EXPERIMENTAL = pytest.mark.filterwarnings("ignore:You are importing from 'trl.experimental'")
HERE = SimpleNamespace(device="cpu")
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
        ("ipo", "ipo", 0.0, 4),
        ("sigmoid_norm", "sigmoid_norm", 0.0, 4),
    ],
)
def test_equal_to_trl(
    tiny_folder: Path, tmp_path: Path, loss_type: str, kind: str, label_smoothing: float, pairs: int
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
    policy_B2 = response_log_probs(packed_log_probs(trainer.model, groups, 1.0), groups)
    with torch.no_grad():
        reference_B2 = response_log_probs(packed_log_probs(make_model().model, groups, 1.0), groups)
    assert float((policy_B2.detach() - reference_B2).abs().min()) > 0.01
    lengths_B2 = torch.tensor([group.lengths for group in groups], dtype=torch.float32)
    given = {"kind": kind, "beta": BETA, "label_smoothing": label_smoothing}
    losses_B = pair_loss(DpoSettings.model_validate(given)).losses(
        Pairs(policy_B2, torch.ones(pairs), reference_B2, lengths_B2)
    )
    loss = losses_B.mean()
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(trainer.model.parameters()))])
    assert abs(float(loss.detach()) - trainer.loss) < 1e-5
    torch.testing.assert_close(gradient, trainer.gradient, atol=1e-5, rtol=1e-4)


PER_TOKEN = torch.tensor([[-0.5, -1.0], [-2.0, -0.3], [-1.2, -1.2], [-0.01, -4.0]])
"""Mean log-probabilities of a token, of chosen and rejected responses."""


def losses_of_means(settings: DpoSettings) -> tuple[Tensor, Tensor]:
    """The losses of hard labels on `PER_TOKEN`, and their gradient."""
    means_B2, lengths_B2 = PER_TOKEN.clone().requires_grad_(), torch.tensor([[3.0, 7.0]]).expand(4, 2)
    losses_B = pair_loss(settings).losses(Pairs(means_B2 * lengths_B2, torch.ones(4), lengths_B2=lengths_B2))
    return losses_B.detach(), torch.autograd.grad(losses_B.sum(), means_B2)[0]


@EXPERIMENTAL
def test_simpo_is_that_of_trl() -> None:
    from trl.experimental.cpo import CPOTrainer

    given: Any = SimpleNamespace(
        alpha=0.0, loss_type="simpo", simpo_gamma=0.7, beta=2.0, label_smoothing=0.0, accelerator=HERE
    )
    means_B2 = PER_TOKEN.clone().requires_grad_()
    theirs_B: Any = CPOTrainer.cpo_loss(given, *means_B2.unbind(1))[0]  # pyright: ignore
    losses_B, gradient_B2 = losses_of_means(DpoSettings(kind="simpo", beta=2.0, target_margin=0.7))
    torch.testing.assert_close(losses_B, theirs_B.detach())
    torch.testing.assert_close(gradient_B2, torch.autograd.grad(theirs_B.sum(), means_B2)[0])


@EXPERIMENTAL
def test_the_odds_of_orpo_are_those_of_trl() -> None:
    """TRL takes the likelihood over prompt and response together; ours is of the response, as in the paper."""
    from trl.experimental.orpo import ORPOTrainer

    given: Any = SimpleNamespace(beta=0.3, accelerator=HERE)
    means_B2 = PER_TOKEN.clone().requires_grad_()
    of_odds_B: Any = ORPOTrainer.odds_ratio_loss(given, *means_B2.unbind(1))[0]  # pyright: ignore
    theirs_B = -means_B2[:, 0] - of_odds_B
    losses_B, gradient_B2 = losses_of_means(DpoSettings(kind="orpo", beta=0.3))
    torch.testing.assert_close(losses_B, theirs_B.detach())
    torch.testing.assert_close(gradient_B2, torch.autograd.grad(theirs_B.sum(), means_B2)[0])
