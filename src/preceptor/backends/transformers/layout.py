"""Prepares texts for a model: as a forest if the model computes one, otherwise as a padded batch."""

import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from preceptor.backends.transformers.attention import forest_arguments
from preceptor.backends.transformers.forest import Forest
from preceptor.backends.transformers.traits import traits

_reading = threading.local()


@dataclass(frozen=True)
class Layout:
    """The arguments of a forward pass, and where each text's tokens are in its result."""

    arguments: dict[str, object]
    places: list[list[int]]
    """For each text, the indices of its tokens after the prefix in the result, with batch and time flattened."""


def lay_out(model: Any, texts: Sequence[Sequence[int]], prefix: int = 0) -> Layout:
    """Lays out texts for a model without adapters; texts with the same beginning should be adjacent.

    Args:
        prefix: number of first tokens, the same in every text, that are already cached; only for models that compute
            a forest.
    """
    if traits(model).forest:
        forest = Forest.of(texts, prefix)
        return Layout(forest_arguments(model, forest), forest.places)
    width = max(len(text) for text in texts)
    ids_BT = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts], device=model.device)
    mask_BT = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts], device=model.device)
    places = [list(range(row * width, row * width + len(text))) for row, text in enumerate(texts)]
    return Layout({"input_ids": ids_BT, "attention_mask": mask_BT, "use_cache": False}, places)


def read(model: Any, arguments: Mapping[str, object], places_N: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Logits at N indices of a model's result (N × V), and the hidden states from which its head computed them (N × H).

    The logits include what the model does to them after the head (scaling, capping).
    """
    with reading(model, places_N):
        return model(**arguments).logits.flatten(0, -2), _reading.hidden


@contextmanager
def reading(model: Any, places_N: Sequence[int]) -> Generator[None]:
    """Within the context, in this thread, a model's head sees only N of the hidden states: logits are 1 × N × V."""
    head: Any = model.get_output_embeddings()
    if not getattr(head, "preceptor_reads", False):
        head.register_forward_pre_hook(_chosen)
        head.preceptor_reads = True
    _reading.places = torch.tensor(places_N, device=model.device)
    try:
        yield
    finally:
        _reading.places = _reading.hidden = None


def _chosen(_: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    """Replaces the head's input by the chosen hidden states, in a thread that is inside `reading`."""
    places_N = getattr(_reading, "places", None)
    if places_N is None:
        return None
    _reading.hidden = arguments[0].flatten(0, -2)[places_N]
    return (_reading.hidden[None],)
