"""Credit for single turns: the scores of a step's turns as what each of them adds to the advantage."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from preceptor.objectives.advantages import turn_advantages
from preceptor.training.rl.batch import Turns
from preceptor.training.rl.rewards import TurnScores


def credited_turns(lengths_BK: Sequence[Sequence[int]], sources: Iterable[TurnScores], valid_PG: Tensor) -> Turns:
    """The turns of a step, each with the sum over sources of weight × normalised score (`turn_advantages`).

    Args:
        lengths_BK: tokens of each turn of each of B = P × G responses.
        valid_PG: True where a response has a reward; the turns of the others earn nothing and are no measure for
            others.

    Raises: ValueError when a response has another number of scores than of turns.
    """
    lengths_K = torch.tensor([length for of_one in lengths_BK for length in of_one], device=valid_PG.device)
    turns_B = torch.tensor([len(of_one) for of_one in lengths_BK], device=valid_PG.device)
    response_of_K = torch.repeat_interleave(turns_B)
    group_of_K = response_of_K // valid_PG.shape[1]
    judged_K = valid_PG.flatten()[response_of_K]
    total_K = torch.zeros(len(lengths_K), device=valid_PG.device)
    for source in sources:
        scores_K = torch.tensor(_numbers(source, lengths_BK), dtype=torch.float32, device=valid_PG.device)
        total_K += source.weight * turn_advantages(scores_K, judged_K & ~scores_K.isnan(), group_of_K)
    return Turns(lengths_K, total_K)


def _numbers(source: TurnScores, lengths_BK: Sequence[Sequence[int]]) -> list[float]:
    """One number for each turn; NaN where there is no score."""
    scores_BK = [scores for row in source.scores_PGK for scores in row]
    numbers: list[float] = []
    for scores, lengths in zip(scores_BK, lengths_BK, strict=True):
        if scores and len(scores) != len(lengths):
            raise ValueError(f"{len(scores)} scores for a response of {len(lengths)} turns")
        known = [math.nan if s is None or not math.isfinite(s) else s for s in scores]
        numbers += known or [math.nan] * len(lengths)
    return numbers
