"""Which prompts a judge was taught on, as a file in its model's folder: on these, it cannot be measured."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from preceptor.backends.names import ADAPTERS, base_of
from preceptor.core.errors import PreceptorError
from preceptor.core.hashing import text_hash
from preceptor.core.types import Prompt
from preceptor.store.files import read_json, write_json

LEARNT = "learnt_prompts.json"
"""In the folder of a model that `train judge` made."""


def write_learnt(folder: Path, prompts: Iterable[Prompt], base: str) -> None:
    """Records what a judge was taught on, together with what its base model was taught on.

    Args:
        folder: of the trained model.
        base: model string of the model that training began with.
    """
    learnt = {_key(prompt) for prompt in prompts} | learnt_by(base)
    write_json(folder / LEARNT, {"prompts": sorted(learnt)})


def learnt_by(model: str) -> frozenset[str]:
    """Keys of the prompts that a model was taught to judge, for `was_learnt`; empty if it has no record of any.
    Adapters know what the model that they were trained on was taught, as long as its folder is where it was.

    Raises: PreceptorError when the record cannot be read.
    """
    folder = Path(model)
    base = base_of(folder) if (folder / ADAPTERS).is_file() else model
    below = frozenset[str]() if base == model else learnt_by(base)
    return below | _recorded(folder / LEARNT)


def _recorded(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    keys: Any = read_json(path).get("prompts")
    if not isinstance(keys, list):
        raise PreceptorError(
            f'{path}: is damaged: expected "prompts" with a list of hashes, as `train judge` writes it'
        )
    return frozenset(map(str, keys))


def was_learnt(prompt: Prompt, learnt: frozenset[str]) -> bool:
    """Whether a judge was taught on a prompt."""
    return _key(prompt) in learnt


def _key(prompt: Prompt) -> str:
    return text_hash(prompt.text)[:16]
