"""Settings of the engine that trains. Needs no torch, so that recipes are checked before torch is loaded."""

from typing import Literal

from pydantic import Field

from preceptor.core.types import Frozen, JsonObject, NonEmpty

EngineName = Literal["native", "trl"]


class EngineSettings(Frozen):
    """Which training loop takes the steps: preceptor's own, or TRL's trainers."""

    name: EngineName = "native"
    """`native` is preceptor's own loop, for a laptop or one GPU; `trl` is TRL's trainers under accelerate."""
    loss_type: NonEmpty | None = None
    """A loss of TRL's trainer, such as "dapo" for GRPO, "ipo" or "kto" for DPO; when absent, the one that computes what
    the native engine does."""
    importance_sampling: Literal["token", "sequence"] = "token"
    """For GRPO: a probability ratio for each token, or one for the whole response (Zheng et al. 2025, "GSPO", arXiv
    2507.18071)."""
    vllm: Literal["off", "colocate", "server"] = "off"
    """Whether vLLM samples the responses of training: in the training processes, or in a server of its own."""
    vllm_server: NonEmpty | None = None
    """For `vllm = "server"`: its address, such as http://localhost:8000."""
    quantisation: Literal["none", "4bit"] = "none"
    """`4bit` keeps the frozen base under LoRA adapters in 4 bits (Dettmers et al. 2023, "QLoRA", arXiv 2305.14314); it
    needs CUDA and bitsandbytes."""
    trl: JsonObject = Field(default={})
    """Further settings of TRL's trainer, by the names of its configuration class, such as `top_p` for GRPO."""

    @property
    def is_trl(self) -> bool:
        """Whether TRL's trainers take the steps."""
        return self.name == "trl"
