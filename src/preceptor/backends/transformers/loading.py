"""Loading weights: where they come from, in which precision, on which device, and what names them exactly."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from preceptor.backends.names import check_name
from preceptor.backends.transformers.embedded import ensure_embedded
from preceptor.core.errors import PreceptorError


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model with its tokenizer."""

    model: Any
    tokenizer: Any
    identity: str
    """Name, weights hash or revision, and precision: equal identities give equal results on one machine."""
    source: str
    """What `from_pretrained` was given: a folder, or a name on the hub."""
    revision: str | None = None
    """The revision of a model on the hub, where one was named."""


def default_dtype() -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float32."""
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    capabilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else torch.float32


def load(name: str, dtype: torch.dtype | None = None) -> LoadedModel:
    """Loads the model behind a model string.

    Args:
        name: `embedded`, `hf:ORG/NAME[@REVISION]`, or the path of a local folder in Hugging Face format or of a
            `.gguf` file.
        dtype: precision of the weights; `default_dtype()` when None.

    Raises: UsageError when there is no such model, PreceptorError when it cannot be fetched or read.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    check_name(name)
    dtype = dtype or default_dtype()
    source, arguments, version = _locate(name)
    quantization = {"quantization_config": GgufConfig(dequantize=True)} if "gguf_file" in arguments else {}
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, **arguments, **quantization)
        tokenizer: Any = AutoTokenizer.from_pretrained(source, **arguments)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise PreceptorError(f'the model "{name}" could not be loaded: {reason}') from error
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    version = version or str(getattr(model.config, "_commit_hash", None) or "unknown")
    precision = str(dtype).removeprefix("torch.")
    shown = name if name.startswith("hf:") else Path(name).name
    return LoadedModel(model, tokenizer, f"{shown}#{version}:{precision}", source, arguments.get("revision"))


def _locate(name: str) -> tuple[str, dict[str, str], str]:
    """What to give `from_pretrained`: source, keyword arguments, and the version where it is known beforehand."""
    if name == "embedded":
        folder = ensure_embedded()
        return str(folder), {}, _files_hash(_model_files(folder))
    if name.startswith("hf:"):
        repository, _, revision = name.removeprefix("hf:").partition("@")
        return repository, {"revision": revision} if revision else {}, ""
    path = Path(name)
    if path.is_file() and path.suffix == ".gguf":
        return str(path.parent), {"gguf_file": path.name}, _files_hash([path])
    if (path / "config.json").is_file():
        return str(path.absolute()), {}, _files_hash(_model_files(path))
    raise AssertionError(f"check_name let {name} through")


def _model_files(folder: Path) -> list[Path]:
    """The files that make a model what it is: weights, configuration, tokenizer, chat template."""
    endings = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.model")
    return sorted(file for ending in endings for file in folder.glob(ending))


def _files_hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
