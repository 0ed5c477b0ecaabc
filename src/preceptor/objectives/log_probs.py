"""Log-probabilities of tokens under a model's logits."""

import torch
from torch import Tensor


def token_log_probs(logits_NV: Tensor, tokens_N: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probability of each token under the softmax of its logits divided by `temperature`, in fp32.

    Args:
        logits_NV: N positions × V vocabulary entries, any float type.
        tokens_N: the token taken at each position.
        temperature: the sampling temperature, so that the result is the log-probability of the act of sampling.

    Returns: N natural logarithms, fp32, differentiable with respect to the logits.
    Raises: ValueError when shapes disagree or the temperature is not positive.
    """
    if logits_NV.ndim != 2 or tokens_N.shape != logits_NV.shape[:1]:
        raise ValueError(f"logits {tuple(logits_NV.shape)} and tokens {tuple(tokens_N.shape)} do not fit")
    if temperature <= 0.0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    scaled_NV = logits_NV.to(torch.float32, copy=True).div_(
        temperature
    )  # in place: these arrays are the largest of all
    return -torch.nn.functional.cross_entropy(scaled_NV, tokens_N, reduction="none")
