"""Epochs of TRL's RewardTrainer and DPOTrainer."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_caching
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from benchmarks.worker import Parts, serve
from benchmarks.workers.training import Facts, use_threads


def prepare(settings: dict[str, Any]) -> Callable[[], Facts]:
    """One epoch, from pairs as text and a new model; reading the model's weights is not timed.

    Args:
        settings: `method` (reward or dpo), `model` (a folder), `dtype`, `pairs` (a file), `arguments` (of the trainer's
            configuration), `lora`, `threads`.
    """
    use_threads(settings)
    disable_caching()  # otherwise only the first repetition would tokenise
    lines = Path(settings["pairs"]).read_text(encoding="utf-8").splitlines()
    pairs = Dataset.from_list(
        [{k: row[k] for k in ("prompt", "chosen", "rejected", "length")} for row in map(json.loads, lines)]
    )
    tokenizer = AutoTokenizer.from_pretrained(settings["model"])
    lora: dict[str, Any] = {"target_modules": "all-linear", **settings["lora"]}

    def reward() -> Facts:
        model: Any = AutoModelForSequenceClassification.from_pretrained(
            settings["model"], num_labels=1, dtype=getattr(torch, settings["dtype"])
        )
        model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", modules_to_save=["score"], **lora))
        arguments = RewardConfig(output_dir=tempfile.mkdtemp(), **settings["arguments"])
        begun = time.perf_counter()
        trainer: Any = RewardTrainer(model=model, args=arguments, train_dataset=pairs, processing_class=tokenizer)
        trainer.train()
        return {"seconds": time.perf_counter() - begun, "units": len(trainer.train_dataset)}

    def dpo() -> Facts:
        model: Any = AutoModelForCausalLM.from_pretrained(settings["model"], dtype=getattr(torch, settings["dtype"]))
        arguments, parts = DPOConfig(output_dir=tempfile.mkdtemp(), **settings["arguments"]), Parts()
        begun = time.perf_counter()
        trainer: Any = DPOTrainer(
            model=model,
            args=arguments,
            train_dataset=pairs,
            processing_class=tokenizer,
            peft_config=LoraConfig(task_type="CAUSAL_LM", **lora),
        )
        _time_reference(trainer.model, parts)
        trainer.train()
        seconds = time.perf_counter() - begun
        spent = {**parts.seconds, "update": seconds - sum(parts.seconds.values())}
        return {"seconds": seconds, "units": len(trainer.train_dataset), "parts": spent}

    return {"reward": reward, "dpo": dpo}[settings["method"]]


def _time_reference(model: Any, parts: Parts) -> None:
    """Times the forward passes without a gradient, which are those of the reference."""
    begun: list[float] = []

    def before(*_: Any) -> None:
        begun.append(time.perf_counter())

    def after(*_: Any) -> None:
        seconds = time.perf_counter() - begun.pop()
        if not torch.is_grad_enabled():
            parts.seconds["reference"] = parts.seconds.get("reference", 0.0) + seconds

    model.register_forward_pre_hook(before)
    model.register_forward_hook(after)


if __name__ == "__main__":
    serve(prepare)
