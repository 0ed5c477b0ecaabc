"""Which weights of a model are trained, and in which precision."""

from typing import Literal

from pydantic import Field

from preceptor.core.types import Flag, Frozen, Integer, Real


class TuningSettings(Frozen):
    """Low-rank adapters on every linear layer (Hu et al. 2021), or all weights."""

    method: Literal["lora", "full"] = "lora"
    """`lora` trains fp32 adapters over a frozen base; `full` trains fp32 copies of all weights."""
    rank: Integer = Field(default=16, ge=1, le=65_536)
    """Rank of each adapter."""
    alpha: Real = Field(default=32.0, gt=0, le=1e6)
    """Adapter outputs are scaled by alpha / rank."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Computing precision; `auto` is bf16 if the hardware multiplies it natively. Trained weights are fp32."""
    gradient_checkpointing: Flag = False
    """Recompute activations in the backward pass instead of keeping them: slower, but needs less memory."""
