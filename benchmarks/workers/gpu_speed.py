"""Labels a second and seconds of a step on one device: preceptor, its TRL engine, TRL by itself, and a plain loop over
transformers. `python -m benchmarks.workers.gpu_speed MODEL SCALE FILE`
"""

import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import TrainerCallback
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from benchmarks.workers.gpu_kit import SCALES, Kit, PartFile, now, peak_of, reached
from benchmarks.workers.roofline import rendered
from preceptor.backends.base import ChooseRequest
from preceptor.backends.transformers.chat import encode_prompt, encode_text
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.loop import train
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.update import Updater
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.trl.reinforcement import train_on_trl
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings

ROWS_AT_ONCE = 8
"""Rows of a plain loop's and of TRL's forward passes."""
TUNING = TuningSettings(rank=16, precision="auto")
LEARNING_RATE, BETA = 1e-5, 0.05

Facts = dict[str, Any]


def by_length(groups_P: Sequence[ResponseGroup]) -> list[list[float | None]]:
    """A reward that costs nothing: judging is measured by itself."""
    return [[sum(ids) % 7 / 3.0 for ids in group.tokens.responses] for group in groups_P]


# Labels


def labels(kit: Kit, requests: Sequence[ChooseRequest]) -> Facts:
    """By preceptor's local model. Tokens are those that it computes."""
    judge, computed = kit.fresh(), [0]

    def count(_: Any, inputs: tuple[Tensor, ...]) -> None:
        computed[0] += inputs[0].numel()

    judge.model.get_input_embeddings().register_forward_pre_hook(count)
    list(judge.choose(requests[:2]))
    computed[0], started = 0, now()
    answered = sum(len(batch) for batch in judge.choose(requests))
    return rate(kit, answered, now() - started, computed[0])


@torch.inference_mode()
def labels_in_a_loop(kit: Kit, requests: Sequence[ChooseRequest]) -> Facts:
    """By plain transformers: padded batches, the logits of the last token, a softmax over the choices."""
    model, tokenizer = kit.plain(), kit.tokenizer
    contexts = [encode_prompt(tokenizer, request.prompt, request.prefill) for request in requests]
    choices = [[encode_text(tokenizer, choice)[0] for choice in request.choices] for request in requests]

    def answer(places: range) -> int:
        ids_BT, mask_BT = padded([contexts[i] for i in places], model.device)
        logits_BV = model(ids_BT, attention_mask=mask_BT, use_cache=False, logits_to_keep=1).logits[:, -1]
        given = [torch.softmax(logits_BV[row, choices[i]].float(), 0).tolist() for row, i in enumerate(places)]
        return len(given)

    answer(range(min(2, len(contexts))))
    started = now()
    parts = [range(i, min(i + ROWS_AT_ONCE, len(contexts))) for i in range(0, len(contexts), ROWS_AT_ONCE)]
    answered = sum(answer(part) for part in parts)
    return rate(kit, answered, now() - started, sum(map(len, contexts)))


def rate(kit: Kit, requests: int, seconds: float, tokens: int) -> Facts:
    """Two requests, one for each order, are a label. FLOP without attention's products."""
    flop = 2 * kit.weights()[0] * tokens
    return {"labels_per_second": requests / 2 / seconds, "tokens": tokens, "flop_per_second": flop / seconds}


# Steps


def on_preceptor(kit: Kit) -> Facts:
    """The native engine, its state on disk after each step."""
    settings, policy = rl(kit), Policy(kit.fresh(), TUNING, seed=0)
    processes, times = Processes(), [now()]
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpointing(RunFiles(Path(folder)), settings.steps, lambda step: not times.append(now()))
        train(
            policy, Updater(policy, make_algorithm(settings), settings, processes), by_length, kit.prompts, settings,
            TrainingContext(checkpoints, 0, processes),
            on_step=lambda step, facts: times.append(now()),
        )  # fmt: skip
    return stepped(kit, times[2:-1])


def on_trl_engine(kit: Kit) -> Facts:
    """The TRL engine of preceptor."""
    settings, policy, times = rl(kit), Policy(kit.fresh(), TUNING, seed=0), [now()]
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpointing(RunFiles(Path(folder)), settings.steps, lambda step: not times.append(now()))
        train_on_trl(
            policy, by_length, kit.prompts, settings, EngineSettings(name="trl"), TUNING,
            TrainingContext(checkpoints, 0, Processes()),
            on_step=lambda step, facts: times.append(now()),
        )  # fmt: skip
    return stepped(kit, times[2:-1])


class _Ended(TrainerCallback):
    def __init__(self, times: list[float]) -> None:
        self._times = times

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._times.append(now())


def on_trl(kit: Kit) -> Facts:
    """TRL's RLOO by itself, with transformers' generate."""
    scale, none, times = kit.scale, kit.vocabulary, list[float]()
    rows = scale.prompts * scale.group_size
    at_once = min(ROWS_AT_ONCE, rows)
    lora = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", r=TUNING.rank, lora_alpha=32)
    with tempfile.TemporaryDirectory() as folder:
        arguments = RLOOConfig(
            output_dir=folder, num_generations=scale.group_size, max_completion_length=scale.new_tokens, beta=BETA,
            generation_kwargs={"eos_token_id": none}, learning_rate=LEARNING_RATE, max_steps=1 + scale.steps,
            per_device_train_batch_size=at_once, gradient_accumulation_steps=rows // at_once, save_strategy="no",
            report_to="none", disable_tqdm=True, gradient_checkpointing=False, lr_scheduler_type="constant",
            bf16=kit.dtype == torch.bfloat16, use_cpu=not torch.cuda.is_available(),
        )  # fmt: skip
        trainer: Any = RLOOTrainer(
            model=kit.plain(),
            reward_funcs=lambda completion_ids, **_: [sum(ids) % 7 / 3.0 for ids in completion_ids],  # type: ignore
            args=arguments,
            train_dataset=Dataset.from_list(
                [{"prompt": [{"role": "user", "content": p.conversation[0].content}]} for p in kit.prompts]
            ),
            processing_class=kit.tokenizer,
            peft_config=lora,
            callbacks=[_Ended(times)],
        )
        trainer.eos_token_ids = [none]
        trainer.train()
    return stepped(kit, times)


def in_a_loop(kit: Kit) -> Facts:
    """Plain transformers and peft: generate, log-probabilities, RLOO's loss, AdamW."""
    scale = kit.scale
    lora = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", r=TUNING.rank, lora_alpha=32)
    model: Any = get_peft_model(kit.plain(), lora)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)
    encoded = [encode_prompt(kit.tokenizer, p.conversation) for p in kit.prompts for _ in range(scale.group_size)]
    ids_BT, mask_BT = padded(encoded, kit.device)
    times = list[float]()
    for _ in range(1 + scale.steps):
        _step_of_a_loop(model, optimizer, ids_BT, mask_BT, scale.new_tokens, scale.group_size)
        times.append(now())
    return stepped(kit, times)


def _step_of_a_loop(model: Any, optimizer: Any, ids_BT: Tensor, mask_BT: Tensor, new: int, size: int) -> None:
    model.eval()
    sampling: dict[str, Any] = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": True, "pad_token_id": 0}
    with torch.no_grad():
        whole_BS = model.generate(input_ids=ids_BT, attention_mask=mask_BT, **sampling)
    seen_BS = torch.cat([mask_BT, mask_BT.new_ones(len(mask_BT), new)], dim=1)

    def log_probs(part: slice) -> Tensor:
        given = {"input_ids": whole_BS[part], "attention_mask": seen_BS[part], "use_cache": False}
        logits = model(**given, logits_to_keep=new + 1).logits[:, :-1].float()
        return torch.log_softmax(logits, -1).gather(-1, whole_BS[part, -new:, None]).sum((1, 2))

    rewards = torch.tensor([sum(row) % 7 / 3.0 for row in whole_BS[:, -new:].tolist()], device=ids_BT.device)
    parts = [slice(i, i + ROWS_AT_ONCE) for i in range(0, len(whole_BS), ROWS_AT_ONCE)]
    with torch.no_grad(), model.disable_adapter():
        reference = torch.cat([log_probs(part) for part in parts])
    with torch.no_grad():
        rewards = rewards - BETA * (torch.cat([log_probs(part) for part in parts]) - reference)
    of_group = rewards.view(-1, size)
    advantages = (of_group - (of_group.sum(1, keepdim=True) - of_group) / max(1, size - 1)).flatten()
    for part in parts:
        (-(advantages[part] * log_probs(part)).sum() / len(whole_BS)).backward()
    optimizer.step()
    optimizer.zero_grad()


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows, padded on the left, and their mask."""
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


def rl(kit: Kit) -> RLSettings:
    """The settings of a step, in preceptor's names."""
    scale = kit.scale
    return RLSettings(
        algorithm="rloo", steps=1 + scale.steps, prompts_per_step=scale.prompts, group_size=scale.group_size,
        max_new_tokens=scale.new_tokens, learning_rate=LEARNING_RATE, kl_coefficient=BETA,
        gradient_accumulation_steps=max(1, scale.prompts * scale.group_size // ROWS_AT_ONCE),
    )  # fmt: skip


def stepped(kit: Kit, ended: Sequence[float]) -> Facts:
    """The median of the steps after the first, and the useful arithmetic of a step: every token of a prompt once for
    its group, in sampling, under the reference, forward and backward under the policy; without attention's products.
    """
    seconds = [later - earlier for earlier, later in pairwise(ended)]
    scale, (body, head) = kit.scale, kit.weights()
    responses = scale.prompts * scale.group_size * scale.new_tokens
    prompts = sum(len(encode_prompt(kit.tokenizer, prompt.conversation)) for prompt in kit.prompts)
    flop = (2 + 2 + 4) * (body * (prompts + responses) + head * responses)
    median = statistics.median(seconds)
    taken = {"seconds": median, "all_seconds": seconds, "responses": scale.prompts * scale.group_size}
    return {**taken, "flop_per_second": flop / median}


STEPS: dict[str, Callable[[Kit], Facts]] = {
    "preceptor": on_preceptor,
    "preceptor on TRL": on_trl_engine,
    "TRL": on_trl,
    "transformers loop": in_a_loop,
}


def main(model: str, scale_name: str, file: str) -> None:
    """Measures each, and writes what was found after each."""
    scale, part = SCALES[scale_name], PartFile(Path(file), f"speed of {model}")
    part.measure("product of matrices", lambda: {"flop_per_second": reached(scale.matmul)})
    kit = Kit(model, scale)
    requests = rendered(scale.comparisons)
    part.measure("labels: preceptor", lambda: peak_of(lambda: labels(kit, requests)))
    part.measure("labels: transformers loop", lambda: peak_of(lambda: labels_in_a_loop(kit, requests)))
    for name, take in STEPS.items():
        part.measure(f"step: {name}", lambda take=take: peak_of(lambda: take(kit)))


if __name__ == "__main__":
    main(*sys.argv[1:])
