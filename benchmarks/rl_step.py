"""One step of direct RLAIF with the quick start's settings, in preceptor and in TRL, with the same judge as reward."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.environments import PEERS, training_peer_python
from benchmarks.harness import REPETITIONS, ROOT, Contestant, Kind, Result, compete, this_kind
from preceptor.backends.transformers.embedded import ensure_embedded
from preceptor.core.types import Prompt
from preceptor.recipes.direct_rlaif import DirectRlaifRecipe
from preceptor.recipes.load import load_recipe
from preceptor.store.prompts import read_prompts, split_held_out
from preceptor.training.rl.loop import prompts_of_step

VARIANTS = {
    "8 prompts × 4 responses × 32 tokens": (8, 4, 32),
    "8 prompts × 4 responses × 128 tokens": (8, 4, 128),
    "4 prompts × 8 responses × 32 tokens": (4, 8, 32),
}
ENDLESS = 1000
"""The number of steps a trainer is set to; it is stopped earlier."""
ROWS_AT_ONCE = 8
"""Responses in one of TRL's forward and backward passes; the fastest of 4, 8, 16 and 32 together with 4."""


def trl_settings(dtype: str) -> dict[str, Any]:
    """Settings shared by TRL's trainers, which compute in the same precision as the other contestants."""
    return {
        "lr_scheduler_type": "constant",
        "bf16": dtype == "bfloat16",
        "gradient_checkpointing": False,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def precision_in_words(dtype: str) -> str:
    """The precision of the trained model, in words."""
    base = "bf16 base, fp32 LoRA adapters" if dtype == "bfloat16" else "fp32 base and LoRA adapters"
    return f"{base} of rank {{rank}} on all linear layers" + (", under bf16 autocast" if dtype == "bfloat16" else "")


def run(quick: bool) -> dict[str, Any]:
    """Contestants take a step in turn; each one's first step is the warm-up."""
    recipe, prompts, kind = *quick_start(), this_kind()
    repetitions = 2 if quick else REPETITIONS
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="rl-step-") as scratch:
        for variant, shape in list(VARIANTS.items())[: 1 if quick else None]:
            folder = Path(scratch) / str(len(rows))
            folder.mkdir()
            results = compete(contestants(recipe, prompts, shape, repetitions, folder, kind), repetitions)
            rows += [{**result.row(variant, results[0]), "parts": parts(result)} for result in results]
    return {"title": "A step of direct RLAIF", "setup": setup(recipe, kind.dtype), "rows": rows}


def quick_start() -> tuple[DirectRlaifRecipe, list[Prompt]]:
    """The quick start's recipe and training prompts."""
    recipe = load_recipe("quickstart")
    assert isinstance(recipe, DirectRlaifRecipe)
    return recipe, split_held_out(read_prompts(recipe.prompts), recipe.evaluation.heldout_share)[0]


def parts(result: Result) -> dict[str, float | None]:
    """Median seconds of each part of a contestant's work."""
    names = result.repetitions[0].get("parts", {}) if result.repetitions else {}
    return {name: result.part(name) for name in names}


def pinned(package: str) -> str:
    """Name and version of a package of the trainers' environment."""
    lines = (PEERS / "training.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"{package}==")).replace("==", " ")


def contestants(
    recipe: DirectRlaifRecipe,
    prompts: Sequence[Prompt],
    shape: tuple[int, int, int],
    repetitions: int,
    folder: Path,
    kind: Kind,
) -> list[Contestant]:
    """The contestants: preceptor and TRL's two trainers.

    Args:
        shape: prompts, responses to each, tokens of each.
        folder: folder for the prompts.
    """
    count, group_size, tokens = shape
    threads = len(os.sched_getaffinity(0))
    ordered = [p for step in range(1, repetitions + 3) for p in prompts_of_step(prompts, step, count, recipe.seed)]
    rl = {"steps": ENDLESS, "prompts_per_step": count, "group_size": group_size, "max_new_tokens": tokens}
    own = Contestant(
        "preceptor",
        "benchmarks.workers.preceptor_rl",
        {"rl": rl, "prompts": _written(prompts, folder / "prompts.jsonl"), "threads": threads},
        environment=kind.environment,
    )
    arguments: dict[str, Any] = {
        "num_generations": group_size,
        "max_completion_length": tokens,
        "temperature": recipe.rl.temperature,
        "generation_kwargs": {"eos_token_id": _no_token()},
        "beta": recipe.rl.kl_coefficient,
        "learning_rate": recipe.rl.learning_rate,
        "per_device_train_batch_size": ROWS_AT_ONCE,
        "gradient_accumulation_steps": count * group_size // ROWS_AT_ONCE,
        "max_steps": ENDLESS,
        "shuffle_dataset": False,
        "model_init_kwargs": {"dtype": kind.dtype},
        **trl_settings(kind.dtype),
    }
    common = {
        "model": str(ensure_embedded()),
        "arguments": arguments,
        "lora": {"r": recipe.tuning.rank, "lora_alpha": recipe.tuning.alpha, "lora_dropout": 0.0},
        "constitution": recipe.judge.constitution,
        "prompts": _written(ordered, folder / "ordered.jsonl"),
        "threads": threads,
    }
    return [
        own,
        *(
            Contestant(
                f"TRL {trainer}",
                "benchmarks.workers.trl_rl",
                {"trainer": trainer, **common},
                training_peer_python(),
                {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), _findable(folder)]), **kind.environment},
            )
            for trainer in ("RLOOTrainer", "GRPOTrainer")
        ),
    ]


def _written(prompts: Sequence[Prompt], file: Path) -> str:
    file.write_text("".join(prompt.model_dump_json() + "\n" for prompt in prompts), encoding="utf-8")
    return str(file)


def _no_token() -> int:
    """An id that no token has, used as the end-of-response token."""
    return int(json.loads((ensure_embedded() / "config.json").read_text())["vocab_size"])


def _findable(folder: Path) -> str:
    """A folder with package metadata, so that preceptor can look up its version where it is not installed."""
    about = folder / "preceptor-0.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: preceptor\nVersion: 0\n")
    return str(folder)


def setup(recipe: DirectRlaifRecipe, dtype: str) -> dict[str, Any]:
    """Describes what is measured, and how."""
    return {
        "work": "sample, judge, log-probabilities of policy and reference, one update; preceptor also saves the step",
        "model": f"SmolLM2-135M-Instruct, {precision_in_words(dtype).format(rank=recipe.tuning.rank)}; AdamW",
        "reward": f"log-odds of the embedded model by {recipe.judge.constitution}, by preceptor's judge and with its "
        "ledger for everyone, in TRL as a reward function",
        "prompts": "the quick start's training prompts, in the same order",
        "responses": f"no token ends one, so all have the same length; temperature {recipe.rl.temperature}",
        "preceptor": f"RLOO, β {recipe.rl.kl_coefficient}, as the recipe says",
        "TRL": f"{pinned('trl')}, transformers' generate, β {recipe.rl.kl_coefficient}, no gradient checkpointing, "
        f"{ROWS_AT_ONCE} responses at once, accumulated to one update; nothing saved or tracked",
        "units": "responses",
    }
