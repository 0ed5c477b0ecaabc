"""A reward model: a language model whose head outputs one number for a prompt and a response."""

import copy
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor
from transformers import AutoModelForSequenceClassification
from transformers.modeling_layers import GradientCheckpointingLayer

from preceptor.backends.names import is_served
from preceptor.backends.transformers.attention import tokens_at_once
from preceptor.backends.transformers.cores import side_by_side, workers
from preceptor.backends.transformers.forest import in_parts
from preceptor.backends.transformers.layout import lay_out
from preceptor.backends.transformers.loading import LoadedModel, context_window, load, load_reward_model
from preceptor.backends.transformers.traits import decoder_of, prepare
from preceptor.core.errors import UsageError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Prompt, Response
from preceptor.store.files import MANIFEST, check_folder, read_json, write_json, write_text
from preceptor.training.adapters import adapted, lora_config
from preceptor.training.memory import memory_for
from preceptor.training.policy import dtype_of
from preceptor.training.reward_model.card import model_card
from preceptor.training.reward_model.encoding import NoReward, check_template, encode_exchange
from preceptor.training.tuning import TuningSettings

_ABOUT = "reward_model.json"


class RewardHead(torch.nn.Linear):
    """A linear map to one number, computed in fp32 also where the layers below compute in bfloat16."""

    def forward(self, input: Tensor) -> Tensor:
        """Rewards of hidden states, in fp32."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


class RewardModel:
    """Scores responses. Its head computes in fp32 whatever the precision of the rest, so that close rewards differ.

    Args:
        model: a sequence classifier of transformers with one output, or one under adapters.
        max_length: most tokens of prompt and response together; a longer text has no reward.
        precision: precision of everything but the head.
    """

    def __init__(
        self, model: Any, tokenizer: Any, identity: str, *, max_length: int, precision: torch.dtype = torch.float32
    ) -> None:
        check_template(tokenizer)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right"
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.step = 0
        self._identity = identity
        self.made_of: dict[str, Any] = {"identity": identity}
        """A description of the initial weights, and of what is trained."""
        self._precision = precision
        self._plain: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        self._plain.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        self.max_length = min(max_length, context_window(self._plain))
        self._plain.score.float()
        self._checkpointed: list[Any] = []

    @classmethod
    def from_language_model(cls, name: str, tuning: TuningSettings, seed: int, *, max_length: int) -> "RewardModel":
        """A reward model to train, made from the language model of a model string, with a new head.

        Raises: UsageError when the model has no chat template or its architecture allows no reward model; as `load`.
        """
        if name.startswith("scripted:") or is_served(name):
            raise UsageError(f'"{name}" cannot be trained; a reward model is made of a local model')
        precision = dtype_of(tuning)
        base = load(name, torch.float32 if tuning.method == "full" else precision)
        model = _classifier(base, seed)
        if tuning.method == "lora":
            model = adapted(model, lora_config(tuning, "SEQ_CLS", trained="score"), seed)
        identity = f"{base.identity}+reward-{tuning.method}-seed{seed}"
        made = cls(model, base.tokenizer, identity, max_length=max_length, precision=precision)
        made.made_of |= {"tuning": tuning.model_dump(mode="json")}
        if tuning.gradient_checkpointing:
            made._plain.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            made._checkpointed = [m for m in made.model.modules() if isinstance(m, GradientCheckpointingLayer)]
        return made

    @classmethod
    def load(cls, name: str | Path, dtype: torch.dtype | None = None, max_length: int | None = None) -> "RewardModel":
        """A reward model to score with: a folder that `save` wrote, or any sequence classifier with one output.

        Args:
            max_length: when None, the value in the folder, else the model's window.

        Raises: UsageError when it is not a reward model, CheckpointError when its files were altered; as
            `load_reward_model`.
        """
        if (Path(name) / MANIFEST).is_file():
            check_folder(Path(name))
        loaded = load_reward_model(str(name), dtype)
        about = Path(loaded.source) / _ABOUT
        if max_length is None:
            kept: dict[str, Any] = read_json(about) if about.is_file() else {}
            max_length = int(kept["max_length"]) if kept else context_window(loaded.model)
        loaded.model.requires_grad_(False)
        precision = loaded.model.dtype
        return cls(loaded.model, loaded.tokenizer, loaded.identity, max_length=max_length, precision=precision)

    @property
    def identity(self) -> str:
        """Identifies the rewards: by the folder and its content's hash, or by base model, seed and training step."""
        return f"{self._identity}-step{self.step}" if self.step else self._identity

    @property
    def trainable(self) -> list[Tensor]:
        """The trainable parameters, all fp32."""
        return [p for p in self.model.parameters() if p.requires_grad]

    @property
    def device(self) -> torch.device:
        """The device on which it computes."""
        return self._plain.device

    @property
    def recomputes(self) -> bool:
        """Whether activations are recomputed in the backward pass, to save memory."""
        return bool(self._checkpointed)

    @property
    def tokens_at_once(self) -> int:
        """A good number of tokens for one call of `rewards`."""
        return tokens_at_once(self._plain)

    def encode(self, prompt: Prompt, response: Response) -> tuple[int, ...] | NoReward:
        """Token ids of a prompt and a response in the model's chat template, or the reason for no reward."""
        ids = encode_exchange(self.tokenizer, prompt, response)
        if isinstance(ids, tuple) and len(ids) > self.max_length:
            return NoReward(f"more than {self.max_length} tokens", str(len(ids)))
        return ids

    def rewards(self, texts_N: Sequence[Sequence[int]]) -> Tensor:
        """Rewards of N encoded texts, computed together, fp32, differentiable. If the model computes a forest, tokens
        that a text shares with the previous one are computed once.

        The reward is read at the last token that is not the padding token, as in transformers: if padding and
        end-of-sequence token are the same, that may be the token before the end.
        """
        return self._plain.score(self._hidden(texts_N).float()).squeeze(-1)

    @torch.no_grad()
    def features(self, texts_N: Sequence[Sequence[int]]) -> Tensor:
        """What the head reads of each of N encoded texts, N × H in fp32, in parts that fit the memory."""
        parts = in_parts([len(ids) for ids in texts_N], self.tokens_at_once, workers(self.device))
        with memory_for("scoring", "the reward model's max_length"):
            by_part = side_by_side(self.device, lambda part: self._hidden([texts_N[i] for i in part]).float(), parts)
        return torch.cat(list(by_part))

    @property
    def head(self) -> "RewardHead | torch.nn.Linear":
        """The layer that gives the reward, which is trained beside adapters too."""
        score = self._plain.score
        copies = getattr(score, "modules_to_save", None)
        return score if copies is None else copies["default"]

    def _hidden(self, texts_N: Sequence[Sequence[int]]) -> Tensor:
        """The last layer's hidden state at the token where the reward is read, N × H."""
        pad, device = int(self.tokenizer.pad_token_id), self._plain.device
        layout = lay_out(self._plain, texts_N)
        last_N = [places[_last(ids, pad)] for ids, places in zip(texts_N, layout.places, strict=True)]
        with self._computing():
            hidden_BTH = decoder_of(self._plain)(**layout.arguments).last_hidden_state
            return hidden_BTH.flatten(0, 1)[torch.tensor(last_N, device=device)]

    @torch.no_grad()
    def score(self, items: Sequence[tuple[Prompt, Response]]) -> list[float | NoReward]:
        """The reward of each response, or why it has none. Only rewards for the same prompt can be compared."""
        results: list[float | NoReward] = [NoReward("not scored")] * len(items)
        fits: dict[int, tuple[int, ...]] = {}
        for i, (prompt, response) in enumerate(items):
            encoded = self.encode(prompt, response)
            if isinstance(encoded, NoReward):
                results[i] = encoded
            else:
                fits[i] = encoded
        order = sorted(fits, key=lambda i: fits[i])  # texts with the same prompt become adjacent
        parts = in_parts([len(fits[i]) for i in order], self.tokens_at_once, workers(self.device))
        with memory_for("scoring", "the reward model's max_length"):
            by_part = side_by_side(self.device, lambda part: self.rewards([fits[order[i]] for i in part]), parts)
            rewards = [float(reward) for part in by_part for reward in part]
        for i, reward in zip(order, rewards, strict=True):
            results[i] = reward if math.isfinite(reward) else NoReward(f"the reward is {reward}")
        return results

    def weights(self) -> dict[str, Tensor]:
        """The trainable weights by name, detached: the head and the adapters, or the whole model."""
        peft = isinstance(self.model, PeftModel)
        weights = (
            get_peft_model_state_dict(self.model, save_embedding_layers=False) if peft else self.model.state_dict()
        )
        return {name: tensor.detach() for name, tensor in weights.items()}

    def load_weights(self, weights: dict[str, Tensor], step: int) -> None:
        """Loads the weights that `weights` returned at training step `step`."""
        if isinstance(self.model, PeftModel):
            set_peft_model_state_dict(self.model, weights)
        else:
            self.model.load_state_dict(weights)
        self.step = step

    def save(self, folder: Path, facts: Mapping[str, object] | None = None) -> None:
        """Writes a folder for transformers, TRL's `reward_funcs` and RewardBench: the whole model in fp32 with merged
        adapters, tokenizer, chat template and model card. The model in memory stays unchanged.

        Args:
            facts: facts for the model card, for instance the accuracy.
        """
        folder.mkdir(parents=True, exist_ok=True)
        copied: Any = copy.deepcopy(self.model).to("cpu").float()
        plain = copied.merge_and_unload() if isinstance(copied, PeftModel) else copied
        plain.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        write_json(folder / _ABOUT, {"identity": self.identity, "max_length": self.max_length})
        write_text(folder / "README.md", model_card(self.identity, self.max_length, facts or {}))

    @contextmanager
    def _computing(self) -> Generator[None]:
        """Within the context, fp32 weights compute in bfloat16 and activations are recomputed, if configured."""
        for layer in self._checkpointed:  # the layers' own switch, which transformers reads; dropout stays off
            layer.training = True
        try:
            with torch.autocast(
                self._plain.device.type, dtype=torch.bfloat16, enabled=self._precision == torch.bfloat16
            ):
                yield
        finally:
            for layer in self._checkpointed:
                layer.training = False


def _last(ids: Sequence[int], pad: int) -> int:
    """The index of the last token that is not the padding token."""
    return max((i for i, token in enumerate(ids) if token != pad), default=0)


def _classifier(base: LoadedModel, seed: int) -> Any:
    """A sequence classifier over the base's own weights. Its head is initialised as in Stiennon et al. 2020, with
    N(0, 1/(H + 1)) for H hidden units, so the first rewards are of the order of 1.
    """
    config = copy.deepcopy(base.model.config)
    config.num_labels = 1
    try:
        with torch.device("meta"):  # only its structure is needed
            model: Any = AutoModelForSequenceClassification.from_config(config)
        decoder = decoder_of(base.model)
        head = RewardHead(model.score.in_features, 1, bias=False)
    except (ValueError, AttributeError) as error:
        raise UsageError(f"no reward model can be made of {type(base.model).__name__}; name another model") from error
    setattr(model, model.base_model_prefix, decoder)
    generator = torch.Generator().manual_seed(derive_seed(seed, "reward head"))
    torch.nn.init.normal_(head.weight, std=(head.in_features + 1) ** -0.5, generator=generator)
    model.score = head.to(base.model.device)
    prepare(model)
    return model.requires_grad_(True)
