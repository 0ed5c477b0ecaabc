"""Steps of TRL's RLOOTrainer or GRPOTrainer, rewarded by the quick start's judge."""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from benchmarks.worker import Parts
from benchmarks.workers.training import Facts, quick_start_judge, serve_steps, timed, use_threads
from preceptor.core.types import JudgeFailure, Prompt, Response

TRAINERS: dict[str, tuple[Any, Any]] = {
    "RLOOTrainer": (RLOOTrainer, RLOOConfig),
    "GRPOTrainer": (GRPOTrainer, GRPOConfig),
}


class Held(TrainerCallback):
    """Pauses the trainer before each step."""

    def __init__(self, pause: Callable[[], None]) -> None:
        self._pause = pause

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Called by the trainer when the previous step is finished, including logging."""
        self._pause()


def run(settings: dict[str, Any], pause: Callable[[Facts], None]) -> None:
    """Trains until the process ends.

    Args:
        settings: `trainer` (its class), `model` (a folder), `arguments` (of the trainer's configuration), `lora`,
            `constitution`, `prompts` (a file of prompts in the order of the steps), `threads`.
    """
    use_threads(settings)
    root, parts, lengths, begun = Path(tempfile.mkdtemp()), Parts(), list[int](), 0.0
    judge = quick_start_judge(root / "ledger.sqlite", settings["constitution"])

    def warmth(
        prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], **_: Any
    ) -> list[float | None]:
        lengths[:] = [len(ids) for ids in completion_ids]
        asked = [
            Prompt.model_validate({"id": str(i), "conversation": conversation})
            for i, conversation in enumerate(prompts)
        ]
        responses = [
            Response(prompt_id=prompt.id, text=completion[0]["content"], policy="trl")
            for prompt, completion in zip(asked, completions, strict=True)
        ]
        scores = judge.score(list(zip(asked, responses, strict=True)))
        return [None if isinstance(score, JudgeFailure) else score.log_odds for score in scores]

    def report() -> None:
        nonlocal begun
        spent = dict(parts.seconds)
        spent["update"] = time.perf_counter() - begun - sum(spent.values())
        parts.seconds.clear()
        pause({"units": len(lengths), "tokens": sum(lengths), "parts": spent})
        begun = time.perf_counter()

    trainer_class, config_class = TRAINERS[settings["trainer"]]
    trainer: Any = trainer_class(
        model=settings["model"],
        reward_funcs=timed(parts, "judging", warmth),
        args=config_class(output_dir=str(root), **settings["arguments"]),
        train_dataset=Dataset.from_list([{"prompt": conversation} for conversation in _conversations(settings)]),
        peft_config=LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", **settings["lora"]),
        callbacks=[Held(report)],
    )
    trainer.eos_token_ids = [
        trainer.generation_kwargs["eos_token_id"]
    ]  # otherwise the text after an end token would be cut off
    _time_parts(trainer, parts)
    trainer.train()


def _conversations(settings: dict[str, Any]) -> list[Any]:
    lines = Path(settings["prompts"]).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["conversation"] for line in lines]


def _time_parts(trainer: Any, parts: Parts) -> None:
    """Times the trainer's methods; the rest of a step is the update."""
    layer = next(module for module in trainer.model.modules() if isinstance(module, BaseTunerLayer))
    log_probs = trainer._get_per_token_logps_and_entropies

    def timed_log_probs(*args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled():
            return log_probs(*args, **kwargs)
        with parts.timed("reference" if layer.disable_adapters else "old log-probabilities"):
            return log_probs(*args, **kwargs)

    trainer._generate = timed(parts, "generation", trainer._generate)
    trainer._get_per_token_logps_and_entropies = timed_log_probs


if __name__ == "__main__":
    serve_steps(run)
