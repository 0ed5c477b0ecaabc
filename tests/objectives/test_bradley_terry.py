import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from transformers import LlamaConfig, LlamaForSequenceClassification
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from conftest import make_tokenizer
from preceptor.objectives.bradley_terry import soft_preference_loss


def losses(chosen: list[float], rejected: list[float], p: list[float], **settings: Any) -> list[float]:
    return soft_preference_loss(torch.tensor(chosen), torch.tensor(rejected), torch.tensor(p), **settings).tolist()


def test_by_hand() -> None:
    # A margin of log 3 says 3/4 against 1/4.
    three_to_one = [math.log(3.0), 0.0]
    assert losses([1.0], [1.0], [1.0]) == pytest.approx([math.log(2.0)])
    assert losses(three_to_one[:1], three_to_one[1:], [1.0]) == pytest.approx([-math.log(0.75)])
    assert losses(three_to_one[:1], three_to_one[1:], [0.0]) == pytest.approx([-math.log(0.25)])
    assert losses(three_to_one[:1], three_to_one[1:], [0.5]) == pytest.approx([-0.5 * math.log(0.75 * 0.25)])
    assert losses([2.0, 0.0], [-1.0, 0.0], [0.5, 0.5], center_coefficient=0.1) == pytest.approx(
        [0.5 * (math.log(1 + math.exp(-3)) + math.log(1 + math.exp(3))) + 0.1, math.log(2.0)]
    )
    assert losses([1.0, 1.0], [1.0, 1.0], [1.0, 0.3], weights_B=torch.tensor([2.0, 0.5])) == pytest.approx(
        [2 * math.log(2.0), 0.5 * math.log(2.0)]
    )
    assert losses([1.0], [2.0], [1.0], weights_B=torch.tensor([2.0]), center_coefficient=1.0) == pytest.approx(
        [2 * (math.log(1 + math.e) + 9.0)]
    )


def test_the_gradient_is_the_error_of_the_probability() -> None:
    chosen = torch.tensor([math.log(3.0), math.log(3.0), 0.0], requires_grad=True)
    soft_preference_loss(chosen, torch.zeros(3), torch.tensor([1.0, 0.75, 0.25])).sum().backward()
    assert chosen.grad is not None
    assert chosen.grad.tolist() == pytest.approx([0.75 - 1.0, 0.0, 0.5 - 0.25], abs=1e-6)


def test_enormous_margins_stay_finite() -> None:
    chosen = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = soft_preference_loss(chosen, -chosen.detach(), torch.tensor([1.0, 1.0]))
    assert loss.tolist() == [0.0, 2e4]
    loss.sum().backward()
    assert chosen.grad is not None
    assert chosen.grad.tolist() == [0.0, -1.0]
    assert losses([math.nan], [0.0], [1.0])[0] != losses([math.nan], [0.0], [1.0])[0]  # a wrong reward is not hidden


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (([1.0, 2.0], [1.0], [1.0]), {}, "one number per pair"),
        (([1.0], [1.0], [1.5]), {}, "probabilities"),
        (([1.0], [1.0], [math.nan]), {}, "probabilities"),
        (([1.0], [1.0], [1.0]), {"weights_B": torch.tensor([0.0])}, "weights > 0"),
        (([1.0], [1.0], [1.0]), {"weights_B": torch.tensor([1.0, 1.0])}, "one number per pair"),
        (([1.0], [1.0], [1.0]), {"center_coefficient": -1.0}, "center_coefficient"),
    ],
)
def test_wrong_input_is_refused(arguments: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losses(*arguments, **settings)


@pytest.mark.parametrize("center", [None, 0.25])
def test_equal_to_trl_at_hard_labels(tmp_path: Path, center: float | None) -> None:
    tokenizer: Any = make_tokenizer()
    torch.manual_seed(0)
    settings: Any = LlamaConfig
    model: Any = LlamaForSequenceClassification(
        settings(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, num_labels=1, pad_token_id=tokenizer.pad_token_id, initializer_range=0.5,
        )
    )  # fmt: skip
    rows = [{"chosen": "a fine answer", "rejected": "no"}, {"chosen": "yes", "rejected": "perhaps, perhaps not"}]
    trainer: Any = RewardTrainer(
        model=model,
        args=RewardConfig(
            output_dir=str(tmp_path), center_rewards_coefficient=center, use_cpu=True, bf16=False, report_to=[],
            per_device_train_batch_size=2, disable_tqdm=True, max_length=64, gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )  # fmt: skip
    inputs: dict[str, Tensor] = next(iter(trainer.get_train_dataloader()))
    theirs: Tensor = trainer.compute_loss(trainer.model, dict(inputs))
    rewards = trainer.model(**inputs).logits.squeeze(-1)
    ours = soft_preference_loss(rewards[:2], rewards[2:], torch.ones(2), center_coefficient=center or 0.0).mean()
    assert float(rewards.detach().std()) > 0.1
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    parameters = list(trainer.model.parameters())
    for one, other in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(theirs, parameters), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
