"""Which precision a model is loaded in where nobody names one, and what its identity is made of."""

import hashlib
from io import BufferedReader
from pathlib import Path

import pytest
import torch

from preceptor.backends.transformers import loading
from preceptor.backends.transformers.loading import default_dtype


@pytest.mark.parametrize(
    ("used", "has", "expected"),
    [
        ("AVX512", {"avx512_bf16": True}, torch.bfloat16),
        ("AVX512", {"amx_bf16": True}, torch.bfloat16),
        ("AVX512", {"avx512_bf16": False}, torch.float32),
        ("AVX2", {"avx2": True}, torch.float32),
        # ATEN_CPU_CAPABILITY=avx2: the processor could, PyTorch may not.
        ("AVX2", {"avx512_bf16": True, "amx_bf16": True}, torch.float32),
        ("DEFAULT", {"avx512_bf16": True}, torch.float32),
    ],
)
def test_bfloat16_only_where_pytorch_multiplies_it_natively(
    monkeypatch: pytest.MonkeyPatch, used: str, has: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: used)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert default_dtype() == expected


def test_unchanged_files_are_hashed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hashed: list[str] = []
    digest = hashlib.file_digest

    def counted(stream: BufferedReader, name: str) -> object:
        hashed.append(stream.name)
        return digest(stream, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    first = loading.files_hash([file])
    assert loading.files_hash([file]) == first
    assert len(hashed) == 1
    file.write_bytes(b"other weights")
    assert loading.files_hash([file]) != first
