"""How a model can process texts. It is determined when the model is loaded, from its layers' caches and by a trial.

A forest (`forest`) is exact if every layer follows its mask and the given positions, and if nothing else carries over
from one token to the next. A list of model families would never be complete, so each model is tried on three tokens.
"""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from preceptor.backends.transformers import attention, flex
from preceptor.core.errors import UsageError

CACHES = ("past_key_values", "cache_params", "state")
"""Names of the decoding cache in models' outputs and arguments."""
_HARMLESS = {"dropout", "is_causal", "position_ids", "use_cache", "output_attentions", "output_hidden_states"}
"""Attention arguments that do not change what is computed outside of training."""
_KEPT = "preceptor_traits"


@dataclass(frozen=True)
class Traits:
    """How a model may be used. The defaults are right for every causal language model."""

    forest: bool = False
    """Texts may be laid out as a forest; otherwise they go to the model as a padded batch of separate texts."""
    windows: bool = False
    """Some layer has a sliding window."""
    padded_prompts: bool = False
    """Prompts of several lengths may be decoded together; otherwise each prompt is decoded by itself."""

    @property
    def kept_prefixes(self) -> bool:
        """Whether prompts may be decoded after a cached prefix. A window would count the padding in between."""
        return self.forest and not self.windows


def traits(model: Any) -> Traits:
    """The traits that `prepare` determined, also for a model wrapped in adapters."""
    return getattr(model, _KEPT, Traits())


@torch.no_grad()
def prepare(model: Any) -> None:
    """Determines a model's traits. A model that computes a forest gets this package's attention for its device."""
    windows = _windows(model)
    on_cpu, forest = model.device.type == "cpu", False
    if model.config.get_text_config()._attn_implementation in ("sdpa", attention.NAME, flex.NAME):
        model.set_attn_implementation(attention.NAME)
        # On an accelerator, a forest is a mask shared by all layers.
        forest = (on_cpu or not any(windows)) and _computes_a_forest(model, windows)
        if not (forest and on_cpu):
            model.set_attn_implementation(flex.NAME if forest else "sdpa")
    kept = Traits(
        forest=forest,
        windows=any(windows),
        padded_prompts=None not in windows and (forest or _follows_positions(model)),
    )
    setattr(model, _KEPT, kept)


@torch.no_grad()
def check_decodes(model: Any, name: str) -> None:
    """Checks that a model whose prompts are decoded one by one computes the same token by token as in a single pass.

    Its cache holds more than keys and values, so it depends on code that may be wrong.

    Raises: UsageError when the results differ.
    """
    if traits(model).padded_prompts:
        return
    what = f'"{name}" ({type(model).__name__})'
    remedy = "name another model; docs/families.md says which families work"
    ids = torch.tensor([[1, 2, 3, 4], [2, 4, 1, 3]], device=model.device)
    try:
        expected, output = model(ids).logits[:, -1].float(), None
        for seen, step in ((0, ids[:, :2]), (2, ids[:, 2:3]), (3, ids[:, 3:])):
            output = model(**decoding(model, step, seen, output))
    except Exception as error:  # for any failure, the user learns the reason
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"{what} cannot be sampled: {why}; {remedy}") from error
    stepwise: Tensor = output.logits[:, -1].float()  # pyright: ignore[reportOptionalMemberAccess]
    if not float((stepwise - expected).norm()) < 0.1 * float((expected - expected.mean()).norm()):
        raise UsageError(
            f"{what} cannot be sampled: token by token, its implementation in transformers gives different "
            f"probabilities than for the whole text; {remedy}"
        )


def decoding(model: Any, ids_BT: Tensor, seen: int, before: Any = None) -> dict[str, object]:
    """The arguments of a forward pass over the next T tokens of B rows without padding.

    Args:
        seen: how many tokens came before.
        before: the model's output for those tokens.

    Raises: ValueError if that output has no cache.
    """
    known = next(({name: before[name]} for name in CACHES if before.get(name) is not None), None) if seen else {}
    if known is None:
        raise ValueError("it returns no cache")
    plain: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    if "position_ids" in inspect.signature(plain.forward).parameters:
        known["position_ids"] = torch.arange(seen, seen + ids_BT.shape[1], device=ids_BT.device).expand(ids_BT.shape)
    return {"input_ids": ids_BT, "use_cache": True, **known}


def decoder_of(model: Any) -> Any:
    """The model without its head: it takes tokens and returns the last hidden states."""
    return getattr(model, model.base_model_prefix, None) or model.model


def _windows(model: Any) -> list[int | None]:
    """The window of each layer in tokens, according to its cache: 0 if it has none; None if it caches anything but keys
    and values, or attends to a text chunk by chunk.
    """
    chunks = "chunked_attention" in (getattr(model.config.get_text_config(), "layer_types", None) or ())
    windows: list[int | None] = []
    layers: list[Any] = DynamicCache(config=model.config).layers
    for layer in layers:
        slides = type(layer) is DynamicSlidingWindowLayer and not chunks
        windows.append(0 if type(layer) is DynamicLayer else int(layer.sliding_window) if slides else None)
    return windows


def _computes_a_forest(model: Any, windows: list[int | None]) -> bool:
    """Tries rows of three tokens in which the third must see the first but not the second."""
    trial = attention.Trial()
    lowest = torch.finfo(model.dtype).min
    mask = torch.tensor([[0, lowest, lowest], [0, 0, lowest], [0, lowest, 0]], dtype=model.dtype, device=model.device)
    mask = mask.expand(3, 1, 3, 3)
    ids, positions = [[1, 2, 3], [1, 4, 3], [1, 2, 3]], [[0, 1, 1], [0, 1, 1], [0, 1, 2]]
    try:
        usual, sibling, later = _last(model, ids, positions, attention_mask=mask, forest=trial)
    except Exception:  # a model that cannot compute this gets separate texts
        return False
    asked = {module.layer_idx: (given, other) for module, given, other in trial.asked}
    return (
        len(asked) == len(trial.asked) == len(windows)
        and all(given is not None and torch.equal(given, mask) for given, _ in asked.values())
        and all(_is_plain(asked[layer][1], window) for layer, window in enumerate(windows))
        and float((usual - sibling).norm()) <= 0.05 * float(usual.norm())  # experts may round differently
        and not torch.equal(usual, later)
    )


def _is_plain(asked: dict[str, Any], window: int | None) -> bool:
    """Whether a layer computes only a softmax over the keys that its mask and its window allow."""
    rest = {name for name, value in asked.items() if value is not None and name not in _HARMLESS}
    return window is not None and (asked["sliding_window"] or 0) == window and rest <= {"sliding_window"}


def _follows_positions(model: Any) -> bool:
    """Whether a model uses the given positions, so that texts may be padded on the left."""
    try:
        near, far = _last(model, [[1, 2], [1, 2]], [[0, 1], [0, 2]])
    except Exception:  # it accepts no positions
        return False
    return not torch.equal(near, far)


def _last(model: Any, ids: list[list[int]], positions: list[list[int]], **arguments: Any) -> Tensor:
    """The last hidden state of each row."""
    device = model.device
    output = decoder_of(model)(
        torch.tensor(ids, device=device),
        position_ids=torch.tensor(positions, device=device),
        use_cache=False,
        **arguments,
    )
    return output.last_hidden_state[:, -1]
