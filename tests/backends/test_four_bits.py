"""Weights in 4 bits: what a machine that cannot do that is told. No machine here has CUDA, so none is loaded."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from preceptor.backends.transformers.loading import load
from preceptor.core.errors import UsageError


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_without_bitsandbytes_it_says_what_to_install(tiny_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"4 bits.*pip install bitsandbytes"):
        load(str(tiny_folder), four_bits=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_cuda_it_says_what_to_leave_out(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bitsandbytes.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=r"CUDA.*leave out engine\.quantisation"):
        load(str(tiny_folder), four_bits=True)
