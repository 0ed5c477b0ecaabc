"""How advantages become losses: a ratio for each token or for each response, clipped, or used as a weight."""

from collections.abc import Callable

from torch import Tensor

from preceptor.objectives.policy_gradient import clipped_loss, sequence_sums, truncated_importance, weighted_loss
from preceptor.training.rl.batch import Part
from preceptor.training.rl.settings import LossName, RLSettings


def clipped_tokens(part: Part, settings: RLSettings) -> Tensor:
    """The clipped loss of each token."""
    losses_N = clipped_loss(
        part.log_probs_N, part.old_log_probs_N, part.advantages_N, settings.clip_range, settings.clip_range_high
    )
    return _corrected(losses_N, part.old_log_probs_N, part.sampler_log_probs_N, settings)


def response_losses(part: Part, settings: RLSettings) -> Tensor:
    """The clipped loss of each whole response, whose tokens share an advantage; plus the KL if it is in the loss.

    Where turns have advantages of their own, each turn is an act with its own probability ratio, and a response's loss
    is the sum over its turns.
    """
    old_A, sampler_N = part.act_sums(part.old_log_probs_N), part.sampler_log_probs_N
    policy_A = clipped_loss(
        part.act_sums(part.log_probs_N),
        old_A,
        part.advantages_N[part.act_starts_A],
        settings.clip_range,
        settings.clip_range_high,
    )
    policy_A = _corrected(policy_A, old_A, None if sampler_N is None else part.act_sums(sampler_N), settings)
    policy_B = sequence_sums(policy_A, part.response_of_N[part.act_starts_A], len(part.lengths_B))
    return policy_B + _kl(part)


def named_losses(part: Part, settings: RLSettings) -> Tensor:
    """The loss that the settings name, for each response; plus the KL if it is in the loss."""
    return _NAMED[settings.loss](part, settings)


def _dapo(part: Part, settings: RLSettings) -> Tensor:
    """Clipped tokens, each of which counts alike in the whole step (Yu et al. 2025, section 3.3)."""
    return part.sums(part.with_kl(clipped_tokens(part, settings))) / part.mean_length


def _cispo(part: Part, settings: RLSettings) -> Tensor:
    """Tokens weighted by clipped ratios (MiniMax 2025), with the mean of `_dapo`."""
    most = settings.clip_range if settings.clip_range_high is None else settings.clip_range_high
    losses_N = weighted_loss(part.log_probs_N, part.old_log_probs_N, part.advantages_N, most)
    losses_N = _corrected(losses_N, part.old_log_probs_N, part.sampler_log_probs_N, settings)
    return part.sums(part.with_kl(losses_N)) / part.mean_length


def _gspo(part: Part, settings: RLSettings) -> Tensor:
    """One ratio for each response, the geometric mean of its tokens' (Zheng et al. 2025). The KL in the loss is a mean
    over the response's tokens, too.
    """
    old_B, sampler_N = part.sums(part.old_log_probs_N), part.sampler_log_probs_N
    losses_B = clipped_loss(
        part.sums(part.log_probs_N) / part.lengths_B,
        old_B / part.lengths_B,
        part.first_tokens(part.advantages_N),
        settings.clip_range,
        settings.clip_range_high,
    )
    losses_B = _corrected(losses_B, old_B, None if sampler_N is None else part.sums(sampler_N), settings)
    return losses_B + _kl(part) / part.lengths_B


_NAMED: dict[LossName, Callable[[Part, RLSettings], Tensor]] = {"dapo": _dapo, "cispo": _cispo, "gspo": _gspo}


def _kl(part: Part) -> Tensor:
    """The KL in the loss, summed over each response."""
    return part.sums(part.with_kl(part.log_probs_N.new_zeros(len(part.log_probs_N))))


def _corrected(losses_X: Tensor, old_X: Tensor, sampler_X: Tensor | None, settings: RLSettings) -> Tensor:
    """The losses as they would be, had the policy itself sampled; the KL in the loss and the entropy are left alone."""
    if sampler_X is None or settings.truncated_importance is None:
        return losses_X
    return truncated_importance(old_X, sampler_X, settings.truncated_importance) * losses_X
