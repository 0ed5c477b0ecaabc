"""Packed log-probabilities and their gradients against one sequence at a time."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from conftest import make_model
from preceptor.backends.transformers.model import LocalModel
from preceptor.training.packed import TokenGroup, packed_forward, packed_log_probs
from tolerance import assert_equal_but_for_rounding

GROUPS = [
    TokenGroup((5, 6, 7, 8, 9), ((10, 11, 12), (13,), (14, 15, 16, 17, 18, 19))),
    TokenGroup((20, 21), ((22, 23), (22, 24, 25))),
]


def plain_log_probs(model: LocalModel, groups: list[TokenGroup], temperature: float) -> Tensor:
    """Slow and plain: each sequence by itself, a full softmax at every place."""
    parts: list[Tensor] = []
    for group in groups:
        for response in group.responses:
            ids = torch.tensor([[*group.prompt, *response]])
            log_probs = torch.log_softmax(model.model(ids).logits[0] / temperature, dim=-1)
            start = len(group.prompt) - 1
            parts += [log_probs[start + i, token][None] for i, token in enumerate(response)]
    return torch.cat(parts)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_equal_separate_sequences(tiny: LocalModel, temperature: float) -> None:
    found, expected = packed_log_probs(tiny.model, GROUPS, temperature), plain_log_probs(tiny, GROUPS, temperature)
    assert_equal_but_for_rounding(found, expected)


def test_gradients_equal_separate_sequences() -> None:
    gradients: list[Tensor] = []
    for compute in (lambda m: packed_log_probs(m.model, GROUPS, 0.9), lambda m: plain_log_probs(m, GROUPS, 0.9)):
        model = make_model()
        log_probs = compute(model)
        (log_probs * torch.linspace(-1, 1, len(log_probs))).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.model.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-4)


def test_order_and_company_change_nothing(tiny: LocalModel) -> None:
    together = packed_log_probs(tiny.model, GROUPS, 1.0)
    alone = torch.cat([packed_log_probs(tiny.model, [group], 1.0) for group in GROUPS])
    assert_equal_but_for_rounding(together, alone)


MASKED = TokenGroup((5, 6, 7), ((10, 11, 12, 13), (10, 11, 14)), ((True, False, False, True), (False, True, False)))


def test_only_learned_tokens_have_log_probabilities(tiny: LocalModel) -> None:
    every = packed_log_probs(tiny.model, [TokenGroup(MASKED.prompt, MASKED.responses), GROUPS[1]], 0.9)
    found = packed_log_probs(tiny.model, [MASKED, GROUPS[1]], 0.9)
    assert_equal_but_for_rounding(found, every[[0, 3, 5, 7, 8, 9, 10, 11]])  # the others are 1, 2, 4 and 6


def test_the_hidden_state_before_each_learned_token_is_read(tiny: LocalModel) -> None:
    every = packed_forward(tiny.model, [TokenGroup(MASKED.prompt, MASKED.responses)], 1.0).hidden_NH
    found = packed_forward(tiny.model, [MASKED], 1.0).hidden_NH
    assert_equal_but_for_rounding(found, every[[0, 3, 5]])


def test_gradients_of_learned_tokens_equal_separate_sequences() -> None:
    gradients: list[Tensor] = []
    everything = [TokenGroup(MASKED.prompt, MASKED.responses)]
    for compute in (
        lambda m: packed_log_probs(m.model, [MASKED], 0.9),
        lambda m: plain_log_probs(m, everything, 0.9)[[0, 3, 5]],
    ):
        model = make_model()
        (compute(model) * torch.tensor([1.0, -2.0, 0.5])).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.model.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-4)


def test_a_group_counts_its_learned_tokens() -> None:
    assert (MASKED.lengths, MASKED.size) == ([2, 1], 10)
    assert (MASKED.turn_lengths, GROUPS[1].turn_lengths) == ([[1, 1], [1]], [[2], [3]])
    assert MASKED.only([False, True]) == TokenGroup((5, 6, 7), ((10, 11, 14),), ((False, True, False),))
    assert (GROUPS[1].lengths, GROUPS[1].only([1, 0]).responses) == ([2, 3], ((22, 23),))


def test_a_response_without_a_learned_token_is_refused(tiny: LocalModel) -> None:
    with pytest.raises(ValueError, match="learned"):
        packed_log_probs(tiny.model, [TokenGroup((1, 2), ((3, 4),), ((False, False),))], 1.0)


def test_a_mask_has_the_shape_of_its_responses() -> None:
    with pytest.raises(ValueError, match="masks"):
        TokenGroup((1, 2), ((3, 4),), ((True,),))


def test_sampled_log_probabilities_are_of_the_learned_tokens_and_go_with_their_response() -> None:
    group = replace(MASKED, sampler_log_probs=((-1.0, -2.0), (-3.0,)))
    assert group.only([False, True]).sampler_log_probs == ((-3.0,),)
    with pytest.raises(ValueError, match="sampled tokens"):
        replace(MASKED, sampler_log_probs=((-1.0,), (-3.0,)))


@pytest.mark.parametrize("learns", [False, True])
def test_entropies_come_with_the_log_probabilities(learns: bool) -> None:
    """Whether the output embeddings are trained or not, they are those of the plain softmax."""
    model = make_model().model
    model.get_output_embeddings().weight.requires_grad_(learns)
    found = packed_forward(model, [MASKED, GROUPS[1]], 0.9, entropies=True)
    assert found.entropies_N is not None
    logits = torch.log_softmax(model.get_output_embeddings()(found.hidden_NH) / 0.9, dim=-1)
    assert_equal_but_for_rounding(found.entropies_N, -(logits.exp() * logits).sum(dim=-1))
    assert_equal_but_for_rounding(found.log_probs_N, packed_log_probs(model, [MASKED, GROUPS[1]], 0.9))
    assert packed_forward(model, [MASKED], 0.9).entropies_N is None


def test_an_empty_response_is_refused(tiny: LocalModel) -> None:
    with pytest.raises(ValueError, match="empty"):
        packed_log_probs(tiny.model, [TokenGroup((1, 2), ((),))], 1.0)
