"""Settings of low-rank adapters."""

from pydantic import Field

from preceptor.core.types import Frozen


class LoraSettings(Frozen):
    """Low-rank adapters on every linear layer (Hu et al. 2021)."""

    rank: int = Field(default=16, ge=1)
    """Rank of each adapter."""
    alpha: float = Field(default=32.0, gt=0)
    """Adapter outputs are scaled by alpha / rank."""
