"""A step of TRL's GRPOTrainer with tools, in which the tiny model's words are written for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import make_model
from trl_small import trl_settings

trl: Any = pytest.importorskip("trl", reason="TRL is not installed")
datasets: Any = pytest.importorskip("datasets", reason="datasets is not installed")


@dataclass
class Step:
    """What a step gave, completion by completion."""

    rewards: list[float]
    observations: list[str]
    masked: list[bool]
    """Whether some tokens of a completion are not the policy's."""
    failures: float
    """Share of the tool calls that failed."""


def train_one_step(folder: Path, factory: Any, rows: list[dict[str, Any]], written: Sequence[str]) -> Step:
    """Trains on two rows, two completions of each: each is the text written for it, then "Done." if it calls a tool."""
    from trl.chat_template_utils import qwen2_5_chat_template  # pyright: ignore

    model = make_model(window=4096)
    tokenizer: Any = model.tokenizer
    tokenizer.chat_template = qwen2_5_chat_template

    class Scripted(trl.GRPOTrainer):
        """Speaks the script in place of the model."""

        first = True
        seen: dict[str, Any]
        rewards: torch.Tensor
        completions: list[list[dict[str, Any]]]

        def _generate_single_turn(self, prompt_ids: Any, *_: Any, **__: Any) -> Any:
            words = list(written) if self.first else ["Done."] * len(prompt_ids)
            self.first = False
            return [tokenizer(f"{text}<|im_end|>")["input_ids"] for text in words], None

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            self.seen = super()._generate_and_score_completions(inputs)
            return self.seen

        def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, *rest: Any) -> Any:
            self.completions = completions
            self.rewards = super()._calculate_rewards(inputs, prompts, completions, *rest)
            return self.rewards

    settings = trl_settings(trl.GRPOConfig, folder, 1)
    settings.max_completion_length, settings.shuffle_dataset = 2000, False
    trainer = Scripted(
        model=model.model,
        args=settings,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
        environment_factory=factory,
    )
    trainer.train()
    masks: torch.Tensor = trainer.seen["tool_mask"]
    lengths = trainer.seen["completion_mask"].sum(-1)
    return Step(
        rewards=[float(trainer.rewards[n].sum()) for n in range(len(written))],
        observations=[m["content"] for n in range(len(written)) for m in trainer.completions[n] if m["role"] == "tool"],
        masked=[int(masks[n].sum()) < int(lengths[n]) for n in range(len(written))],
        failures=float(trainer.state.log_history[0]["tools/failure_frequency"]),
    )
