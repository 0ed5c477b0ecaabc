"""The machine's rates and the rates of judging, sampling and learning, measured alternately in one process.

The machine's rate changes from second to second, so each piece of work is measured between two measurements of the
machine and compared with their mean.
"""

import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from benchmarks.worker import serve
from benchmarks.workers.words import random_text
from preceptor.backends.base import ChooseRequest
from preceptor.backends.scripted import ScriptedModel, first_choice
from preceptor.backends.transformers.cores import side_by_side, workers
from preceptor.backends.transformers.forest import in_parts
from preceptor.backends.transformers.loading import load
from preceptor.backends.transformers.model import LocalModel
from preceptor.backends.transformers.sampling import sample_groups
from preceptor.core.types import Comparison, Message, Prompt, Response
from preceptor.judging.constitution import load_constitution
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.settings import PairwiseSettings
from preceptor.store.ledger import Ledger
from preceptor.training.gradients import accumulate
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import Policy
from preceptor.training.rl.update import CPU_TOKENS
from preceptor.training.tuning import TuningSettings

CPU = torch.device("cpu")
ROWS, DECODED_ROWS = 2048, 32
GROUPS, GROUP_SIZE, NEW_TOKENS = 8, 4, 32
PROMPT_TOKENS, RESPONSE_TOKENS = 60, 120
SECONDS = 0.3
"""Approximate seconds of one measurement of the machine."""
ARRAY_BYTES = 1 << 28
"""Size of the array for measuring reads: far more than a cache holds."""


@dataclass(frozen=True)
class Sizes:
    """The parts of a model that cost arithmetic: the weights of the linear layers and the output embeddings."""

    layers: int
    shapes: tuple[tuple[int, int], ...]
    """Outputs and inputs of the linear layers of one block."""
    head: int
    pair: int
    """FLOP of attention over all blocks, for one token and one token that it attends to."""

    @property
    def body(self) -> int:
        """Parameters of all blocks that are multiplied with every token."""
        return self.layers * sum(outputs * inputs for outputs, inputs in self.shapes)

    @classmethod
    def of(cls, model: Any) -> "Sizes":
        """The sizes of a causal language model."""
        layers = model.config.num_hidden_layers
        linears = [m for m in model.model.layers[0].modules() if isinstance(m, torch.nn.Linear)]
        shapes = tuple((m.out_features, m.in_features) for m in linears)
        width = model.config.num_attention_heads * model.config.head_dim
        return cls(layers, shapes, model.get_output_embeddings().weight.numel(), pair=2 * 2 * width * layers)


class Machine:
    """The rates of this machine, measured at every call."""

    def __init__(self, shapes: Sequence[tuple[int, int]], dtype: torch.dtype) -> None:
        self._shapes = shapes
        self.dtype = dtype
        self._read = torch.ones(ARRAY_BYTES // 4)
        self._written = torch.zeros(ARRAY_BYTES // 4)

    def layers(self, rows: int, dtype: torch.dtype) -> float:
        """FLOP per second of the products of one block, whose weights stay in the cache."""
        return self._products(self._shapes, rows, dtype)

    def square(self, dtype: torch.dtype) -> float:
        """FLOP per second of the product of two square matrices."""
        return self._products([(ROWS, ROWS)], ROWS, dtype)

    def reading(self) -> float:
        """Bytes per second."""
        return ARRAY_BYTES / _seconds(self._read.sum)

    def copying(self) -> float:
        """Bytes per second, read and written."""
        return 2 * ARRAY_BYTES / _seconds(lambda: self._written.copy_(self._read))

    def _products(self, shapes: Sequence[tuple[int, int]], rows: int, dtype: torch.dtype) -> float:
        """The rate with all threads together or with parallel workers, whichever is faster."""
        weights = [torch.randn(shape).to(dtype) for shape in shapes]
        inputs = {size: torch.randn(rows, size).to(dtype) for _, size in shapes}

        def multiply() -> None:
            for weight in weights:
                linear(inputs[weight.shape[1]], weight)

        def multiply_side_by_side() -> None:
            list(side_by_side(CPU, lambda _: multiply(), range(share)))

        flop, share = sum(2 * rows * weight.numel() for weight in weights), workers(CPU)
        together = flop / _seconds(multiply)
        return max(together, share * flop / _seconds(multiply_side_by_side)) if share > 1 else together


@torch.inference_mode()
def _seconds(work: Callable[[], Any]) -> float:
    """Mean seconds of a short piece of work, after one warm-up."""
    work()
    start, done = time.perf_counter(), 0
    while (took := time.perf_counter() - start) < SECONDS:
        work()
        done += 1
    return took / done


@dataclass(frozen=True)
class Pass:
    """A forward pass."""

    begun: float
    tokens: int
    """Padding included."""
    pairs: int
    """Pairs of a token and a token that it attends to."""


@contextmanager
def _watched(model: Any) -> Generator[list[Pass]]:
    """Records every forward pass inside the context."""
    passes: list[Pass] = []

    def note(_module: Any, inputs: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> None:
        passes.append(Pass(time.perf_counter(), inputs[0].shape[:2].numel(), int((named["position_ids"] + 1).sum())))

    hook = model.model.rotary_emb.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield passes
    finally:
        hook.remove()


def judge_prefill(judge: LocalModel, requests: Sequence[ChooseRequest]) -> dict[str, float]:
    """Answers the requests."""
    with _watched(judge.model) as passes:
        start = time.perf_counter()
        answers = [answer for batch in judge.choose(requests) for _, answer in batch]
        seconds = time.perf_counter() - start
    given = sum(answer.usage.prompt_tokens for answer in answers)
    tokens, pairs = sum(step.tokens for step in passes), sum(step.pairs for step in passes)
    return {"seconds": seconds, "units": len(requests), "tokens": tokens, "prompt_tokens": given, "pairs": pairs}


def decode(model: Any, prompts: Sequence[Sequence[int]]) -> dict[str, float]:
    """Samples groups. `step` is the time of one step after the prompts: a forward pass and the choice of the tokens."""
    with _watched(model) as passes:
        start = time.perf_counter()
        sample_groups(
            model,
            prompts,
            seeds_P=range(len(prompts)),
            group_size=GROUP_SIZE,
            max_new_tokens=NEW_TOKENS,
            temperature=1.0,
            eos_ids=[-1],  # nothing ends early
        )
        end = time.perf_counter()
    steps = [step.begun for step in passes[1:]]
    assert len(steps) == NEW_TOKENS - 1
    tokens = len(prompts) * GROUP_SIZE * NEW_TOKENS
    return {"seconds": end - start, "units": tokens, "tokens": tokens, "step": (end - steps[0]) / len(steps)}


def update(policy: Policy, groups: Sequence[TokenGroup]) -> dict[str, float]:
    """Log-probabilities of sampled responses and their gradient, in parts as in an RL update. Tokens are those of
    prompts and responses.
    """

    def loss(part: range) -> tuple[Tensor, None]:
        return policy.log_probs([groups[i] for i in part]).sum(), None

    with _watched(policy.base.model) as passes:
        start = time.perf_counter()
        parts = in_parts([group.size for group in groups], CPU_TOKENS, workers(CPU))
        accumulate(loss, parts, policy.trainable, one_by_one=False)
        seconds = time.perf_counter() - start
    for parameter in policy.trainable:
        parameter.grad = None
    responses = sum(len(response) for group in groups for response in group.responses)
    tokens = sum(len(group.prompt) for group in groups) + responses
    pairs = sum(step.pairs for step in passes)
    return {"seconds": seconds, "units": responses, "tokens": tokens, "pairs": pairs}


def rendered(comparisons: int) -> list[ChooseRequest]:
    """The requests of a judge without exemplars for random comparisons, in both orders."""
    draw = random.Random(0)  # noqa: S311
    with Ledger(Path(":memory:")) as ledger:
        asked = ScriptedModel("first", first_choice)
        judge = PairwiseJudge(asked, load_constitution("helpful"), PairwiseSettings(), ledger)
        judge.compare([_comparison(str(i), draw) for i in range(comparisons)])
    return [request for request in asked.asked if isinstance(request, ChooseRequest)]


def _comparison(name: str, draw: random.Random) -> Comparison:
    prompt = Prompt(id=name, conversation=(Message(role="user", content=random_text(draw, PROMPT_TOKENS)),))
    a, b = (Response(prompt_id=name, text=random_text(draw, RESPONSE_TOKENS)) for _ in range(2))
    return Comparison(id=name, prompt=prompt, a=a, b=b)


def prepare(settings: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Settings: `comparisons` to judge."""
    judge, policy = LocalModel(load("embedded")), Policy(LocalModel(load("embedded")), TuningSettings(rank=16), seed=0)
    sizes, dtype = Sizes.of(judge.model), judge.model.dtype
    machine = Machine(sizes.shapes, dtype)
    requests = rendered(settings["comparisons"])
    draw = torch.Generator().manual_seed(0)
    ids: list[list[int]] = torch.randint(
        1000, judge.model.config.vocab_size, (GROUPS * (1 + GROUP_SIZE), PROMPT_TOKENS), generator=draw
    ).tolist()
    prompts, answers = ids[:GROUPS], ids[GROUPS:]
    groups = [
        TokenGroup(tuple(p), tuple(tuple(a[:NEW_TOKENS]) for a in answers[i * GROUP_SIZE : (i + 1) * GROUP_SIZE]))
        for i, p in enumerate(prompts)
    ]

    def work() -> dict[str, Any]:
        full, few, traffic = [machine.layers(ROWS, dtype)], [machine.layers(DECODED_ROWS, dtype)], [machine.reading()]
        decoding = decode(judge.model, prompts)
        few.append(machine.layers(DECODED_ROWS, dtype))
        traffic.append(machine.reading())
        full.append(machine.layers(ROWS, dtype))
        judging = judge_prefill(judge, requests)
        full.append(machine.layers(ROWS, dtype))
        learning = update(policy, groups)
        full.append(machine.layers(ROWS, dtype))

        weights = sizes.body + sizes.head
        decoding["by arithmetic"] = 2 * weights * DECODED_ROWS / fmean(few)
        decoding["by traffic"] = weights * dtype.itemsize / fmean(traffic)
        decoding["fraction"] = max(decoding["by arithmetic"], decoding["by traffic"]) / decoding["step"]
        judging["flop"] = 2 * sizes.body * judging["tokens"]
        judging["attention flop"] = sizes.pair * judging["pairs"]
        learning["flop"] = 4 * (sizes.body * learning["tokens"] + sizes.head * learning["units"])
        learning["attention flop"] = 3 * sizes.pair * learning["pairs"]
        for work, rate in ((judging, fmean(full[1:3])), (learning, fmean(full[2:]))):
            work["fraction"] = work["flop"] / work["seconds"] / rate
            work["with attention"] = (work["flop"] + work["attention flop"]) / work["seconds"] / rate
        name = str(dtype).removeprefix("torch.")
        rates = {
            f"{name}, the layers' products, {ROWS} rows": fmean(full),
            f"{name}, the layers' products, {DECODED_ROWS} rows": fmean(few),
            f"{name}, square of {ROWS}": machine.square(dtype),
            f"float32, the layers' products, {ROWS} rows": machine.layers(ROWS, torch.float32),
            f"float32, the layers' products, {DECODED_ROWS} rows": machine.layers(DECODED_ROWS, torch.float32),
            f"float32, square of {ROWS}": machine.square(torch.float32),
        }
        works = {"judge prefill": judging, "decode": decoding, "RL update": learning}
        bandwidth = {"read": fmean(traffic), "copy, read and written": machine.copying()}
        return {
            "works": works,
            "rates": rates,
            "bandwidth": bandwidth,
            "sizes": {"body": sizes.body, "head": sizes.head},
        }

    return work


if __name__ == "__main__":
    serve(prepare)
