"""The same small batch through TRL's RLOO and GRPO trainers and through preceptor: advantages, loss and gradient."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from conftest import make_model
from preceptor.training.packed import TokenGroup, packed_forward, packed_log_probs
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.batch import Batch, Part
from preceptor.training.rl.settings import RLSettings

BETA, GROUP, PROMPTS, LONGEST = 0.05, 4, 2, 9


class Capture:
    """A trainer that keeps what it computed in its first step.

    It cuts responses, so that they differ in length: the tiny model hardly ever ends by itself. `moved` moves the old
    log-probabilities, as if the policy had been trained since it sampled.
    """

    moved: bool
    inputs: dict[str, Any]
    loss: float
    gradient: Tensor

    def _generate_single_turn(self, *arguments: Any) -> Any:  # pyright: ignore
        answer: Any = super()._generate_single_turn(*arguments)  # type: ignore[misc]
        completions = answer[0] if isinstance(answer, tuple) else answer
        cut = [ids[: 2 + sum(ids) % (len(ids) - 1)] for ids in completions]
        return (cut, *answer[1:]) if isinstance(answer, tuple) else cut

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        if self.moved:
            name = "old_logps" if "old_logps" in inputs else "old_per_token_logps"
            old = inputs[name]
            inputs[name] = old + 0.4 * torch.randn(old.shape, generator=torch.Generator().manual_seed(5))
        loss: Tensor = super()._compute_loss(model, inputs)  # type: ignore[misc]
        self.inputs, self.loss = inputs, float(loss.detach())
        gradient = torch.autograd.grad(loss, model.parameters(), retain_graph=True)
        self.gradient = torch.cat([g.flatten() for g in gradient])
        return loss


class Rloo(Capture, RLOOTrainer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """TRL's RLOO."""


class Grpo(Capture, GRPOTrainer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """TRL's GRPO."""


def reward(completions: list[Any], **_: Any) -> list[float | None]:
    return [float(sum(c[0]["content"].encode()) % 7) for c in completions]


@dataclass(frozen=True)
class Case:
    trainer: Any
    config: Any
    theirs: dict[str, Any]
    ours: dict[str, Any]
    beta: float = BETA


CASES = {
    "rloo": Case(Rloo, RLOOConfig, {}, {"algorithm": "rloo"}),
    "grpo": Case(Grpo, GRPOConfig, {"loss_type": "grpo"}, {"algorithm": "grpo", "kl_in": "loss"}),
    "dr_grpo": Case(
        Grpo,
        GRPOConfig,
        {"loss_type": "dr_grpo", "scale_rewards": "none"},
        {"algorithm": "grpo", "kl_in": "loss", "length_unbiased": True, "scale_advantages": False},
    ),
}
_IN_LOSS: dict[str, Any] = {"algorithm": "grpo", "kl_in": "loss"}
MOVED: dict[str, Case] = {
    "dapo": Case(
        Grpo,
        GRPOConfig,
        {"loss_type": "dapo", "epsilon_high": 0.28},
        _IN_LOSS | {"loss": "dapo", "clip_range_high": 0.28},
    ),
    "cispo": Case(
        Grpo,
        GRPOConfig,
        {"loss_type": "cispo", "epsilon_high": 1.3},
        _IN_LOSS | {"loss": "cispo", "clip_range_high": 0.3},
    ),
    "gspo": Case(
        Grpo,
        GRPOConfig,
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.05},
        _IN_LOSS | {"loss": "gspo", "clip_range": 0.05},
        beta=0.0,
    ),
    "entropy": Case(
        Grpo, GRPOConfig, {"loss_type": "grpo", "entropy_coef": 0.3}, _IN_LOSS | {"entropy_coefficient": 0.3}
    ),
    "rloo, clip higher": Case(Rloo, RLOOConfig, {"epsilon_high": 0.28}, {"clip_range_high": 0.28}),
}
"""Compared only once the policy has moved, where they differ most from the others."""


def trained_by_trl(case: Case, moved: bool, model: Path, folder: Path) -> Any:
    """TRL's trainer after one step of a policy that differs from its reference."""
    trainer: Any = case.trainer(
        model=str(model),
        reward_funcs=reward,
        args=case.config(
            output_dir=str(folder), beta=case.beta, num_generations=GROUP, per_device_train_batch_size=GROUP * PROMPTS,
            max_completion_length=LONGEST, max_steps=1, use_cpu=True, bf16=False, report_to=[], save_strategy="no",
            logging_strategy="no", learning_rate=0.0, seed=3, disable_tqdm=True, temperature=1.0,
            model_init_kwargs={"dtype": "float32"},
            num_iterations=2 if moved else 1,  # with 2, old log-probabilities are computed
            **({"epsilon": 0.2} | case.theirs),
        ),
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": t}]} for t in ("ab", "longer")]),
    )  # fmt: skip
    trainer.moved = moved
    with torch.no_grad():  # the reference was copied before: now the policy differs from it
        torch.manual_seed(7)
        for parameter in trainer.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    trainer.train()
    return trainer


@pytest.mark.parametrize("moved", [False, True], ids=["on policy", "moved"])
@pytest.mark.parametrize("name", CASES)
def test_equal_to_trl(tiny_folder: Path, tmp_path: Path, name: str, moved: bool) -> None:
    compare(CASES[name], moved, tiny_folder, tmp_path)


@pytest.mark.parametrize("name", MOVED)
def test_losses_equal_to_trl(tiny_folder: Path, tmp_path: Path, name: str) -> None:
    compare(MOVED[name], True, tiny_folder, tmp_path)


def compare(case: Case, moved: bool, tiny_folder: Path, tmp_path: Path) -> None:
    """The same batch through both."""
    trainer = trained_by_trl(case, moved, tiny_folder, tmp_path)
    inputs = trainer.inputs

    # TRL shuffles the batch after scoring: put the responses back into groups.
    prompts = [row[mask.bool()].tolist() for row, mask in zip(inputs["prompt_ids"], inputs["prompt_mask"], strict=True)]
    masks = inputs["completion_mask"].bool()
    responses = [row[mask].tolist() for row, mask in zip(inputs["completion_ids"], masks, strict=True)]
    order = sorted(range(len(prompts)), key=lambda i: prompts[i])
    groups = [
        TokenGroup(tuple(prompts[rows[0]]), tuple(tuple(responses[i]) for i in rows))
        for rows in (order[:GROUP], order[GROUP:])
    ]
    texts = [trainer.processing_class.decode(responses[i], skip_special_tokens=True) for i in order]
    rewards_PG = torch.tensor(reward([[{"content": text}] for text in texts])).view(PROMPTS, GROUP)
    lengths_B = torch.tensor([len(responses[i]) for i in order])
    assert len(set(lengths_B.tolist())) > 2

    log_probs_N, _, entropies_N = packed_forward(trainer.model, groups, 1.0, entropies=True)
    assert entropies_N is not None
    with torch.no_grad():
        reference_N = packed_log_probs(make_model().model, groups, 1.0)
    known = {"kl_coefficient": case.beta, "group_size": GROUP, "max_new_tokens": LONGEST, "epochs_per_batch": 1 + moved}
    settings = RLSettings.model_validate(known | case.ours)
    algorithm = make_algorithm(settings)
    kl_in_loss = case.beta if settings.kl_in == "loss" else 0.0
    valid_PG = torch.ones(PROMPTS, GROUP, dtype=torch.bool)
    sampled_N = log_probs_N.detach()
    batch = Batch(rewards_PG, valid_PG, lengths_B, sampled_N, reference_N, None, case.beta - kl_in_loss)
    advantages_N = algorithm.targets(batch).advantages_N
    assert float(batch.kl_PG.abs().min()) > 0.01
    starts_B = lengths_B.cumsum(0) - lengths_B
    torch.testing.assert_close(advantages_N[starts_B], inputs["advantages"][order], atol=1e-5, rtol=1e-5)

    if moved and "old_logps" in inputs:  # of whole responses: put the difference on their first tokens
        difference_B = inputs["old_logps"][order] - batch_sums(sampled_N, lengths_B)
        old_N = sampled_N.index_add(0, starts_B, difference_B)
    elif moved:
        old_N = torch.cat([inputs["old_per_token_logps"][i][masks[i]] for i in order])
    else:
        old_N = sampled_N
    losses_B = algorithm.losses(
        Part(
            log_probs_N, None, old_N, None, reference_N, advantages_N, None, rewards_PG, valid_PG, lengths_B,
            mean_length=float(lengths_B.float().mean()), kl_in_loss=kl_in_loss,
        )
    )  # fmt: skip
    loss = losses_B.mean() - settings.entropy_coefficient * entropies_N.mean()
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(trainer.model.parameters()))])
    assert float(loss.detach()) == pytest.approx(trainer.loss, abs=1e-5, rel=1e-5)
    rounding = 1e-5 * max(1.0, float(trainer.gradient.abs().max()))
    torch.testing.assert_close(gradient, trainer.gradient, atol=rounding, rtol=1e-4)
    assert moved == (float((old_N - sampled_N).abs().max()) > 0.2)  # then some ratios are clipped


def batch_sums(values_N: Tensor, lengths_B: Tensor) -> Tensor:
    return torch.stack([part.sum() for part in values_N.split(lengths_B.tolist())])
