"""The policy: LoRA adapters over a frozen base. The reference is the same model with the adapters off."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.helpers import disable_input_dtype_casting
from peft.tuners.lora import Linear
from torch import Tensor

from preceptor.backends.transformers.chat import encode_conversation, encode_text
from preceptor.backends.transformers.model import LocalModel
from preceptor.backends.transformers.sampling import sample_groups
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Prompt, Rollout
from preceptor.training.lora import LoraSettings
from preceptor.training.packed import TokenGroup, packed_log_probs

CPU_TOKENS, CUDA_TOKENS = 1024, 16384
"""Tokens of one forward pass."""


@dataclass(frozen=True)
class ResponseGroup:
    """A prompt with the responses a policy sampled for it, as text and as tokens."""

    prompt: Prompt
    responses: tuple[Rollout, ...]
    tokens: TokenGroup


class Policy:
    """A language model that learns. Trainable weights are fp32; the base keeps its own precision and never changes."""

    def __init__(self, base: LocalModel, lora: LoraSettings, seed: int) -> None:
        torch.manual_seed(derive_seed(seed, "lora"))  # the adapters' first weights
        self.base = base
        self.model: Any = get_peft_model(
            base.model,
            LoraConfig(
                r=lora.rank,
                lora_alpha=lora.alpha,  # pyright: ignore[reportArgumentType]  peft says int, takes any number
                target_modules="all-linear",
                lora_dropout=0.0,
                task_type="CAUSAL_LM",
            ),
        )
        self.model.peft_config["default"].base_model_name_or_path = base.source
        self.model.peft_config["default"].revision = base.revision
        self.step = 0

    @property
    def identity(self) -> str:
        """Base model and training step."""
        return f"{self.base.identity}+step{self.step}"

    @property
    def trainable(self) -> list[Tensor]:
        """The parameters that learn."""
        return [p for p in self.model.parameters() if p.requires_grad]

    @contextmanager
    def as_reference(self) -> Generator[None]:
        """Inside, the model computes as the frozen base."""
        with self.model.disable_adapter():
            yield

    @contextmanager
    def merged(self) -> Generator[None]:
        """Inside, the adapters stand in the base's weights, which makes decoding fast; after it the base is as before.

        In bfloat16 the sum is rounded, so log-probabilities for training are not computed in here.
        """
        layers: list[Any] = [m for m in self.model.modules() if isinstance(m, Linear)]
        kept = [layer.get_base_layer().weight.data.clone() for layer in layers]
        try:
            for layer in layers:
                layer.merge()
            yield
        finally:
            for layer, weight in zip(layers, kept, strict=True):
                layer.get_base_layer().weight.data = weight
                layer.merged_adapters.clear()

    @contextmanager
    def _precision(self) -> Generator[None]:
        """Inside, adapters over a bfloat16 base compute in bfloat16 too, from their fp32 weights."""
        if self.base.model.dtype != torch.bfloat16:
            yield
            return
        with (
            disable_input_dtype_casting(self.model),
            torch.autocast(self.base.model.device.type, dtype=torch.bfloat16),
        ):
            yield

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """Token ids of a prompt, ready for the answer."""
        return tuple(encode_conversation(self.base.tokenizer, prompt.conversation))

    def sample(
        self, prompts_P: Sequence[Prompt], group_size: int, max_new_tokens: int, temperature: float, seed: int
    ) -> list[ResponseGroup]:
        """Samples `group_size` responses for each of P prompts; the same arguments give the same responses."""
        encoded_P = [self.encode(prompt) for prompt in prompts_P]
        with self.merged():
            groups_PG = sample_groups(
                self.model,
                encoded_P,
                group_size=group_size,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                eos_ids=self.base.eos_ids,
                seed=seed,
            )
        return [
            ResponseGroup(
                prompt,
                tuple(
                    Rollout(
                        prompt_id=prompt.id,
                        text=self.base.decode(sampled),
                        policy=self.identity,
                        tokens=len(sampled.token_ids),
                        finished=sampled.finished,
                    )
                    for sampled in group
                ),
                TokenGroup(ids, tuple(sampled.token_ids for sampled in group)),
            )
            for prompt, ids, group in zip(prompts_P, encoded_P, groups_PG, strict=True)
        ]

    def log_probs(self, groups: Sequence[TokenGroup], temperature: float = 1.0) -> Tensor:
        """Log-probability of every response token, one after another; see `packed_log_probs`.

        Computed in parts: large arrays are slow to come by on a CPU, and a GPU's memory has an end.
        """
        with self._precision():
            parts = _parts(groups, CUDA_TOKENS if self.base.model.device.type == "cuda" else CPU_TOKENS)
            return torch.cat([packed_log_probs(self.model, part, temperature) for part in parts])

    def reference_log_probs(self, groups: Sequence[TokenGroup], temperature: float = 1.0) -> Tensor:
        """The same under the frozen base; without a gradient."""
        with self.as_reference(), torch.no_grad():
            return self.log_probs(groups, temperature)

    @torch.no_grad()
    def sequence_kl(self, groups_P: Sequence[ResponseGroup], temperature: float) -> list[list[float]]:
        """Log π - log π_ref of each response, summed over its tokens, in nats: P lists of G numbers.

        Its mean over samples estimates the KL divergence to the reference.
        """
        tokens_P = [group.tokens for group in groups_P]
        log_ratio_N = self.log_probs(tokens_P, temperature) - self.reference_log_probs(tokens_P, temperature)
        ratios = iter(log_ratio_N.split([len(ids) for group in tokens_P for ids in group.responses]))
        return [[float(next(ratios).sum()) for _ in group.responses] for group in tokens_P]

    @torch.no_grad()
    def answer_log_likelihoods(self, prompts: Sequence[Prompt]) -> list[tuple[float, int]]:
        """Log-likelihood and number of tokens of each prompt's reference answer, its end-of-sequence token included."""
        groups = [self._answer_group(prompt) for prompt in prompts]
        parts = self.log_probs(groups).split([len(group.responses[0]) for group in groups])
        return [(float(log_probs.sum()), len(log_probs)) for log_probs in parts]

    def _answer_group(self, prompt: Prompt) -> TokenGroup:
        if prompt.reference is None:
            raise ValueError(f"prompt {prompt.id} has no reference answer")
        answer = (*encode_text(self.base.tokenizer, prompt.reference), int(self.base.tokenizer.eos_token_id))
        return TokenGroup(self.encode(prompt), (answer,))

    def adapter_weights(self) -> dict[str, Tensor]:
        """The adapters' weights by name, detached."""
        return {
            name: tensor.detach()
            for name, tensor in get_peft_model_state_dict(self.model, save_embedding_layers=False).items()
        }

    def load_adapter_weights(self, weights: dict[str, Tensor], step: int) -> None:
        """Puts back what `adapter_weights` gave at training step `step`."""
        set_peft_model_state_dict(self.model, weights)
        self.step = step

    def save_adapter(self, folder: Path) -> None:
        """Writes the adapters in peft's format, with tokenizer and chat template."""
        self.model.save_pretrained(folder, save_embedding_layers=False)  # they are never trained
        self.base.tokenizer.save_pretrained(folder)

    def save_merged(self, folder: Path) -> None:
        """Writes the whole model with the adapters merged into its weights, in the base's precision.

        The policy is unusable for training afterwards: merging rounds the base weights.
        """
        self.model.merge_and_unload().save_pretrained(folder)
        self.base.tokenizer.save_pretrained(folder)


def _parts(groups: Sequence[TokenGroup], tokens_at_once: int) -> list[Sequence[TokenGroup]]:
    """Divides groups, in order, into parts of about `tokens_at_once` tokens, padding included; never an empty part."""
    parts: list[Sequence[TokenGroup]] = []
    start = widest = 0
    for index, group in enumerate(groups):
        width = len(group.prompt) + sum(map(len, group.responses))
        if index > start and (index + 1 - start) * max(widest, width) > tokens_at_once:
            parts.append(groups[start:index])
            start, widest = index, 0
        widest = max(widest, width)
    return [*parts, groups[start:]]
