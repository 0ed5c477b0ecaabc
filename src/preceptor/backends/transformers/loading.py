"""Loads models: finds the weights, chooses precision and device, and determines the exact identity."""

import hashlib
import struct
import threading
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import torch
from safetensors import SafetensorError

from preceptor.backends.names import ADAPTERS, base_of, check_name, is_served
from preceptor.backends.transformers.embedded import ensure_embedded
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.extras import require


@dataclass(frozen=True)
class LoadedModel:
    """A language model with its tokenizer."""

    model: Any
    tokenizer: Any
    identity: str
    """Name, weights hash or revision, and precision: equal identities give equal results on one machine."""
    source: str
    """The argument of `from_pretrained`: a folder, or a name on the hub."""
    revision: str | None = None
    """The revision of a model on the hub, if one was named."""


FOUR_BITS = ":nf4"
"""What the identity of a model in 4 bits ends in."""
_SHARED: WeakValueDictionary[tuple[str, ...], LoadedModel] = WeakValueDictionary()
"""The models in use that `load_shared` loaded, by their name, files and precision."""
_SHARING = threading.Lock()


def default_dtype() -> torch.dtype:
    """bfloat16 if the hardware multiplies it natively, else float32.

    A CPU multiplies it natively if it has the instructions and PyTorch may use them. ATEN_CPU_CAPABILITY=avx2 in the
    environment keeps PyTorch from using them.
    """
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
        return torch.float32
    capabilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else torch.float32


def load(name: str, dtype: torch.dtype | None = None, *, four_bits: bool = False) -> LoadedModel:
    """Loads the model behind a model string.

    Args:
        name: `embedded`, `hf:ORG/NAME[@REVISION]`, or the path of a local folder in Hugging Face format or of a
            `.gguf` file.
        dtype: precision of the weights; `default_dtype()` when None.
        four_bits: keep the weights of linear layers in 4 bits (NF4; Dettmers et al. 2023, arXiv 2305.14314), for
            training adapters; `dtype` is then the precision to compute in.

    Raises: UsageError when there is no such model or it cannot be decoded, or it is to be in 4 bits and this machine
        cannot do that; PreceptorError when it cannot be fetched or read.
    """
    if four_bits:
        _check_four_bits(name)
    return _load_language_model(name, _locate(name), dtype, four_bits)


def _check_four_bits(name: str) -> None:
    what = f'"{name}" in 4 bits (engine.quantisation)'
    if find_spec("bitsandbytes") is None:
        raise UsageError(f"{what} needs the package bitsandbytes, which is not installed: pip install bitsandbytes")
    if not torch.cuda.is_available():
        raise UsageError(f"{what} needs a GPU with CUDA, and torch sees none here; leave out engine.quantisation")
    if name.endswith(".gguf") or (Path(name) / ADAPTERS).is_file():
        raise UsageError(f"{what}: name a model with whole weights in Hugging Face format")


def load_shared(name: str) -> LoadedModel:
    """Loads a model that nothing will change, as `load` does. While one with the same files is in use, that one is
    returned, so that a judge and the tasks that it is given to hold its weights in memory once.

    Raises: as `load`.
    """
    located = _locate(name)
    key = (name, located.source, located.version, str(default_dtype()))
    with _SHARING:
        loaded = _SHARED.get(key)
        if loaded is None:
            loaded = _SHARED[key] = _load_language_model(name, located, None)
    return loaded


def _load_language_model(
    name: str, located: "_Located", dtype: torch.dtype | None, four_bits: bool = False
) -> LoadedModel:
    from transformers import AutoModelForCausalLM

    from preceptor.backends.transformers.traits import check_decodes

    loaded = _load(name, located, dtype, AutoModelForCausalLM, four_bits)[0]
    check_decodes(loaded.model, name)
    return loaded


def context_window(model: Any) -> int:
    """The model's context window in tokens; 2^20 if its configuration does not say."""
    config = model.config.get_text_config()
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    return next((int(size) for name in names if (size := getattr(config, name, None))), 1 << 20)


def load_reward_model(name: str, dtype: torch.dtype | None = None) -> LoadedModel:
    """Loads a sequence classifier with one output, as `load` loads a causal language model.

    Raises: UsageError when there is no such model, or it is not a reward model (transformers would give a language
        model a random head, and say so only in its log); PreceptorError as in `load`.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    remedy = "name a folder that `RewardModel.save` wrote, or a sequence classifier with one output"
    if name == "embedded" or name.startswith("scripted:") or is_served(name) or name.endswith(".gguf"):
        raise UsageError(f'"{name}" is not a reward model; {remedy}')
    located = _locate(name)
    try:
        config: Any = AutoConfig.from_pretrained(located.source, **located.arguments)
    except (OSError, ValueError, KeyError) as error:
        raise PreceptorError(f'the model "{name}" could not be loaded: {_first_line(error)}') from error
    kinds = [str(kind) for kind in config.architectures or ["an unnamed architecture"]]
    if not all(kind.endswith("ForSequenceClassification") for kind in kinds):
        raise UsageError(f'"{name}" is not a reward model but {kinds[0]}, which has no score head; {remedy}')
    if config.num_labels != 1:
        raise UsageError(f'"{name}" has {config.num_labels} outputs, a reward model has one; {remedy}')
    loaded, missing = _load(name, located, dtype, AutoModelForSequenceClassification)
    if missing:
        raise UsageError(f'"{name}" lacks the weights {", ".join(sorted(missing))}, which would be random; {remedy}')
    return loaded


class _Located(NamedTuple):
    """Where a model is."""

    source: str
    """The argument of `from_pretrained`."""
    arguments: dict[str, str]
    """Its keywords."""
    version: str
    """The hash of its files; empty if the version is not known before loading."""


def _load(
    name: str, located: _Located, dtype: torch.dtype | None, kind: Any, four_bits: bool = False
) -> tuple[LoadedModel, set[str]]:
    """Loads a model with a class of transformers. Also returns the names of weights that its files lack."""
    from transformers import AutoTokenizer, GgufConfig
    from transformers.utils import logging

    from preceptor.backends.transformers.traits import prepare

    logging.disable_progress_bar()
    dtype = dtype or default_dtype()
    source, arguments, version = located
    quantization: dict[str, Any] = {}
    if "gguf_file" in arguments:
        quantization = {"quantization_config": GgufConfig(dequantize=True)}
    elif four_bits:
        quantization = _in_four_bits(dtype)
    try:
        model, loading_info = kind.from_pretrained(
            source, dtype=dtype, output_loading_info=True, **arguments, **quantization
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(source, **arguments)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError, struct.error) as error:
        raise PreceptorError(f'the model "{name}" could not be loaded: {_first_line(error)}') from error
    if (Path(source) / ADAPTERS).is_file():
        _merge_adapters(model)
    if not four_bits:  # those weights are on the GPU already
        model.to("cuda" if torch.cuda.is_available() else "cpu")
    model.eval()
    prepare(model)
    version = version or str(getattr(model.config, "_commit_hash", None) or "unknown")
    precision = str(dtype).removeprefix("torch.") + (FOUR_BITS if four_bits else "")
    shown = name if name.startswith("hf:") else Path(name).name
    loaded = LoadedModel(model, tokenizer, f"{shown}#{version}:{precision}", source, arguments.get("revision"))
    return loaded, set(loading_info["missing_keys"])


def _in_four_bits(dtype: torch.dtype) -> dict[str, Any]:
    """Further arguments of `from_pretrained`: weights in 4 bits on this process's GPU, stored so that FSDP can divide
    them.
    """
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage=dtype,
    )
    return {"quantization_config": config, "device_map": {"": torch.cuda.current_device()}}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _locate(name: str) -> _Located:
    """Where the model behind a model string is.

    Raises: as `load`.
    """
    check_name(name)
    if name == "embedded":
        folder = ensure_embedded()
        return _Located(str(folder), {}, files_hash(_model_files(folder)))
    if name.startswith("hf:"):
        repository, _, revision = name.removeprefix("hf:").partition("@")
        return _Located(repository, {"revision": revision} if revision else {}, "")
    path = Path(name)
    if path.is_file() and path.suffix == ".gguf":
        return _Located(str(path.parent), {"gguf_file": path.name}, files_hash([path]))
    if (path / "config.json").is_file():
        return _Located(str(path.absolute()), {}, files_hash(_model_files(path)))
    if (path / ADAPTERS).is_file():
        require(f"{name} holds LoRA adapters, and loading them needs", "peft")
        return _Located(str(path.absolute()), {}, files_hash([*_model_files(path), *_model_files(Path(base_of(path)))]))
    raise AssertionError(f"check_name let {name} through")


def _merge_adapters(model: Any) -> None:
    """Merges LoRA adapters into the weights, in their precision, as in training. This makes sampling twice as fast."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for layer in model.modules():
        if isinstance(layer, BaseTunerLayer):
            layer.merge()


def _model_files(folder: Path) -> list[Path]:
    """The files that define a model: weights, configuration, tokenizer and chat template."""
    endings = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.model")
    files = (file for ending in endings for file in folder.glob(ending))
    return sorted(file for file in files if file.name != "manifest.json")  # repeats the contents of the others


def files_hash(files: list[Path]) -> str:
    """A hash of the contents of files, in their order."""
    digest = hashlib.sha256()
    for file in files:
        known = file.stat()
        digest.update(_file_hash(file, known.st_size, known.st_mtime_ns))
    return digest.hexdigest()[:16]


@lru_cache
def _file_hash(file: Path, size: int, modified: int) -> bytes:
    """The hash of a file, computed once while it is unchanged: policy, reference and judge often share weights."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
