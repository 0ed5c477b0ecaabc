"""A soup of reward models: one model with the mean of several models' weights.

WARM (Ramé et al. 2024, arXiv 2401.12187): reward models that were fine-tuned from the same weights, head included, and
saw the pairs in different orders are averaged in weight space. The soup costs as much as one model when it is asked,
and what only one member memorised is averaged out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from preceptor.core.errors import PreceptorError
from preceptor.training.reward_model.model import RewardModel


@torch.no_grad()
def soup(folders: Sequence[Path]) -> RewardModel:
    """The mean of the models that `RewardModel.save` wrote to these folders, in fp32.

    Raises: PreceptorError when their weights have different names or shapes; as `RewardModel.load`.
    """
    made = RewardModel.load(folders[0], torch.float32)
    means, identities = _weights(made), [made.identity]
    for count, folder in enumerate(folders[1:], start=2):
        other = RewardModel.load(folder, torch.float32)
        add_to_mean(means, _weights(other), count, str(folder))
        identities.append(other.identity)
    identity = f"soup of ({' + '.join(identities)})"
    return RewardModel(made.model, made.tokenizer, identity, max_length=made.max_length)


def add_to_mean(means: Mapping[str, Tensor], weights: Mapping[str, Tensor], count: int, whose: str) -> None:
    """Makes the mean of count - 1 models' weights that of `count`, in place.

    Args:
        whose: names the added model in messages.

    Raises: PreceptorError when the weights have other names or shapes than the mean.
    """
    if {name: w.shape for name, w in weights.items()} != {name: mean.shape for name, mean in means.items()}:
        raise PreceptorError(f"{whose}: its weights have other names or shapes than those of the models before it")
    for name, mean in means.items():
        mean.add_((weights[name].to(mean) - mean) / count)


def _weights(model: RewardModel) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.model.state_dict().items() if tensor.is_floating_point()}
