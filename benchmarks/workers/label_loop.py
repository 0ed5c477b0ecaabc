"""Labelling with a plain transformers loop: prompts in batches of 8, logits, softmax over choices.

The prompts are preceptor's, tokenised before the work begins; nothing is written to disk.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.worker import serve
from benchmarks.workers.label_prompts import comparisons, requests
from preceptor.backends.transformers.chat import encode_prompt, encode_text

BATCH = 8

Facts = dict[str, Any]
Encoded = tuple[list[int], list[list[int]]]
"""Context and choices, as token ids."""


def prepare(settings: dict[str, Any]) -> Callable[[], Facts]:
    """Loads the weights without conversion, and tokenises all prompts."""
    tokenizer: Any = AutoTokenizer.from_pretrained(settings["folder"])
    model: Any = AutoModelForCausalLM.from_pretrained(settings["folder"], dtype=getattr(torch, settings["dtype"]))
    model.eval()
    computed = 0

    def count(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal computed
        computed += inputs[0].numel()

    model.get_input_embeddings().register_forward_pre_hook(count)
    data = Path(settings["data"])
    encoded: list[Encoded] = [
        (encode_prompt(tokenizer, r.prompt, r.prefill), [encode_text(tokenizer, choice) for choice in r.choices])
        for r in requests(data, settings["variant"])
    ]
    names = [comparison.id for comparison in comparisons(data)]

    def work() -> Facts:
        begun, before = time.process_time(), computed
        answers = [
            p for start in range(0, len(encoded), BATCH) for p in _answers(model, encoded[start : start + BATCH])
        ]
        pairs = len(answers) == 2 * len(names)  # both orders of each; not if responses are scored by criteria
        p_a = {name: (answers[2 * i][0] + answers[2 * i + 1][1]) / 2 for i, name in enumerate(names)} if pairs else {}
        return {
            "units": settings["units"],
            "tokens": computed - before,
            "cpu_seconds": time.process_time() - begun,
            "p_a": p_a,
        }

    return work


@torch.inference_mode()
def _answers(model: Any, batch: Sequence[Encoded]) -> list[list[float]]:
    """Probabilities of the choices of each prompt.

    A row is the context and all but the last token of the longest choice, so that "10" is read exactly. The other
    choices are read from the same row, since they begin in the same way.
    """
    rows = [context + max(choices, key=len)[:-1] for context, choices in batch]
    longest = max(len(row) for row in rows)
    ids_BT = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask_BT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    logits_BTV = model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).logits
    answers: list[list[float]] = []
    for (context, choices), logits_TV in zip(batch, logits_BTV, strict=True):
        read_KV = torch.log_softmax(logits_TV[len(context) - 1 :][: max(map(len, choices))].float(), dim=-1)
        p = {tuple(c): math.exp(sum(float(read_KV[i, token]) for i, token in enumerate(c))) for c in choices}
        alone = [p[c] - sum(q for other, q in p.items() if other[: len(c)] == c and other != c) for c in p]
        answers.append([share / sum(alone) for share in alone])
    return answers


if __name__ == "__main__":
    serve(prepare)
