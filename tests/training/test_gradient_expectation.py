"""The expectation of a policy-gradient estimate over every batch there can be is the exact gradient.

The policy is a table: of four answers of one token or of two, or of a single choice of one token. All sums are in
double precision.
"""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from preceptor.training.rl.algorithm import Algorithm, make_algorithm
from preceptor.training.rl.batch import Batch, Part
from preceptor.training.rl.settings import RLSettings

ANSWERS = [(0,), (1, 0), (1, 1), (1, 2)]
"""Token 0 ends an answer at once; after token 1 there are three ways to end it."""
SINGLE = [(0,), (1,), (2,)]
REWARD = {0: 1.0, 1: -0.5, 2: 2.0}
"""Of an answer, by its last token."""
TABLE = torch.tensor([0.3, -0.2, 0.5, -1.0, 0.1], dtype=torch.float64, requires_grad=True)
REFERENCE = torch.tensor([-0.4, 0.6, 0.0, 0.2, 0.7], dtype=torch.float64)
VALUES: dict[tuple[int, ...], float] = {(): 0.9, (1,): -0.3}
"""Any baseline that depends on what stands before the token only."""


def log_probs_of(table: Tensor, answer: tuple[int, ...], answers: list[tuple[int, ...]]) -> Tensor:
    """Log-probability of each token of an answer."""
    if answers is SINGLE:
        return torch.log_softmax(table[:3], dim=0)[list(answer)]
    first, second = torch.log_softmax(table[:2], dim=0), torch.log_softmax(table[2:], dim=0)
    return torch.stack([first[answer[0]], *(second[token] for token in answer[1:])])


def objective(answers: list[tuple[int, ...]], beta: float) -> Tensor:
    """E[r - β log π/π_ref], exactly."""
    total = torch.zeros((), dtype=torch.float64)
    for answer in answers:
        log_prob, reference = (log_probs_of(table, answer, answers).sum() for table in (TABLE, REFERENCE))
        total = total + log_prob.exp() * (REWARD[answer[-1]] - beta * (log_prob - reference))
    return total


def loss_of(
    algorithm: Algorithm,
    settings: RLSettings,
    answers: list[tuple[int, ...]],
    taken: tuple[int, ...],
    missing: int,
    sampler: Tensor | None = None,
) -> Tensor:
    """The loss of one batch of a single group; the first `missing` responses have no reward. The sampler's table may be
    another.
    """
    sampled = [answers[index] for index in taken]
    log_probs_N = torch.cat([log_probs_of(TABLE, answer, answers) for answer in sampled])
    old_N = log_probs_N.detach()
    reference_N = torch.cat([log_probs_of(REFERENCE, answer, answers) for answer in sampled])
    rewards_PG = torch.tensor([[REWARD[answer[-1]] for answer in sampled]], dtype=torch.float64)
    rewards_PG[:, :missing] = torch.nan
    lengths_B = torch.tensor([len(answer) for answer in sampled])
    values_N = torch.tensor(
        [VALUES[answer[:place]] for answer in sampled for place in range(len(answer))], dtype=torch.float64
    )
    in_loss = settings.kl_in == "loss"
    beta = settings.kl_coefficient
    valid_PG = ~rewards_PG.isnan()
    batch = Batch(rewards_PG, valid_PG, lengths_B, old_N, reference_N, values_N, 0.0 if in_loss else beta)
    targets = algorithm.targets(batch)
    part = Part(
        log_probs_N, values_N, old_N, values_N, reference_N, targets.advantages_N, targets.returns_N, rewards_PG,
        valid_PG, lengths_B, mean_length=float(lengths_B.float().mean()), kl_in_loss=beta if in_loss else 0.0,
        sampler_log_probs_N=(
            None if sampler is None else torch.cat([log_probs_of(sampler, answer, answers) for answer in sampled])
        ),
    )  # fmt: skip
    return algorithm.losses(part).mean()


def expected_gradient(
    settings: RLSettings,
    answers: list[tuple[int, ...]],
    *,
    missing: int = 0,
    begin: Callable[[Algorithm], None] = lambda algorithm: None,
    sampler: Tensor | None = None,
) -> Tensor:
    """Of the objective: minus the loss's, over all batches, each weighted with its probability."""
    table = TABLE if sampler is None else sampler
    probabilities = [float(log_probs_of(table, answer, answers).sum().exp().detach()) for answer in answers]
    total = torch.zeros_like(TABLE)
    for taken in product(range(len(answers)), repeat=settings.group_size):
        algorithm = make_algorithm(settings)
        begin(algorithm)
        [gradient] = torch.autograd.grad(loss_of(algorithm, settings, answers, taken, missing, sampler), TABLE)
        weight = 1.0
        for index in taken:
            weight *= probabilities[index]
        total -= weight * gradient
    return total


def same_direction(estimate: Tensor, answers: list[tuple[int, ...]], beta: float, factor: float) -> None:
    [exact] = torch.autograd.grad(objective(answers, beta), TABLE)
    assert float(exact.norm()) > 0.1
    torch.testing.assert_close(estimate, factor * exact, atol=1e-10, rtol=0)


@pytest.mark.parametrize("beta", [0.0, 0.7])
@pytest.mark.parametrize("size", [2, 3])
def test_rloo_is_unbiased(size: int, beta: float) -> None:
    settings = RLSettings(algorithm="rloo", group_size=size, kl_coefficient=beta)
    same_direction(expected_gradient(settings, ANSWERS), ANSWERS, beta, 1.0)


def test_rloo_is_unbiased_over_the_responses_that_have_a_reward() -> None:
    settings = RLSettings(algorithm="rloo", group_size=3, kl_coefficient=0.7)
    same_direction(expected_gradient(settings, ANSWERS, missing=1), ANSWERS, 0.7, 2 / 3)


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_reinforce_is_unbiased_once_it_has_a_past(beta: float) -> None:
    settings = RLSettings(algorithm="reinforce", group_size=2, kl_coefficient=beta)
    estimate = expected_gradient(settings, ANSWERS, begin=lambda a: a.load_state({"baseline": 0.4}))
    same_direction(estimate, ANSWERS, beta, 1.0)
    # The first step takes its own mean: each response is in its own baseline, which shortens the gradient.
    same_direction(expected_gradient(settings, ANSWERS), ANSWERS, beta, 1 - 1 / 2)


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_reinforce_with_any_values_is_unbiased(beta: float) -> None:
    settings = RLSettings(algorithm="reinforce", baseline="value", group_size=2, kl_coefficient=beta)
    same_direction(expected_gradient(settings, ANSWERS), ANSWERS, beta, 1.0)


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_length_unbiased_grpo_without_scaling_is_unbiased_but_for_a_factor(beta: float) -> None:
    settings = RLSettings(
        algorithm="grpo", length_unbiased=True, scale_advantages=False, group_size=3, max_new_tokens=2,
        kl_coefficient=beta,
    )  # fmt: skip
    same_direction(expected_gradient(settings, ANSWERS), ANSWERS, beta, (1 - 1 / 3) / 2)


def test_grpo_as_published_is_not() -> None:
    settings = RLSettings(algorithm="grpo", group_size=3, kl_coefficient=0.0)
    estimate = expected_gradient(settings, ANSWERS)
    [exact] = torch.autograd.grad(objective(ANSWERS, 0.0), TABLE)
    cosine = float(torch.nn.functional.cosine_similarity(estimate, exact, dim=0))
    assert 0.5 < cosine < 0.999


@pytest.mark.parametrize("algorithm", ["rloo", "reinforce"])
def test_kl_in_the_loss_has_the_gradient_of_kl_to_the_reference(algorithm: str) -> None:
    settings = RLSettings.model_validate(
        {"algorithm": algorithm, "group_size": 2, "kl_coefficient": 0.7, "kl_in": "loss"}
    )
    estimate = expected_gradient(settings, SINGLE, begin=lambda a: a.load_state({"baseline": 0.4}))
    same_direction(estimate, SINGLE, 0.7, 1.0)


def test_what_another_sampled_teaches_the_same_once_it_is_weighted() -> None:
    """The sampler's policy is another than the learner's. Without the weights the gradient points elsewhere; a bound
    that many ratios exceed leaves some of the error.
    """
    sampler = TABLE.detach() + torch.tensor([0.9, -0.6, -0.4, 0.8, -0.9], dtype=torch.float64)
    ratios = [
        float(
            (log_probs_of(TABLE, answer, ANSWERS).sum() - log_probs_of(sampler, answer, ANSWERS).sum()).exp().detach()
        )
        for answer in ANSWERS
    ]
    assert max(ratios) > 3.0 and min(ratios) < 0.8
    [exact] = torch.autograd.grad(objective(ANSWERS, 0.7), TABLE)

    def error(most: float | None) -> float:
        settings = RLSettings(group_size=2, kl_coefficient=0.7, truncated_importance=most)
        return float((expected_gradient(settings, ANSWERS, sampler=sampler) - exact).norm() / exact.norm())

    assert error(100.0) < 1e-9
    assert error(100.0) < error(2.0) < error(None)
    assert error(None) > 0.2
