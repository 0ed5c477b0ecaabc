"""An epoch on preference pairs, training a reward model and by DPO, in preceptor and in TRL."""

import json
import os
import tempfile
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from benchmarks.environments import training_peer_python
from benchmarks.harness import REPETITIONS, ROOT, Contestant, Kind, compete, this_kind
from benchmarks.rl_step import parts, pinned, precision_in_words, trl_settings
from preceptor.backends.transformers.embedded import ensure_embedded
from preceptor.core.hashing import unit_hash
from preceptor.store.training_pairs import TrainingPair, read_training_pairs
from preceptor.training.tuning import TuningSettings

DATA = ROOT.parent / "shared" / "data" / "human_preferences_oasst.jsonl"
PACKAGED = ROOT / "src" / "preceptor" / "data" / "human_preferences.jsonl"
PAIRS, QUICK_PAIRS = 48, 16
BATCH = 16
MAX_LENGTH = 256
"""Maximum tokens of a prompt and a response; longer pairs are left out."""
LEARNING_RATE = 1e-4
AT_ONCE = 2
"""Pairs in one of TRL's forward and backward passes; 1, 4 and 8 were no faster."""


def run(quick: bool) -> dict[str, Any]:
    """Contestants train an epoch in turn, always from the base model; each one's first epoch is the warm-up."""
    count, repetitions = (QUICK_PAIRS, 2) if quick else (PAIRS, REPETITIONS)
    kind = this_kind()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="pairs-") as scratch:
        file = Path(scratch) / "pairs.jsonl"
        source, tokens = write_pairs(file, count)
        for variant, method in (("reward model", "reward"), ("DPO", "dpo")):
            results = compete(contestants(method, file, kind), repetitions)
            told = {"variant": variant, "tokens": tokens}
            rows += [{**result.row(variant, results[0]), **told, "parts": parts(result)} for result in results]
    return {"title": "An epoch on pairs", "setup": setup(source, count, kind.dtype), "rows": rows}


def contestants(method: str, file: Path, kind: Kind) -> list[Contestant]:
    """preceptor, and TRL's trainer for the same method: `method` is reward or dpo."""
    threads, tuning = len(os.sched_getaffinity(0)), TuningSettings()
    training: dict[str, Any] = {
        "epochs": 1,
        "batch_size": BATCH,
        "learning_rate": LEARNING_RATE,
        "max_length": MAX_LENGTH,
        "labels": "hard",
    }
    arguments: dict[str, Any] = {
        "num_train_epochs": 1,
        "per_device_train_batch_size": AT_ONCE,
        "gradient_accumulation_steps": BATCH // AT_ONCE,
        "learning_rate": LEARNING_RATE,
        "train_sampling_strategy": "group_by_length",
        "remove_unused_columns": False,  # the lengths are a column that would be removed
        "max_length": MAX_LENGTH,
        **trl_settings(kind.dtype),
    }
    lora = {"r": tuning.rank, "lora_alpha": tuning.alpha, "lora_dropout": 0.0}
    common = {"method": method, "pairs": str(file), "threads": threads}
    own = {**common, "training": training}
    theirs = {**common, "model": str(ensure_embedded()), "dtype": kind.dtype, "arguments": arguments, "lora": lora}
    return [
        Contestant("preceptor", "benchmarks.workers.preceptor_pairs", own, environment=kind.environment),
        Contestant(
            "TRL RewardTrainer" if method == "reward" else "TRL DPOTrainer",
            "benchmarks.workers.trl_pairs",
            theirs,
            training_peer_python(),
            kind.environment,
        ),
    ]


def write_pairs(file: Path, count: int) -> tuple[str, int]:
    """Writes pairs that are short enough, in an order that depends on their content; if there is no dataset, the
    package's own pairs, repeated.

    Returns: the source of the pairs, and their tokens: both texts of each pair, each including the prompt.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(ensure_embedded())
    read, _ = read_training_pairs(DATA if DATA.is_file() else PACKAGED)
    rows = [_row(pair) for pair in sorted(read, key=lambda pair: unit_hash("bench", pair.id))]
    sized = [(row, [_length(tokenizer, row["prompt"] + row[name]) for name in ("chosen", "rejected")]) for row in rows]
    taken = list(islice(cycle([pair for pair in sized if max(pair[1]) <= MAX_LENGTH]), count))
    lines = [json.dumps({**row, "length": max(lengths)}) for row, lengths in taken]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = "Open-Assistant rankings" if DATA.is_file() else "the package's human preferences, repeated"
    return source, sum(sum(lengths) for _, lengths in taken)


def _row(pair: TrainingPair) -> dict[str, Any]:
    """The pair in TRL's conversational format, which preceptor also reads."""
    return {
        "prompt": [{"role": message.role, "content": message.content} for message in pair.prompt.conversation],
        "chosen": [{"role": "assistant", "content": pair.chosen.text}],
        "rejected": [{"role": "assistant", "content": pair.rejected.text}],
    }


def _length(tokenizer: Any, messages: list[dict[str, str]]) -> int:
    return len(tokenizer.apply_chat_template(messages, tokenize=True)["input_ids"])


def setup(source: str, count: int, dtype: str) -> dict[str, Any]:
    """Describes what is measured, and how."""
    tuning = TuningSettings()
    return {
        "work": "from pairs as text and a loaded model: tokenise, one epoch (DPO: the reference's log-probabilities "
        "too); preceptor also saves its state",
        "pairs": f"{count}, {source}, at most {MAX_LENGTH} tokens of prompt and response; batches of {BATCH}",
        "model": f"SmolLM2-135M-Instruct, {precision_in_words(dtype).format(rank=tuning.rank)}; AdamW",
        "preceptor": "default settings",
        "TRL": f"{pinned('trl')}; no gradient checkpointing, batches grouped by length, {AT_ONCE} pairs "
        "at once, accumulated to one update; nothing saved or tracked",
        "units": "pairs",
        "tokens": "of both texts of every pair, the prompt in both",
    }
