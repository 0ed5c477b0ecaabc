"""Every loss of preferences reaches the optimum that its mathematics gives, for a choice among few responses."""

import math
from collections.abc import Callable
from itertools import combinations

import pytest
import torch
from torch import Tensor

from preceptor.objectives.preferences.kto import Kto, baseline_of
from preceptor.objectives.preferences.pairs import Pairs
from preceptor.training.dpo.losses import pair_loss
from preceptor.training.dpo.settings import DpoSettings

REWARDS = torch.tensor([1.0, 0.0, 0.5, -1.0, 0.8])
REFERENCE = torch.log_softmax(torch.tensor([-1.0, 1.0, 0.0, 0.5, 0.2]), dim=0)
COUPLES = torch.tensor(list(combinations(range(5), 2)))
P_FIRST = torch.sigmoid(REWARDS[COUPLES[:, 0]] - REWARDS[COUPLES[:, 1]])
"""Bradley-Terry labels of all pairs."""


def optimum(losses: Callable[[Tensor], Tensor], start: Tensor, steps: int = 400) -> Tensor:
    """The log-probabilities that minimise the mean loss."""
    table = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([table], max_iter=steps, tolerance_grad=1e-9, tolerance_change=1e-12)

    def closure() -> float:
        optimizer.zero_grad()
        mean = losses(torch.log_softmax(table, dim=0)).mean()
        mean.backward()
        return float(mean.detach())

    optimizer.step(closure)
    return torch.log_softmax(table.detach(), dim=0)


def learnt(labels: Tensor, lengths: Tensor | None = None, **settings: object) -> Tensor:
    """The optimum on all pairs, with labels of the first responses."""
    loss = pair_loss(DpoSettings.model_validate(settings))
    lengths_B2 = (torch.ones(5) if lengths is None else lengths)[COUPLES]

    def losses(log_probs: Tensor) -> Tensor:
        return loss.losses(
            Pairs(log_probs[COUPLES], labels, REFERENCE[COUPLES], lengths_B2, differences_B=2.0 * labels - 1.0)
        )

    return optimum(losses, REFERENCE)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.exp(), expected.exp(), atol=2e-3, rtol=0)
    assert float((REFERENCE.exp() - expected.exp()).abs().max()) > 0.05


def test_dpo_reaches_the_tilted_reference() -> None:
    """π_ref exp(r / β), since the labels are Bradley-Terry probabilities of r."""
    close(learnt(P_FIRST, beta=0.5), torch.log_softmax(REFERENCE + REWARDS / 0.5, dim=0))


def test_robust_dpo_reaches_it_from_flipped_labels() -> None:
    flipped = 0.8 * P_FIRST + 0.2 * (1.0 - P_FIRST)
    found = learnt(flipped, beta=0.5, kind="robust", label_smoothing=0.2)
    close(found, torch.log_softmax(REFERENCE + REWARDS / 0.5, dim=0))


def test_conservative_dpo_stops_where_its_mixed_labels_say() -> None:
    """Two responses and a hard label: σ(h) = 1 - ε, so the log-ratio grows by log((1 - ε) / ε) / β."""
    loss = pair_loss(DpoSettings(kind="conservative", label_smoothing=0.2, beta=0.5))
    found = optimum(
        lambda log_probs: loss.losses(Pairs(log_probs[None], torch.ones(1), torch.zeros(1, 2))), torch.zeros(2)
    )
    assert float(found[0] - found[1]) == pytest.approx(math.log(0.8 / 0.2) / 0.5, abs=1e-3)


def test_length_normalised_dpo_reaches_its_margins_per_token() -> None:
    """With one length n for all, the log-ratio of a whole response is n times that of a token."""
    found = learnt(P_FIRST, lengths=torch.full((5,), 2.0), kind="sigmoid_norm", beta=2.0)
    close(found, torch.log_softmax(REFERENCE + 2.0 * REWARDS / 2.0, dim=0))


def test_ipo_reaches_the_mean_probability_of_winning() -> None:
    """π_ref exp(P / β), with P the mean probability of beating one of the five, oneself included."""
    labels = torch.sigmoid(REWARDS[:, None] - REWARDS[None, :])
    close(learnt(P_FIRST, kind="ipo", beta=0.4), _ipo(labels))
    hard = (REWARDS[:, None] > REWARDS[None, :]).float() + 0.5 * torch.eye(5)
    close(learnt((P_FIRST > 0.5).float(), kind="ipo", beta=0.4), _ipo(hard))


def _ipo(labels: Tensor) -> Tensor:
    return torch.log_softmax(REFERENCE + labels.mean(dim=1) / 0.4, dim=0)


def test_odpo_adds_its_offset() -> None:
    """Of two responses, with the label's difference: h = log(p / (1 - p)) + α (2 p - 1)."""
    loss, p = pair_loss(DpoSettings(kind="odpo", offset_scale=1.5, beta=0.5)), torch.tensor([0.8])
    found = optimum(
        lambda log_probs: loss.losses(Pairs(log_probs[None], p, torch.zeros(1, 2), differences_B=2.0 * p - 1.0)),
        torch.zeros(2),
    )
    assert float(found[0] - found[1]) == pytest.approx((math.log(0.8 / 0.2) + 1.5 * 0.6) / 0.5, abs=1e-3)


def test_simpo_solves_its_quadratic() -> None:
    """(1 - p) x² - (2 p - 1) exp(γ) x - p = 0 with x = exp(β (log π(first) - log π(second)) / n)."""
    loss, p, gamma = pair_loss(DpoSettings(kind="simpo", beta=2.0, target_margin=1.0)), 0.8, 1.0
    two = torch.full((1, 2), 2.0)
    found = optimum(
        lambda log_probs: loss.losses(Pairs(log_probs[None], torch.tensor([p]), lengths_B2=two)), torch.zeros(2)
    )
    b = (2 * p - 1) * math.exp(gamma)
    x = (b + math.sqrt(b * b + 4 * p * (1 - p))) / (2 * (1 - p))
    assert 2.0 * float(found[0] - found[1]) / 2.0 == pytest.approx(math.log(x), abs=1e-3)
    assert math.log(x) > math.log(p / (1 - p))


def test_orpo_balances_likelihood_and_odds() -> None:
    """For two responses of one token, whose log odds are h and -h: (σ(h) - p) + 2 λ (σ(2 h) - p) = 0."""
    loss, p = pair_loss(DpoSettings(kind="orpo", beta=0.5)), 0.8
    found = optimum(
        lambda log_probs: loss.losses(Pairs(log_probs[None], torch.tensor([p]), lengths_B2=torch.ones(1, 2))),
        torch.zeros(2),
    )
    h = float(found[0] - found[1])
    balance = 1 / (1 + math.exp(-h)) - p + 2 * 0.5 * (1 / (1 + math.exp(-2 * h)) - p)
    assert balance == pytest.approx(0.0, abs=1e-3)
    assert 0.5 * math.log(p / (1 - p)) < h < math.log(p / (1 - p))  # between both optima


def test_kto_ends_with_what_most_call_desirable() -> None:
    """No finite margin is a minimum: the policy leaves every response that is desirable less than half the time."""
    desirable, loss = torch.tensor([0.7, 0.4, 0.3, 0.2, 0.45]), Kto(0.5)
    table = REFERENCE.clone().requires_grad_()
    optimizer = torch.optim.Adam([table], lr=0.1)
    for _ in range(300):
        log_ratios = torch.log_softmax(table, dim=0) - REFERENCE
        with torch.no_grad():
            divergence = float((log_ratios * (log_ratios + REFERENCE).exp()).sum())
        optimizer.zero_grad()
        loss.losses(log_ratios, desirable, baseline_of([divergence])).mean().backward()
        optimizer.step()
    found = torch.softmax(table.detach(), dim=0)
    assert float(REFERENCE.exp()[0]) < 0.1
    assert float(found[0]) > 0.9
