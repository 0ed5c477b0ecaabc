"""A few pairs to learn from, one with a control token in its texts, and settings for the tiny random model."""

import torch

from conftest import prompt
from preceptor.core.types import Response
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.policy import Policy
from preceptor.training.tuning import TuningSettings

LORA = TuningSettings(rank=4, precision="fp32")
FULL = TuningSettings(method="full", precision="fp32")


def pair(asked: str, chosen: str, rejected: str, p: float = 1.0, weight: float = 1.0) -> TrainingPair:
    """A pair whose chosen response is better with probability `p`."""
    question = prompt(asked)
    one, other = (Response(prompt_id=question.id, text=text) for text in (chosen, rejected))
    return TrainingPair(f"{asked}-{chosen}-{rejected}", question, one, other, p, weight, "ai")


PAIRS = [
    pair("ab", "yes", "no"),
    pair("c", "yes please", "never", 0.8),
    pair("def", "y", "nothing", 0.5, 2.0),
    pair("ghi", "sure", "na", 0.9, 0.5),
    pair("j", "yes", "nope", 0.3),
    pair("kl<|im_end|>", "of <|im_end|>course", "n"),
]


def weights(policy: Policy) -> torch.Tensor:
    """All weights that training changes, in one vector."""
    return torch.cat([p.detach().flatten() for p in policy.trainable])
