"""Takes length out of a reward model, by its head.

People often prefer longer responses, so a reward model learns that longer is better, and a policy trained on it grows
longer. Here the head's weights w are changed after training, so that on the training pairs the differences of scores
have no covariance with the differences of lengths. A pair has no order, so covariance is about zero: with differences
d_n of the head's inputs and l_n of the lengths, for each pair n, it is w · v for v = Σ_n l_n d_n.

A linear probe of length is fitted to the same inputs by ridge regression, u = (Σ d dᵀ + λ I)⁻¹ v, and the head loses
the multiple of it that makes the covariance zero: w - u (w · v) / (u · v). Of all changes that do so, for λ → 0 this
one changes the scores' differences on these pairs least; λ, a share of the mean eigenvalue, keeps the probe from
fitting single pairs where there are fewer pairs than inputs.
"""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from preceptor.judging.text_features import length
from preceptor.judging.trajectory import response_text
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.reward_model.encoding import NoReward
from preceptor.training.reward_model.model import RewardModel

RIDGE = 0.1
"""λ, as a share of the mean eigenvalue of the differences' second moments."""


def without_length(weights_H: Tensor, differences_NH: Tensor, lengths_N: Tensor) -> Tensor:
    """A head whose scores' differences have no covariance, about zero, with those of lengths.

    Args:
        weights_H: the head.
        differences_NH: of the head's inputs, for each pair.
        lengths_N: of the lengths.

    Returns: weights_H, unchanged where all lengths are equal.
    """
    w_H, d_NH, l_N = weights_H.double(), differences_NH.double(), lengths_N.double()
    v_H = d_NH.T @ l_N
    moments_HH = d_NH.T @ d_NH
    scale = float(moments_HH.diagonal().mean())
    if not bool(l_N.any()) or not bool(v_H.any()):
        return weights_H
    ridge_HH = RIDGE * scale * torch.eye(len(w_H), dtype=torch.float64, device=w_H.device)
    u_H = torch.linalg.solve(moments_HH + ridge_HH, v_H)
    return (w_H - u_H * (w_H @ v_H) / (u_H @ v_H)).to(weights_H)


@torch.no_grad()
def take_out_length(model: RewardModel, pairs: Sequence[TrainingPair]) -> float | None:
    """Changes a model's head so that its scores' differences on these pairs say nothing of lengths, in doublings of
    characters.

    Returns: the correlation, about zero, of the two before; None if it is not defined.
    """
    usable: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    lengths: list[float] = []
    for pair in pairs:
        chosen, rejected = model.encode(pair.prompt, pair.chosen), model.encode(pair.prompt, pair.rejected)
        if not isinstance(chosen, NoReward) and not isinstance(rejected, NoReward):
            usable.append((chosen, rejected))
            lengths.append(length(response_text(pair.chosen)) - length(response_text(pair.rejected)))
    if not usable:
        return None
    chosen_NH, rejected_NH = model.features(list(chain.from_iterable(usable))).view(len(usable), 2, -1).unbind(1)
    differences_NH = chosen_NH - rejected_NH
    lengths_N = torch.tensor(lengths, device=differences_NH.device)
    head = model.head
    before = _correlation(differences_NH @ head.weight[0], lengths_N)
    head.weight[0] = without_length(head.weight[0], differences_NH, lengths_N)
    return before


def _correlation(x_N: Tensor, y_N: Tensor) -> float | None:
    """About zero; None if one of the two is 0 throughout."""
    size = float(x_N.double().norm() * y_N.double().norm())
    return float(x_N.double() @ y_N.double()) / size if size > 0.0 else None
