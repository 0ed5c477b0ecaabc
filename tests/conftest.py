"""A tiny random model with the embedded model's architecture, and other things that tests share."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from preceptor.backends.transformers.loading import LoadedModel
from preceptor.backends.transformers.model import LocalModel
from preceptor.backends.transformers.traits import prepare
from preceptor.core.types import Message, Prompt

pytest_plugins = ["browser_fixtures", "hub_fixtures"]
torch.set_num_threads(1)  # the tiny model is too small to divide, and threads that wait cost more than they give

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, and the two control tokens of ChatML; padding is the end token, as in the embedded model."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    fast.chat_template = TEMPLATE
    return fast


def make_model(seed: int = 0, dtype: torch.dtype = torch.float32, window: int = 512) -> LocalModel:
    """A random two-layer Llama over bytes."""
    tokenizer: Any = make_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=window,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.5,
        tie_word_embeddings=True,
    )
    model: Any = LlamaForCausalLM(config)
    prepare(model)
    return LocalModel(LoadedModel(model.to(dtype).eval(), tokenizer, f"tiny-{seed}", "tiny"))


@pytest.fixture
def tiny() -> LocalModel:
    return make_model()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a folder in Hugging Face format."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model = make_model()
    model.model.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def prompt(text: str, cohort: str = "all") -> Prompt:
    return Prompt(id=f"id-{text}", conversation=(Message(role="user", content=text),), cohort=cohort)
