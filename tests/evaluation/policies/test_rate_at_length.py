"""Rates at a length: against planted truths."""

import numpy as np
import pytest
from scipy.special import expit

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.rate_at_length import rate_at_length


def planted(rate: float, effect: float, seed: int, prompts: int = 100) -> tuple[Estimate | None, float]:
    """The estimate for responses about 1.5 times as long as what is read, and their raw rate."""
    rng = np.random.default_rng(seed)
    lengths = np.exp(rng.normal(np.log(150.0), 0.5, size=prompts)).astype(int)
    p = expit(np.log(rate / (1 - rate)) + effect * np.log((1 + lengths) / 101.0))
    values = (rng.random(prompts) < p).astype(float)
    return rate_at_length(values.tolist(), lengths.tolist(), 100.0), float(values.mean())


@pytest.mark.parametrize(("rate", "effect"), [(0.5, 0.0), (0.6, 1.5), (0.8, -1.5)])
def test_the_planted_rate_is_found_and_lies_in_the_interval(rate: float, effect: float) -> None:
    found = [planted(rate, effect, seed)[0] for seed in range(16)]
    known = [estimate for estimate in found if estimate is not None]
    assert len(known) == 16
    assert np.mean([estimate.value for estimate in known]) == pytest.approx(rate, abs=0.05)
    covered = sum(e.low is not None and e.high is not None and e.low <= rate <= e.high for e in known)
    assert covered >= 13


def test_an_effect_of_length_is_taken_off() -> None:
    estimates = [planted(0.6, 1.5, seed) for seed in range(10)]
    raw = np.mean([of_data for _, of_data in estimates])
    controlled = np.mean([estimate.value for estimate, _ in estimates if estimate is not None])
    assert raw > 0.68 > controlled


def test_what_cannot_be_known_is_none() -> None:
    lengths = [*range(50, 150, 4)]
    mixed = [float(i % 2) for i in range(len(lengths))]
    assert rate_at_length(mixed, lengths, 100.0) is not None
    assert rate_at_length(mixed[:19], lengths[:19], 100.0) is None  # too few prompts
    assert rate_at_length(mixed, lengths, 300.0) is None  # every response is shorter
    assert rate_at_length([1.0] * len(lengths), lengths, 100.0) is None  # no failure
    assert rate_at_length([float(length > 100) for length in lengths], lengths, 100.0) is None  # separated by length
