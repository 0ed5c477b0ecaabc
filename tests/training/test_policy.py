"""The policy: adapters that learn over a base that never changes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import make_model, prompt
from preceptor.backends.transformers.sampling import sample_groups
from preceptor.core.types import Prompt
from preceptor.training.packed import TokenGroup, packed_log_probs
from preceptor.training.policy import Policy
from preceptor.training.tuning import TuningSettings
from tolerance import assert_equal_but_for_rounding

GROUPS = [TokenGroup((5, 6, 7), ((10, 11, 12), (13,))), TokenGroup((20, 21), ((22, 23), (22, 24, 25)))]


def trained(dtype: torch.dtype = torch.float32) -> Policy:
    """A policy whose adapters do something."""
    policy = Policy(make_model(dtype=dtype), TuningSettings(rank=4, alpha=8), seed=0)
    torch.manual_seed(1)
    for parameter in policy.trainable:
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return policy


def test_a_new_policy_is_its_reference() -> None:
    policy = Policy(make_model(dtype=torch.bfloat16), TuningSettings(), seed=0)
    assert torch.equal(policy.log_probs(GROUPS).detach(), policy.reference_log_probs(GROUPS))
    assert {p.dtype for p in policy.trainable} == {torch.float32}


def test_the_reference_is_the_base_whatever_the_adapters_do() -> None:
    policy = trained()
    reference = policy.reference_log_probs(GROUPS)
    torch.testing.assert_close(reference, packed_log_probs(make_model().model, GROUPS, 1.0).detach())
    assert float((policy.log_probs(GROUPS).detach() - reference).abs().max()) > 0.01


def test_kl_is_the_sum_of_log_ratios() -> None:
    policy = trained()
    groups = policy.sample([prompt("a"), prompt("b c")], 3, 6, 1.0, [4, 5])
    for group, row in zip(groups, policy.sequence_kl(groups, 0.8), strict=True):
        for response, kl in zip(group.tokens.responses, row, strict=True):
            alone = [TokenGroup(group.tokens.prompt, (response,))]
            expected = (policy.log_probs(alone, 0.8) - policy.reference_log_probs(alone, 0.8)).sum()
            assert kl == pytest.approx(float(expected.detach()), abs=1e-4)


def test_kl_and_likelihood_run_over_learned_tokens() -> None:
    policy = trained()
    (group,) = policy.sample([prompt("a")], 2, 6, 1.0, [4])
    learned = tuple(tuple(i % 2 == 0 for i in range(len(ids))) for ids in group.tokens.responses)
    masked = replace(group, tokens=replace(group.tokens, learned=learned))
    chosen = torch.tensor([each for row in learned for each in row])
    log_probs = policy.log_probs([group.tokens]).detach()
    ratios = log_probs - policy.reference_log_probs([group.tokens])
    lengths = list(map(sum, learned))
    for found, tokens in (
        (policy.sequence_kl([masked], 1.0), ratios),
        (policy.sequence_log_likelihoods([masked], 1.0), log_probs),
    ):
        assert found[0] == pytest.approx([float(part.sum()) for part in tokens[chosen].split(lengths)], abs=1e-4)


def test_division_into_parts_changes_nothing() -> None:
    policy = trained()
    whole = policy.log_probs(GROUPS * 3).detach()
    for tokens in (1, 15, 30):
        policy.base.tokens_at_once = tokens
        assert_equal_but_for_rounding(policy.log_probs(GROUPS * 3), whole)


def test_merged_weights_give_the_same_log_probs_and_leave_the_base_bit_for_bit() -> None:
    policy = trained()
    before = policy.log_probs(GROUPS).detach()
    weights = [p.clone() for p in policy.base.model.parameters()]
    with policy.merged():
        torch.testing.assert_close(policy.log_probs(GROUPS).detach(), before, atol=1e-4, rtol=0)
    assert all(torch.equal(a, b) for a, b in zip(weights, policy.base.model.parameters(), strict=True))
    assert torch.equal(policy.log_probs(GROUPS).detach(), before)


def test_merging_is_undone_after_an_error() -> None:
    policy = trained(torch.bfloat16)
    before = policy.log_probs(GROUPS).detach()
    with pytest.raises(KeyboardInterrupt), policy.merged():
        raise KeyboardInterrupt
    assert torch.equal(policy.log_probs(GROUPS).detach(), before)


def test_sampled_text_and_tokens_belong_together() -> None:
    policy = trained()
    [group] = policy.sample([prompt("hello")], 4, 8, 1.0, [1])
    for response, ids in zip(group.responses, group.tokens.responses, strict=True):
        assert response.tokens == len(ids) <= 8
        content = ids[:-1] if response.finished else ids
        assert response.text == policy.base.tokenizer.decode(list(content), skip_special_tokens=True)


def test_likelihood_of_an_answer_by_hand() -> None:
    policy = trained()
    asked = Prompt(id="r", conversation=prompt("why").conversation, reference="so")
    [(log_likelihood, tokens)] = policy.answer_log_likelihoods([asked])
    ids = torch.tensor([[*policy.encode(asked), *policy.base.tokenizer("so")["input_ids"], policy.base.eos_ids[0]]])
    log_probs = torch.log_softmax(policy.model(ids).logits[0], dim=-1).detach()
    start = len(policy.encode(asked))
    expected = sum(float(log_probs[place - 1, ids[0, place]]) for place in range(start, ids.shape[1]))
    assert tokens == 3
    assert log_likelihood == pytest.approx(expected, abs=1e-4)


def test_a_saved_checkpoint_loads_with_plain_transformers_and_peft(tiny_folder: Path, tmp_path: Path) -> None:
    policy = trained()
    policy.model.peft_config["default"].base_model_name_or_path = str(tiny_folder)
    policy.save(tmp_path / "best")
    expected = policy.log_probs(GROUPS).detach()
    base: Any = AutoModelForCausalLM.from_pretrained(tiny_folder)
    for loaded in (
        PeftModel.from_pretrained(base, str(tmp_path / "best")),
        AutoModelForCausalLM.from_pretrained(tmp_path / "best"),
    ):
        torch.testing.assert_close(packed_log_probs(loaded.eval(), GROUPS, 1.0).detach(), expected, atol=1e-4, rtol=0)
    assert AutoTokenizer.from_pretrained(tmp_path / "best").chat_template == policy.base.tokenizer.chat_template


def test_a_merged_model_needs_no_peft(tmp_path: Path) -> None:
    policy = trained()
    expected = policy.log_probs(GROUPS).detach()
    policy.save_merged(tmp_path / "merged")
    loaded: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    torch.testing.assert_close(packed_log_probs(loaded.eval(), GROUPS, 1.0).detach(), expected, atol=1e-4, rtol=0)
    assert (tmp_path / "merged" / "model.safetensors").exists()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_reference_samples_as_the_base_and_says_so(method: str) -> None:
    tuning = TuningSettings.model_validate({"rank": 4, "method": method})
    policy = Policy(make_model(dtype=torch.bfloat16), tuning, seed=0)
    torch.manual_seed(1)
    for parameter in policy.trainable:
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    policy.step = 7
    weights = [p.clone() for p in policy.base.model.parameters()]
    with policy.as_reference():
        [group] = policy.sample([prompt("hello")], 4, 8, 1.0, [1])
    base = make_model(dtype=torch.bfloat16)
    [expected] = sample_groups(
        base.model, [group.tokens.prompt], seeds_P=[1], group_size=4, max_new_tokens=8, temperature=1.0,
        eos_ids=base.eos_ids,
    )  # fmt: skip
    assert group.tokens.responses == tuple(sampled.token_ids for sampled in expected)
    assert {response.policy for response in group.responses} == {policy.base.identity}
    assert policy.identity.endswith("+step7")
    assert all(torch.equal(a, b) for a, b in zip(weights, policy.base.model.parameters(), strict=True))
