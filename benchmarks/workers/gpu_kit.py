"""What the parts of `benchmarks.gpu` share: models of given shapes, sizes of the work, clocks, and a part's file."""

import copy
import json
import random
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config

from benchmarks.workers.preceptor_rl import EndlessModel
from benchmarks.workers.words import random_text
from preceptor.backends.transformers.chat import encode_text
from preceptor.backends.transformers.loading import LoadedModel, default_dtype, load
from preceptor.backends.transformers.traits import prepare
from preceptor.core.types import Message, Prompt

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
             "vocab_size": 300},
    "0.5B": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
             "vocab_size": 151936},
    "1.5B": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
             "vocab_size": 151936},
}  # fmt: skip
"""The shapes of Qwen2.5 (Qwen team 2024, arXiv 2412.15115); all have two heads of keys and tied embeddings."""
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIFIED = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
"""FLOP per second in bfloat16 that the makers of cards state, dense, by a word of the card's name."""


@dataclass(frozen=True)
class Scale:
    """The size of the work."""

    comparisons: int
    prompts: int
    group_size: int
    new_tokens: int
    prompt_tokens: int
    steps: int
    """Measured steps, after one that warms up."""
    matmul: int
    """The side of the matrices whose product says what the device reaches."""


SCALES = {
    "full": Scale(64, 8, 8, 64, 128, 2, 8192),
    "tiny": Scale(1, 2, 2, 4, 16, 1, 64),
}


class Kit:
    """A model, and the work to give it.

    Args:
        name: of a shape, or `embedded`.
    """

    def __init__(self, name: str, scale: Scale, dtype: torch.dtype | None = None) -> None:
        self.name, self.scale = name, scale
        self._loaded = load("embedded", dtype) if name == "embedded" else random_model(name, dtype or default_dtype())
        self.tokenizer = self._loaded.tokenizer
        draw = random.Random(0)  # noqa: S311
        words = max(1, scale.prompt_tokens // max(1, len(encode_text(self.tokenizer, " people water")) // 2))
        self.prompts = [
            Prompt(id=str(i), conversation=(Message(role="user", content=random_text(draw, words)),))
            for i in range(scale.prompts)
        ]

    def fresh(self) -> EndlessModel:
        """A copy whose weights may be trained; no token ends its responses."""
        loaded, made = self._loaded, copy.deepcopy(self._loaded.model)
        return EndlessModel(LoadedModel(made, loaded.tokenizer, loaded.identity, loaded.source))

    def plain(self) -> Any:
        """A copy as transformers computes it by itself."""
        made = copy.deepcopy(self._loaded.model)
        made.set_attn_implementation("sdpa")
        return made

    @property
    def vocabulary(self) -> int:
        """The number of tokens."""
        return int(self._loaded.model.config.vocab_size)

    @property
    def dtype(self) -> torch.dtype:
        """The models' precision."""
        return self._loaded.model.dtype

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._loaded.model.device

    def weights(self) -> tuple[int, int]:
        """Weights that are multiplied with every token: of the blocks, and of the output embeddings."""
        model = self._loaded.model
        linears = [m for m in model.model.layers.modules() if isinstance(m, torch.nn.Linear)]
        return sum(m.weight.numel() for m in linears), model.get_output_embeddings().weight.numel()


def random_model(name: str, dtype: torch.dtype) -> LoadedModel:
    """A model of a shape with random weights, and a tokenizer of one token for each byte."""
    shape = SHAPES[name]
    made: Any = Qwen2Config  # pyright takes the shape for every one of its settings
    config = made(
        **shape, num_key_value_heads=2, max_position_embeddings=32768, tie_word_embeddings=True,
        initializer_range=2 / shape["hidden_size"] ** 0.5,  # logits whose differences rounding does not hide
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
    prepare(model.eval())
    return LoadedModel(model, _bytes(), f"random-{name}:{str(dtype).removeprefix('torch.')}", f"random-{name}")


def _bytes() -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    ends = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ends)
    fast.chat_template = TEMPLATE
    return fast


def now() -> float:
    """The time once the device has finished."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_of(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What some work measured, and the most memory that it took on the card; None on a CPU."""
    if not torch.cuda.is_available():
        return {**work(), "peak_gib": None}
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return {**work(), "peak_gib": torch.cuda.max_memory_allocated() / 2**30}


@torch.inference_mode()
def reached(side: int) -> float:
    """FLOP per second of a product of two square matrices in the models' precision."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    one, other = (torch.randn(side, side, device=device).to(default_dtype()) for _ in range(2))
    torch.mm(one, other)
    started = now()
    for _ in range(10):
        torch.mm(one, other)
    return 10 * 2 * side**3 / (now() - started)


def card() -> dict[str, Any]:
    """The device, and what its maker states."""
    if not torch.cuda.is_available():
        return {"name": "CPU", "specified": None, "memory_gib": None}
    facts = torch.cuda.get_device_properties(0)
    stated = next((rate for word, rate in SPECIFIED.items() if word in facts.name), None)
    return {"name": facts.name, "specified": stated, "memory_gib": facts.total_memory / 2**30}


class PartFile:
    """The results of a part, written after each measurement."""

    def __init__(self, file: Path, part: str) -> None:
        self._file = file
        self._said: dict[str, Any] = {"part": part, "card": card(), "measured": {}, "failed": {}}
        self._write()

    def measure(self, name: str, work: Callable[[], dict[str, Any]]) -> None:
        """Takes one measurement; one that fails says so, and the others go on."""
        started = time.perf_counter()
        try:
            self._said["measured"][name] = work()
        except Exception as error:  # the only place that catches a measurement's failure
            traceback.print_exc()
            self._said["failed"][name] = f"{type(error).__name__}: {(str(error) or 'without words').splitlines()[0]}"
        print(f"  {name}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._write()

    def _write(self) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self._said, indent=1) + "\n")
        partial.replace(self._file)
