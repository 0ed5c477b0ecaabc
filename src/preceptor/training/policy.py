"""The policy: a language model in training, with the frozen reference from which it started."""

import copy
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import Linear
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.modeling_layers import GradientCheckpointingLayer

from preceptor.backends.transformers.chat import encode_text
from preceptor.backends.transformers.choosing import PrefixCache
from preceptor.backends.transformers.cores import side_by_side, workers
from preceptor.backends.transformers.forest import in_parts
from preceptor.backends.transformers.loading import default_dtype
from preceptor.backends.transformers.model import LocalModel
from preceptor.backends.transformers.sampling import IsLast, SampledResponse, sample_groups
from preceptor.core.types import Prompt, Rollout
from preceptor.environments.outcomes import EpisodeOutcome
from preceptor.training.adapters import adapted, lora_config
from preceptor.training.memory import memory_for
from preceptor.training.packed import TokenGroup, TokensComputed, has_plain_head, packed_forward, tokens_of
from preceptor.training.response_format import ResponseFormat
from preceptor.training.thinking_settings import PolicyThinking
from preceptor.training.tuning import TuningSettings

FOR_LESS_MEMORY = "the batch (raise gradient_accumulation_steps) or the length of responses"
"""What to lower if a forward or backward pass does not fit into memory."""
VALUE_HEAD = "value_head."
"""Prefix of the names of the value head's weights."""


@dataclass(frozen=True)
class ResponseGroup:
    """A prompt with the responses a policy sampled for it, as text and as tokens."""

    prompt: Prompt
    responses: tuple[Rollout, ...]
    tokens: TokenGroup
    episodes: tuple[EpisodeOutcome, ...] = ()
    """What became of each response's episode, where an agent acted in an environment."""


def dtype_of(tuning: TuningSettings) -> torch.dtype:
    """The precision to load a model in."""
    return {"auto": default_dtype(), "bf16": torch.bfloat16, "fp32": torch.float32}[tuning.precision]


class Policy:
    """A language model that learns: fp32 adapters over the base, or an fp32 copy of all its weights.

    The base keeps its own precision and never changes: it is the reference.

    Args:
        base: the model to start from, loaded in the precision to compute in (`dtype_of`).
        values: also learn a value head, a linear map of the last hidden state, initialised to 0.
        sampler_log_probs: keep the log-probabilities with which responses are sampled.
        thinking: whether it thinks before it answers; None to leave that to its chat template, and to take what it
            says for the answer.
    """

    def __init__(
        self,
        base: LocalModel,
        tuning: TuningSettings,
        seed: int,
        *,
        values: bool = False,
        sampler_log_probs: bool = False,
        thinking: PolicyThinking | None = None,
    ) -> None:
        self.base = base
        self.format = ResponseFormat(base.tokenizer, thinking)
        self.step = 0
        self._full = tuning.method == "full"
        self._is_reference = False
        self._sampler_log_probs = sampler_log_probs
        self._plain_head = has_plain_head(base.model)
        self.model: Any = _full(base) if self._full else _adapted(base, tuning, seed)
        self._checkpointed: list[Any] = []
        if tuning.gradient_checkpointing:
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            self._checkpointed = [m for m in self.model.modules() if isinstance(m, GradientCheckpointingLayer)]
        self._value_head: torch.nn.Linear | None = None
        if values:
            size = int(base.model.config.get_text_config().hidden_size)
            self._value_head = torch.nn.Linear(size, 1).to(base.model.device)
            torch.nn.init.zeros_(self._value_head.weight)
            torch.nn.init.zeros_(self._value_head.bias)

    @property
    def identity(self) -> str:
        """Base model and training step; inside `as_reference`, the base model."""
        return self.base.identity if self._is_reference else f"{self.base.identity}+step{self.step}"

    @property
    def trainable(self) -> list[Tensor]:
        """The trainable parameters."""
        head = list(self._value_head.parameters()) if self._value_head is not None else []
        return [p for p in self.model.parameters() if p.requires_grad] + head

    def size(self, group: TokenGroup) -> int:
        """How many tokens are computed for a group."""
        return tokens_of(self.base.model, group)

    @property
    def recomputes(self) -> bool:
        """Whether activations are recomputed in the backward pass, to save memory."""
        return bool(self._checkpointed)

    @contextmanager
    def as_reference(self) -> Generator[None]:
        """Within the context, the model computes and samples as the frozen base."""
        kept, self._is_reference = self.model, True
        try:
            if self._full:
                self.model = self.base.model
            with nullcontext() if self._full else self.model.disable_adapter():
                yield
        finally:
            self.model, self._is_reference = kept, False

    @contextmanager
    def merged(self) -> Generator[None]:
        """Within the context, the adapters are merged into the base, for fast decoding; then the base is restored.

        In bfloat16 the sum is rounded, so log-probabilities for training must not be computed in this context. Inside
        `as_reference` nothing is merged.
        """
        layers: list[Any] = [m for m in self.model.modules() if isinstance(m, Linear) and not self._is_reference]
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
        """Within the context, fp32 weights of a model whose base is in bfloat16 compute in bfloat16 too."""
        if self.base.model.dtype != torch.bfloat16:
            yield
            return
        with torch.autocast(self.base.model.device.type, dtype=torch.bfloat16):
            yield

    @contextmanager
    def _recomputing(self) -> Generator[None]:
        """Within the context, activations are recomputed if the settings say so. Dropout stays off: this sets only the
        layers' own switch, which transformers reads for checkpointing.
        """
        try:
            for layer in self._checkpointed:
                layer.training = True
            yield
        finally:
            for layer in self._checkpointed:
                layer.training = False

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """Token ids of a prompt, up to where the response begins: a thought, if the policy thinks."""
        return self.format.encode(prompt)

    def encode_answer(self, text: str, *, finished: bool = True) -> tuple[int, ...]:
        """Token ids of an answer, with the end-of-sequence token if it is finished."""
        end = (int(self.base.tokenizer.eos_token_id),) if finished else ()
        return (*encode_text(self.base.tokenizer, text), *end)

    def sample(
        self,
        prompts_P: Sequence[Prompt],
        group_size: int,
        max_new_tokens: int,
        temperature: float,
        seeds_P: Sequence[int],
    ) -> list[ResponseGroup]:
        """Samples `group_size` responses for each of P prompts; the same arguments give the same responses, and a
        prompt's responses do not depend on the other prompts, except for rounding.

        Args:
            max_new_tokens: length limit of an answer; thoughts have a limit of their own.
        """
        if not prompts_P:
            return []
        encoded_P = [self.encode(prompt) for prompt in prompts_P]
        budget = self.format.budget(max_new_tokens)
        most, last_of = (max_new_tokens, None) if budget is None else (budget.whole, budget.limits)
        with self.sampling():
            groups_PG = self.continued(encoded_P, group_size, most, temperature, seeds_P, last_of=last_of)
        return [
            self.group(prompt, ids, sampled_G)
            for prompt, ids, sampled_G in zip(prompts_P, encoded_P, groups_PG, strict=True)
        ]

    def group(self, prompt: Prompt, ids: tuple[int, ...], sampled_G: Sequence[SampledResponse]) -> ResponseGroup:
        """The responses that were sampled for a prompt, as text and as tokens.

        Args:
            ids: the prompt's tokens.
        """
        responses = tuple(self.format.rollout(prompt, sampled, self.identity) for sampled in sampled_G)
        said = tuple(sampled.log_probs for sampled in sampled_G) if sampled_G[0].log_probs else None
        tokens = TokenGroup(ids, tuple(sampled.token_ids for sampled in sampled_G), sampler_log_probs=said)
        return ResponseGroup(prompt, responses, tokens)

    @contextmanager
    def sampling(self) -> Generator[None]:
        """Within the context, `continued` samples: adapters are merged (see `merged`)."""
        learns_in_fp32 = self._full and not self._is_reference  # merged adapters already have the base's precision
        precision = self._precision() if learns_in_fp32 else nullcontext()
        with self.merged(), precision, memory_for("sampling", "rl.group_size or rl.max_new_tokens"):
            yield

    def continued(
        self,
        token_ids_P: Sequence[Sequence[int]],
        group_size: int,
        max_new_tokens: int,
        temperature: float,
        seeds_P: Sequence[int],
        limits_P: Sequence[int] | None = None,
        prefix_cache: PrefixCache | None = None,
        last_of: Callable[[], IsLast] | None = None,
    ) -> list[list[SampledResponse]]:
        """Samples `group_size` continuations of each of P texts, as token ids; see `sample_groups`. Call it within
        `sampling`.
        """
        return sample_groups(
            self.model,
            token_ids_P,
            seeds_P=seeds_P,
            group_size=group_size,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            eos_ids=self.base.eos_ids,
            limits_P=limits_P,
            prefix_cache=prefix_cache,
            last_of=last_of,
            log_probs=self._sampler_log_probs and temperature > 0,
        )

    def log_probs(self, groups: Sequence[TokenGroup], temperature: float = 1.0) -> Tensor:
        """Log-probability of every learned token, one after another; see `packed_log_probs`.

        They are computed in parts, because large arrays are slow to allocate on a CPU, and a GPU's memory is limited.
        """
        return self.forward(groups, temperature).log_probs_N

    def values(self, hidden_NH: Tensor) -> Tensor | None:
        """The value head's estimates before N learned tokens, from their hidden states; None without a value head."""
        return None if self._value_head is None else self._value_head(hidden_NH.float()).squeeze(-1)

    def forward(self, groups: Sequence[TokenGroup], temperature: float, *, entropies: bool = False) -> TokensComputed:
        """What `packed_forward` gives, computed in parts as in `log_probs`."""

        def forward(part: range) -> TokensComputed:
            chosen = [groups[i] for i in part]
            return packed_forward(self.model, chosen, temperature, plain_head=self._plain_head, entropies=entropies)

        device = self.base.model.device
        parts = in_parts([self.size(group) for group in groups], self.base.tokens_at_once, workers(device))
        with self._precision(), self._recomputing(), memory_for("a forward pass", FOR_LESS_MEMORY):
            done = list(side_by_side(device, forward, parts))
        return TokensComputed(
            torch.cat([part.log_probs_N for part in done]),
            torch.cat([part.hidden_NH for part in done]),
            torch.cat([part.entropies_N for part in done if part.entropies_N is not None]) if entropies else None,
        )

    def reference_log_probs(self, groups: Sequence[TokenGroup], temperature: float = 1.0) -> Tensor:
        """The log-probabilities under the frozen base; without a gradient."""
        with self.as_reference(), torch.no_grad():
            return self.log_probs(groups, temperature)

    @torch.no_grad()
    def sequence_kl(
        self, groups_P: Sequence[ResponseGroup], temperature: float, base: "Policy | None" = None
    ) -> list[list[float]]:
        """Log π - log π_ref of each response, summed over its learned tokens, in nats: P lists of G numbers.

        Its mean over samples estimates the KL divergence to the reference.

        Args:
            base: the policy whose reference to use, if not this one's.
        """
        tokens_P = [group.tokens for group in groups_P]
        reference_N = (base or self).reference_log_probs(tokens_P, temperature)
        log_ratio_N = self.log_probs(tokens_P, temperature) - reference_N
        ratios = iter(log_ratio_N.split([length for group in tokens_P for length in group.lengths]))
        return [[float(next(ratios).sum()) for _ in group.responses] for group in tokens_P]

    @torch.no_grad()
    def sequence_log_likelihoods(self, groups_P: Sequence[ResponseGroup], temperature: float) -> list[list[float]]:
        """Log π of each response, summed over its learned tokens, in nats: P lists of G numbers."""
        tokens_P = [group.tokens for group in groups_P]
        lengths = [length for group in tokens_P for length in group.lengths]
        summed = iter([float(part.double().sum()) for part in self.log_probs(tokens_P, temperature).split(lengths)])
        return [[next(summed) for _ in group.responses] for group in tokens_P]

    @torch.no_grad()
    def answer_log_likelihoods(self, prompts: Sequence[Prompt]) -> list[tuple[float, int]]:
        """Log-likelihood and number of tokens of each prompt's reference answer, its end-of-sequence token included."""
        groups = [self._answer_group(prompt) for prompt in prompts]
        parts = self.log_probs(groups).split([len(group.responses[0]) for group in groups])
        return [(float(log_probs.sum()), len(log_probs)) for log_probs in parts]

    def weights(self) -> dict[str, Tensor]:
        """The trainable weights by name, detached: the adapters or the whole model, and the value head."""
        weights = self.model.state_dict() if self._full else _adapter_weights(self.model)
        if self._value_head is not None:
            weights |= {VALUE_HEAD + name: tensor for name, tensor in self._value_head.state_dict().items()}
        tied: dict[int, str] = {}  # an array with two names is saved only once
        return {
            name: tensor.detach()
            for name, tensor in weights.items()
            if tied.setdefault(tensor.data_ptr(), name) == name
        }

    def load_weights(self, weights: dict[str, Tensor], step: int) -> None:
        """Loads the weights that `weights` returned at a training step. A value head that they lack is kept."""
        head = {n.removeprefix(VALUE_HEAD): t for n, t in weights.items() if n.startswith(VALUE_HEAD)}
        if self._value_head is not None and head:
            self._value_head.load_state_dict(head)
        rest = {name: tensor for name, tensor in weights.items() if not name.startswith(VALUE_HEAD)}
        if self._full:
            self.model.load_state_dict(rest, strict=False)  # tied weights have only one of their names
        else:
            set_peft_model_state_dict(self.model, rest)
        self.step = step

    def save(self, folder: Path) -> None:
        """Writes a checkpoint with tokenizer and chat template: adapters in peft's format, or the whole model in the
        base's precision.
        """
        if self._full:
            copy.deepcopy(self.model).to(self.base.model.dtype).save_pretrained(folder)
        else:
            self.model.save_pretrained(folder, save_embedding_layers=False)  # they are never trained
        self.base.tokenizer.save_pretrained(folder)

    def load(self, folder: Path, step: int) -> None:
        """Loads the weights of a checkpoint into the policy."""
        if self._full:
            saved: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
            self.load_weights(saved.state_dict(), step)
        else:
            self.load_weights(load_file(folder / "adapter_model.safetensors"), step)

    def save_merged(self, folder: Path) -> None:
        """Writes the whole model, adapters merged into its weights, in the base's precision.

        The policy is unusable for training afterwards: merging rounds the base weights.
        """
        merged = self.model.to(self.base.model.dtype) if self._full else self.model.merge_and_unload()
        merged.save_pretrained(folder)
        self.base.tokenizer.save_pretrained(folder)

    def _answer_group(self, prompt: Prompt) -> TokenGroup:
        if prompt.reference is None:
            raise ValueError(f"prompt {prompt.id} has no reference answer")
        return TokenGroup(self.format.encode_for_answer(prompt), (self.encode_answer(prompt.reference),))


def _adapted(base: LocalModel, tuning: TuningSettings, seed: int) -> Any:
    """The base with adapters, which record its name."""
    model = adapted(base.model, lora_config(tuning, "CAUSAL_LM"), seed)
    model.peft_config["default"].base_model_name_or_path = base.source
    model.peft_config["default"].revision = base.revision
    return model


def _full(base: LocalModel) -> Any:
    """An fp32 copy of the base, all of whose weights are trained; the base is frozen."""
    with memory_for("copying the model", "the size of the model"):
        model = copy.deepcopy(base.model).float().requires_grad_(True)
    base.model.requires_grad_(False)
    return model


def _adapter_weights(model: Any) -> dict[str, Tensor]:
    return dict(get_peft_model_state_dict(model, save_embedding_layers=False))
