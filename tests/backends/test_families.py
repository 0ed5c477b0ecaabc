"""Every family against plain transformers, text by text: choices, log-probabilities, gradients, samples, rewards."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from torch import Tensor
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging

from conftest import make_tokenizer, prompt
from families import FOREST, REFUSED, WAYS, build, config_of, enlarged
from preceptor.backends.transformers import flex
from preceptor.backends.transformers.choosing import EncodedChoice, PrefixCache, choice_log_probs
from preceptor.backends.transformers.loading import load
from preceptor.backends.transformers.model import LocalModel
from preceptor.backends.transformers.sampling import sample_each, sample_groups
from preceptor.backends.transformers.traits import check_decodes, prepare, traits
from preceptor.core.errors import UsageError
from preceptor.training.adapters import adapted, lora_config, suited
from preceptor.training.packed import TokenGroup, packed_forward, packed_log_probs
from preceptor.training.policy import Policy
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.tuning import TuningSettings
from tolerance import assert_equal_but_for_rounding

logging.set_verbosity_error()
_random = torch.Generator().manual_seed(0)


def tokens(count: int) -> tuple[int, ...]:
    return tuple(torch.randint(3, 250, (count,), generator=_random).tolist())


LONG = tokens(90)  # beyond every window, and beyond the block that a kept prefix is computed in
BEGUN = tokens(3)
GROUPS = [
    TokenGroup(LONG[:40], (BEGUN + tokens(4), BEGUN + tokens(9), tokens(1))),
    TokenGroup(LONG[:25] + tokens(5), (tokens(3), tokens(2))),
]
REQUESTS = [EncodedChoice(LONG + rest, ((5,), (6, 7), (6, 8))) for rest in (tokens(4), tokens(2), (), BEGUN)]
LORA = lora_config(TuningSettings(rank=4), "CAUSAL_LM")
WORKING = [family for family in WAYS if family not in REFUSED]


def plain_log_probs(model: Any, groups: list[TokenGroup]) -> Tensor:
    """Each text by itself, a full softmax at every place."""
    parts: list[Tensor] = []
    for group in groups:
        for response in group.responses:
            log_probs = torch.log_softmax(model(torch.tensor([[*group.prompt, *response]])).logits[0], dim=-1)
            start = len(group.prompt) - 1
            parts += [log_probs[start + i, token][None] for i, token in enumerate(response)]
    return torch.cat(parts)


def gradient(log_probs: Tensor, model: Any) -> Tensor:
    """Of a weighted sum, with respect to all that learns."""
    (log_probs * torch.linspace(-1, 1, len(log_probs))).sum().backward()
    learning = [p for p in model.parameters() if p.requires_grad]
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in learning])


def with_adapters(model: Any) -> Any:
    """The adapters, whoever computes them, after they have left zero."""
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model


@pytest.mark.parametrize("family", WORKING)
def test_a_family_is_computed_as_plain_transformers_does(family: str) -> None:
    plain, model = build(family), build(family)
    prepare(model)
    check_decodes(model, family)
    found = traits(model)
    assert (found.forest, found.padded_prompts) == {
        "forest": (True, True),
        "padded batches": (False, True),
        "padded batches, prompts one by one": (False, False),
    }[WAYS[family]]

    with torch.no_grad():
        assert_equal_but_for_rounding(packed_log_probs(model, GROUPS, 1.0), plain_log_probs(plain, GROUPS))
        chosen = choice_log_probs(model, REQUESTS, PrefixCache())
        asked = [TokenGroup(request.context, request.choices) for request in REQUESTS]
        answers = plain_log_probs(plain, asked).split([len(c) for request in REQUESTS for c in request.choices])
        expected = torch.stack([answer.sum() for answer in answers])
        assert_equal_but_for_rounding(torch.tensor(chosen).flatten(), expected)

    theirs = with_adapters(get_peft_model(plain, suited(LORA, plain)))
    ours = with_adapters(adapted(model, LORA, 0))
    expected = gradient(plain_log_probs(theirs, GROUPS), theirs)
    found = gradient(packed_log_probs(ours, GROUPS, 1.0), ours)
    assert float((found - expected).norm() / expected.norm()) < 3e-5


@pytest.mark.parametrize("family", WORKING)
def test_a_family_is_sampled_as_it_says_next_tokens_are_probable(family: str) -> None:
    plain, model = build(family), build(family)
    prepare(model)
    prompts = [LONG[:40], LONG[:5], LONG[3:17]]
    groups = sample_groups(
        model, prompts, seeds_P=[0, 1, 2], group_size=2, max_new_tokens=10, temperature=1e-4, eos_ids=[2]
    )
    prefix, behind = LONG[:64] if traits(model).kept_prefixes else (), [LONG + BEGUN, LONG]
    each = sample_each(
        model, behind, seeds_B=[3, 4], max_new_tokens=4, temperature=0.0, top_k=None, eos_ids=[2], prefix=prefix,
        prefix_cache=PrefixCache(),
    )  # fmt: skip
    told = [(asked, response) for asked, group in zip(prompts, groups, strict=True) for response in group]
    for asked, response in [*told, *zip(behind, each, strict=True)]:
        with torch.no_grad():
            logits = plain(torch.tensor([[*asked, *response.token_ids]])).logits[0, len(asked) - 1 : -1]
        likeliest = logits.max(dim=-1).values
        taken = logits.gather(1, torch.tensor(response.token_ids)[:, None]).squeeze(1)
        assert_equal_but_for_rounding(taken, likeliest, roundings=1e4)  # of two that are as good either may be taken
        assert response.finished == (response.token_ids[-1] == 2)
        assert len(response.token_ids) in (10, 4) or response.finished


@pytest.mark.parametrize(
    "family", ["Llama", "Gemma 3", "Cohere 2", "Gemma 2", "Mamba 2", "Qwen3-Next", "BLOOM", "GPT-2"]
)
def test_all_weights_learn_as_in_plain_transformers(family: str) -> None:
    plain, model = build(family), build(family)
    prepare(model)
    found = gradient(packed_log_probs(model, GROUPS, 1.0), model)
    expected = gradient(plain_log_probs(plain, GROUPS), plain)
    assert float((found - expected).norm() / expected.norm()) < 3e-5


@pytest.mark.parametrize("family", ["Llama", "Gemma 3", "Gemma 3n", "Gemma 2", "Mamba", "Llama 4", "OPT"])
def test_values_are_read_from_what_the_head_is_given(family: str) -> None:
    plain, model = build(family), build(family)
    prepare(model)
    given: list[Tensor] = []
    plain.get_output_embeddings().register_forward_pre_hook(lambda _, arguments: given.append(arguments[0]))
    with torch.no_grad():
        hidden_NH = packed_forward(model, GROUPS, 1.0).hidden_NH
        plain_log_probs(plain, GROUPS)
    texts = [(group.prompt, response) for group in GROUPS for response in group.responses]
    expected = [hidden[0, len(asked) - 1 : -1] for hidden, (asked, _) in zip(given, texts, strict=True)]
    assert_equal_but_for_rounding(hidden_NH, torch.cat(expected))


@pytest.mark.parametrize("family", [family for family in FOREST if "sliding_window" not in repr(FOREST[family])])
def test_on_an_accelerator_a_forest_is_a_mask(family: str) -> None:
    plain, model = build(family), build(family)
    prepare(model)
    model.set_attn_implementation(flex.NAME)  # as `prepare` leaves it there; on a CPU it is not compiled
    with torch.no_grad():
        assert_equal_but_for_rounding(packed_log_probs(model, GROUPS, 1.0), plain_log_probs(plain, GROUPS))


_CLASSIFIERS: Any = AutoModelForSequenceClassification._model_mapping  # pyright: ignore[reportPrivateUsage]
REWARDING = [family for family in WAYS if type(config_of(family)) in _CLASSIFIERS]


@pytest.mark.parametrize("family", REWARDING)
def test_rewards_are_those_of_plain_transformers(family: str) -> None:
    config: Any = config_of(family)
    config.num_labels, config.pad_token_id = 1, 257
    plain = enlarged(AutoModelForSequenceClassification.from_config(config, dtype=torch.float32))
    made = copy.deepcopy(plain)
    prepare(made)
    model = RewardModel(made, make_tokenizer(), family, max_length=256)
    texts = [LONG[:40] + BEGUN + tokens(2), LONG[:40] + BEGUN + tokens(7), LONG[:40], LONG[:12]]
    with torch.no_grad():
        expected = torch.cat([plain(torch.tensor([text])).logits.flatten() for text in texts])
        assert_equal_but_for_rounding(model.rewards(texts), expected)


@pytest.mark.parametrize("family", REFUSED)
def test_what_cannot_be_sampled_is_refused_when_it_is_loaded(family: str, tmp_path: Path) -> None:
    build(family).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match=r"cannot be sampled: .*docs/families\.md"):
        load(str(tmp_path), torch.float32)


def test_the_documented_families_are_those_tested_here() -> None:
    page = (Path(__file__).parents[2] / "docs/families.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    documented = {family: way for way, families in rows[1:] for family in families.split(", ")}
    assert documented == WAYS


@pytest.mark.parametrize("family", ["Gemma 3", "Gemma 2", "BLOOM", "GPT-2"])
def test_a_language_model_becomes_a_reward_model_that_plain_transformers_reads(family: str, tmp_path: Path) -> None:
    build(family).save_pretrained(tmp_path / "base")
    make_tokenizer().save_pretrained(tmp_path / "base")
    tuning = TuningSettings(rank=4, precision="fp32")
    model = RewardModel.from_language_model(str(tmp_path / "base"), tuning, 0, max_length=128)
    with_adapters(model.model)
    model.save(tmp_path / "made")
    plain: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path / "made", dtype=torch.float32).eval()
    texts = [LONG[:40] + BEGUN, LONG[:40] + tokens(5)]
    with torch.no_grad():
        expected = torch.cat([plain(torch.tensor([text])).logits.flatten() for text in texts])
        assert_equal_but_for_rounding(model.rewards(texts), expected, roundings=1e3)  # adapters merged


@pytest.mark.parametrize("family", ["Mamba 2", "Qwen3-Next", "Gemma 3", "Llama 4", "GPT-2"])
def test_a_policy_samples_what_it_says_is_probable(family: str, tmp_path: Path) -> None:
    build(family).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    tuning = TuningSettings(rank=4, precision="fp32")
    policy = Policy(LocalModel(load(str(tmp_path), torch.float32)), tuning, 0, values=True)
    with_adapters(policy.model)
    groups = [group.tokens for group in policy.sample([prompt("Why is the sky blue?")], 2, 8, 0.01, [0])]
    log_probs, hidden, entropies = policy.forward(groups, 0.01, entropies=True)
    values = policy.values(hidden)
    assert values is not None and entropies is not None
    assert len(entropies) == len(log_probs) and float(entropies.detach().min()) >= 0.0
    assert float(log_probs.exp().min()) > 0.01  # what was sampled so coldly is what is likely
    assert len(values) == len(log_probs)
    assert float((policy.log_probs(groups) - policy.reference_log_probs(groups)).abs().max()) > 0.01
