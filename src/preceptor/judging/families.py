"""The family of a model, by its name and its files: which models probably learned from the same data.

The table is small and errs towards not knowing. An architecture alone says little where many families share it, as
they do Llama's.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from preceptor.backends.names import without_server
from preceptor.store.reading import parse_json

_NAMES = {
    "Claude": r"claude",
    "DeepSeek": r"deepseek",
    "Gemini": r"gemini",
    "Gemma": r"(?<![a-z])(code|pali|shield)?gemma",
    "GPT": r"(?<![a-z])(chatgpt|gpt-?[345]|gpt-?oss)|(^|/)o[134](-|$)",
    "Llama": r"(?<![a-z])(code|meta-?)?llama",
    "Mistral": r"(?<![a-z])(mis|mix|minis|magis|codes|devs)tral",
    "OLMo": r"(?<![a-z])olmo",
    "Phi": r"(?<![a-z])phi-?\d",
    "Qwen": r"(?<![a-z])(code)?q(wen|wq)",
    "SmolLM": r"smollm",
}
"""A pattern for the last part of a model's name, in small letters. A distilled model may be of two families."""
_ARCHITECTURES = {
    "deepseek": "DeepSeek",
    "gemma": "Gemma",
    "gpt_oss": "GPT",
    "gpt-oss": "GPT",
    "mistral": "Mistral",
    "mixtral": "Mistral",
    "olmo": "OLMo",
    "phi": "Phi",
    "qwen": "Qwen",
    "smollm": "SmolLM",
}
"""How the names of architectures begin that only one family has."""
_MOST_BYTES = 1 << 20
_MOST_CHARACTERS = 4096
_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value in the header of a GGUF file, by its type."""
_TEXT = 8


def families_of(model: str) -> frozenset[str]:
    """The families of a model; empty if none is known.

    Examples:
        >>> sorted(families_of("hf:deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"))
        ['DeepSeek', 'Qwen']
        >>> families_of("litellm:anthropic/claude-sonnet-4")
        frozenset({'Claude'})
        >>> families_of("scripted:random")
        frozenset()

    Args:
        model: a model string, or the identity of a model.
    """
    if model == "embedded" or model.startswith("embedded#"):
        return frozenset({"SmolLM"})
    path = Path(model)
    said = list(_said_by_files(path))
    name = without_server(model.partition("#")[0]).removeprefix("hf:").partition("@")[0]
    architectures = [a for what, a in said if what == "architecture"]
    names = [Path(name).name, *(n for what, n in said if what == "name")]
    by_name = {family for family, pattern in _NAMES.items() for each in names if re.search(pattern, each.lower())}
    by_architecture = {f for begin, f in _ARCHITECTURES.items() for a in architectures if a.lower().startswith(begin)}
    return frozenset(by_name | by_architecture)


def _said_by_files(path: Path) -> Iterator[tuple[str, str]]:
    """What a local model's files say of its architecture and name; nothing where they cannot be read."""
    try:
        if path.is_dir():
            yield from _said_by_folder(path)
        elif path.suffix == ".gguf" and path.is_file():
            with path.open("rb") as file:
                yield from _said_by_gguf(file)
    except (OSError, ValueError, struct.error):
        return


def _said_by_folder(folder: Path) -> Iterator[tuple[str, str]]:
    for file, key, what in (
        ("config.json", "model_type", "architecture"),
        ("config.json", "_name_or_path", "name"),
        ("adapter_config.json", "base_model_name_or_path", "name"),
    ):
        config = folder / file
        if config.is_file() and config.stat().st_size <= _MOST_BYTES:
            read: Any = parse_json(config.read_text(encoding="utf-8"))
            value = cast("dict[str, Any]", read).get(key) if isinstance(read, dict) else None
            if isinstance(value, str):
                yield what, Path(value).name if what == "name" else value


def _said_by_gguf(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """The texts at the beginning of a GGUF file, up to its first list: architecture and name come first."""
    magic, _, _, count = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF":
        return
    for _ in range(min(count, 64)):
        key = _text(file)
        [kind] = struct.unpack("<I", file.read(4))
        if kind in _SCALARS:
            file.read(_SCALARS[kind])
        elif kind == _TEXT:
            value = _text(file)
            if key in ("general.architecture", "general.name", "general.basename"):
                yield "architecture" if key.endswith("architecture") else "name", value
        else:
            return


def _text(file: BinaryIO) -> str:
    [length] = struct.unpack("<Q", file.read(8))
    if length > _MOST_CHARACTERS:
        raise ValueError("longer than any name")
    return file.read(length).decode("utf-8")
