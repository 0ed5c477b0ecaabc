"""Which precision a model is loaded in where nobody names one."""

import pytest
import torch

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
