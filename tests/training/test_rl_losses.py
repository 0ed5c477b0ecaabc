"""The losses of RL by hand: two responses, the first of two tokens and the second of one."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.batch import Part
from preceptor.training.rl.settings import RLSettings

LN2 = math.log(2.0)


def a_part(sampler: list[float] | None = None) -> Part:
    """The tokens' ratios are 2, 1/2 and 4; the first response has an advantage of 1, the second of -1."""
    log_probs = torch.tensor([LN2, -LN2, 2 * LN2], requires_grad=True)
    return Part(
        log_probs, None, torch.zeros(3), None, torch.zeros(3), torch.tensor([1.0, 1.0, -1.0]), None,
        torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), torch.tensor([2, 1]), mean_length=1.5, kl_in_loss=0.0,
        sampler_log_probs_N=None if sampler is None else torch.tensor(sampler),
    )  # fmt: skip


def computed(part: Part, **settings: Any) -> tuple[list[float], list[float]]:
    """The losses of both responses, and the gradient of their sum for each token."""
    known: dict[str, Any] = {"group_size": 2, "minibatches": 2, "clip_range_high": 0.5}
    losses = make_algorithm(RLSettings(**(known | settings))).losses(part)
    [gradient] = torch.autograd.grad(losses.sum(), part.log_probs_N)
    return losses.tolist(), gradient.tolist()


CASES: dict[str, tuple[dict[str, Any], list[float], list[float]]] = {
    "one ratio for each token": ({"algorithm": "grpo"}, [(-1.5 - 0.5) / 2, 4.0], [0.0, -0.25, 4.0]),
    "one for each response": ({"algorithm": "rloo"}, [-1.0, 4.0], [-1.0, -1.0, 4.0]),
    "dapo": ({"algorithm": "grpo", "loss": "dapo"}, [-2 / 1.5, 4 / 1.5], [0.0, -0.5 / 1.5, 4 / 1.5]),
    "dapo of rloo": ({"algorithm": "rloo", "loss": "dapo"}, [-2 / 1.5, 4 / 1.5], [0.0, -0.5 / 1.5, 4 / 1.5]),
    # weights of 1.5, 0.5 and 1.5, which have no gradient
    "cispo": ({"algorithm": "grpo", "loss": "cispo"}, [-LN2 / 1.5, 3 * LN2 / 1.5], [-1.0, -0.5 / 1.5, 1.0]),
    # the ratios' geometric means are 1 and 4
    "gspo": ({"algorithm": "grpo", "loss": "gspo"}, [-1.0, 4.0], [-0.5, -0.5, 4.0]),
}


@pytest.mark.parametrize("name", CASES)
def test_by_hand(name: str) -> None:
    settings, losses, gradient = CASES[name]
    found, slope = computed(a_part(), **settings)
    assert found == pytest.approx(losses)
    assert slope == pytest.approx(gradient)


@pytest.mark.parametrize("name", CASES)
def test_a_sampler_that_gives_the_learner_s_numbers_changes_nothing(name: str) -> None:
    settings = CASES[name][0]
    plain = computed(a_part(), **settings)
    assert computed(a_part([0.0, 0.0, 0.0]), **settings, truncated_importance=2.0) == plain


@pytest.mark.parametrize(
    ("name", "losses"),
    [
        ("one ratio for each token", [(-3.0 - 0.5) / 2, 2.0]),
        ("one for each response", [-2.0, 2.0]),
        ("dapo", [-3.5 / 1.5, 2.0 / 1.5]),
        ("cispo", [(-3 * LN2 + LN2 / 2) / 1.5, 1.5 * LN2 / 1.5]),
        ("gspo", [-2.0, 2.0]),
    ],
)
def test_what_another_sampled_is_weighted_up_to_a_bound(name: str, losses: list[float]) -> None:
    """π / μ of the tokens is 4, 1 and 1/2, of the responses 4 and 1/2; weights are at most 2."""
    part = a_part([-2 * LN2, 0.0, LN2])
    found, slope = computed(part, **CASES[name][0], truncated_importance=2.0)
    assert found == pytest.approx(losses)
    weights = [2.0, 2.0 if "response" in name or name == "gspo" else 1.0, 0.5]
    assert slope == pytest.approx([w * g for w, g in zip(weights, CASES[name][2], strict=True)])


@pytest.mark.parametrize("loss", ["dapo", "cispo", "gspo"])
def test_the_kl_in_the_loss_has_the_mean_of_the_loss(loss: str) -> None:
    """Both tokens of the first response have d = log π_ref - log π = ln 2, at a ratio of 1: k3 = 1 - ln 2."""
    part = replace(
        a_part(), log_probs_N=torch.zeros(3, requires_grad=True), advantages_N=torch.zeros(3), kl_in_loss=0.5,
        reference_log_probs_N=torch.tensor([LN2, LN2, 0.0]),
    )  # fmt: skip
    found, _ = computed(part, algorithm="grpo", loss=loss, kl_in="loss")
    assert found == pytest.approx([0.5 * 2 * (1 - LN2) / (2 if loss == "gspo" else 1.5), 0.0])


def test_where_turns_are_acts_each_has_a_weight_of_its_own() -> None:
    """Turns of one token each: ratios of 2 and 1/2, weights of 2 (bounded) and 1."""
    part = replace(a_part([-2 * LN2, 0.0, LN2]), turn_lengths_K=torch.tensor([1, 1, 1]))
    found, _ = computed(part, algorithm="rloo", truncated_importance=2.0)
    assert found == pytest.approx([2 * -1.5 - 0.5, 0.5 * 4.0])
