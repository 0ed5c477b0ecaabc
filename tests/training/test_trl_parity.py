"""The same small batch through TRL's RLOOTrainer and through preceptor: advantages, loss and gradient."""

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from conftest import make_model
from preceptor.objectives.advantages import kl_penalised_rewards
from preceptor.objectives.policy_gradient import sequence_sums
from preceptor.training.packed import TokenGroup, packed_log_probs
from preceptor.training.rl.rloo import Rloo

BETA, GROUP, PROMPTS = 0.05, 4, 2


class Captured(RLOOTrainer):
    """Keeps what TRL computed in its first step."""

    inputs: dict[str, Any]
    loss: float
    gradient: Tensor

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:  # pyright: ignore
        loss = super()._compute_loss(model, inputs)  # pyright: ignore
        self.inputs, self.loss = inputs, float(loss.detach())
        self.gradient = torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, model.parameters(), retain_graph=True)]
        )
        return loss


def reward(completions: list[Any], **_: Any) -> list[float | None]:
    return [float(sum(c[0]["content"].encode()) % 7) for c in completions]


def test_equal_to_trl(tiny_folder: Path, tmp_path: Path) -> None:
    trainer: Any = Captured(
        model=str(tiny_folder),
        reward_funcs=reward,
        args=RLOOConfig(
            output_dir=str(tmp_path), beta=BETA, num_generations=GROUP, per_device_train_batch_size=GROUP * PROMPTS,
            max_completion_length=9, max_steps=1, use_cpu=True, bf16=False, report_to=[], logging_strategy="no",
            save_strategy="no", learning_rate=0.0, seed=3, disable_tqdm=True, model_init_kwargs={"dtype": "float32"},
        ),
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": t}]} for t in ("ab", "longer")]),
    )  # fmt: skip
    with torch.no_grad():  # the reference was copied before: now the policy differs from it
        torch.manual_seed(7)
        for parameter in trainer.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    trainer.train()
    inputs = trainer.inputs

    # TRL shuffles the batch after scoring: put the responses back into groups.
    prompts = [row[mask.bool()].tolist() for row, mask in zip(inputs["prompt_ids"], inputs["prompt_mask"], strict=True)]
    responses = [
        row[mask.bool()].tolist() for row, mask in zip(inputs["completion_ids"], inputs["completion_mask"], strict=True)
    ]
    order = sorted(range(len(prompts)), key=lambda i: prompts[i])
    groups = [
        TokenGroup(tuple(prompts[rows[0]]), tuple(tuple(responses[i]) for i in rows))
        for rows in (order[:GROUP], order[GROUP:])
    ]
    texts = [trainer.processing_class.decode(responses[i], skip_special_tokens=True) for i in order]
    rewards = torch.tensor(reward([[{"content": text}] for text in texts])).view(PROMPTS, GROUP)

    def by_response(log_probs: Tensor) -> Tensor:
        lengths = torch.tensor([len(responses[i]) for i in order])
        return sequence_sums(log_probs, torch.repeat_interleave(lengths), len(order))

    log_probs = by_response(packed_log_probs(trainer.model, groups, 1.0))
    with torch.no_grad():
        reference = by_response(packed_log_probs(make_model().model, groups, 1.0))
    kl = (log_probs.detach() - reference).view(PROMPTS, GROUP)
    assert float(kl.abs().min()) > 0.01
    algorithm = Rloo(clip_range=0.2)
    valid = torch.ones(PROMPTS, GROUP, dtype=torch.bool)
    advantages = algorithm.advantages(kl_penalised_rewards(rewards, kl, BETA), valid).flatten()
    loss = algorithm.loss(log_probs, log_probs.detach(), advantages).mean()
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(trainer.model.parameters()))])

    torch.testing.assert_close(advantages, inputs["advantages"][order], atol=1e-5, rtol=1e-5)
    assert abs(float(loss.detach()) - trainer.loss) < 1e-5
    torch.testing.assert_close(gradient, trainer.gradient, atol=1e-5, rtol=1e-4)
