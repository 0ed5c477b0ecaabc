"""`python -m benchmarks.coverage`: how often preceptor's 95 % intervals contain the truth, by number of prompts.

Each cell draws samples of n prompts from a population whose mean is known, computes preceptor's interval for each
sample, and prints the percentage of intervals that contain the mean. The target is 95; more is cautious, less is wrong.
`none` means that preceptor gives no interval. With 2,000 samples the Monte Carlo error of a cell is about 0.5 points.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from preceptor.evaluation.intervals import LEAST, Estimate, bounded_mean, mean_by_prompt, perplexity, rate_by_prompt
from preceptor.evaluation.judges.agreement import share_by_prompt

PROMPTS = (4, 9, 10, 16, 30, 50, 100, 400)
Rng = np.random.Generator
Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Kind:
    """A population, and the interval that preceptor gives for its mean."""

    name: str
    interval: Callable[[Rng, int], Interval]
    truth: float


def kinds() -> list[Kind]:
    """The columns of the table."""
    return [
        Kind("mean, normal", lambda rng, n: _mean(rng.normal(size=n)), 0.0),
        Kind("mean, skewed (exponential)", lambda rng, n: _mean(rng.exponential(size=n)), 1.0),
        Kind("mean, very skewed (log-normal)", lambda rng, n: _mean(rng.lognormal(size=n)), float(np.exp(0.5))),
        Kind("mean, two humps (sentiment)", lambda rng, n: _mean(_sentiment(rng, n)), _truth(_sentiment)),
        Kind("mean, constant", lambda rng, n: _mean(np.ones(n)), 1.0),
        Kind("perplexity", _perplexity, float(np.exp(2.0))),
        Kind("rate 0.5", lambda rng, n: _rate(rng.random((n, 1)) < 0.5), 0.5),
        Kind("rate 0.9", lambda rng, n: _rate(rng.random((n, 1)) < 0.9), 0.9),
        Kind("rate 0.99", lambda rng, n: _rate(rng.random((n, 1)) < 0.99), 0.99),
        Kind("rate 1", lambda rng, n: _rate(np.ones((n, 1))), 1.0),
        Kind("rate 0.9, 4 alike samples", lambda rng, n: _rate(_clustered(rng, n, 0.9)), 0.9),
        Kind("rate 0.6, 4 samples", lambda rng, n: _rate(rng.random((n, 4)) < 0.6), 0.6),
        Kind("mean probability", lambda rng, n: _rate(rng.beta(3, 2, size=(n, 1))), 0.6),
        Kind("share of uneven rows", _uneven, 0.7),
        Kind(
            "change of a rate 0.1", lambda rng, n: _ends(bounded_mean(_moved(rng, n).tolist(), -1.0, 1.0, LEAST)), 0.1
        ),
    ]


def _ends(estimate: Estimate | None) -> Interval:
    return None if estimate is None or estimate.low is None or estimate.high is None else (estimate.low, estimate.high)


def _mean(values_P: np.ndarray) -> Interval:
    return _ends(mean_by_prompt(values_P[:, None].tolist()))


def _rate(values_PS: np.ndarray) -> Interval:
    return _ends(rate_by_prompt(values_PS.astype(float).tolist()))


def _perplexity(rng: Rng, n: int) -> Interval:
    """Answers of 5 to 60 tokens at about 2 nats a token, which is the ratio of the means."""
    tokens_P = rng.integers(5, 60, size=n)
    return _ends(perplexity((-tokens_P * rng.gamma(8.0, 2.0 / 8.0, size=n)).tolist(), tokens_P.tolist()))


def _moved(rng: Rng, n: int) -> np.ndarray:
    """Most prompts do not change; some become wins, and fewer become losses."""
    return rng.choice([-1.0, 0.0, 1.0], p=[0.05, 0.8, 0.15], size=n)


def _sentiment(rng: Rng, n: int) -> np.ndarray:
    """Most texts are near 0.8, a few are neutral, one in six is near -0.6, like VADER's scores of friendly letters."""
    where = rng.random(n)
    warm, cold = rng.beta(6.0, 1.5, size=n), rng.uniform(-0.9, -0.3, size=n)
    return np.where(where < 1 / 6, cold, np.where(where < 0.25, 0.0, warm))


def _clustered(rng: Rng, n: int, rate: float) -> np.ndarray:
    """Samples of a prompt are mostly all won or all lost."""
    return rng.random((n, 4)) < rng.beta(rate, 1 - rate, size=(n, 1))


def _uneven(rng: Rng, n: int) -> Interval:
    """One row for most prompts, eight for some; rows of a prompt are mostly alike."""
    rows_P = np.where(rng.random(n) < 0.2, 8, 1)
    of_prompt_P = rng.beta(0.7, 0.3, size=n)
    share = share_by_prompt(
        [(f"{i}", float(rng.random() < of_prompt_P[i])) for i, rows in enumerate(rows_P) for _ in range(rows)]
    )
    return _ends(share)


def _truth(draw: Callable[[Rng, int], np.ndarray]) -> float:
    return float(draw(np.random.default_rng(0), 4_000_000).mean())


def coverage(kind: Kind, prompts: int, trials: int) -> float | None:
    """The share of intervals that contain the truth; None if there are no intervals."""
    rng = np.random.default_rng([prompts, trials])
    intervals = [interval for interval in (kind.interval(rng, prompts) for _ in range(trials)) if interval is not None]
    held = sum(low - 1e-9 <= kind.truth <= high + 1e-9 for low, high in intervals)
    return held / len(intervals) if intervals else None


def main() -> None:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--trials", type=int, default=2000, help="samples of each cell (default 2000)")
    given = parser.parse_args()
    if given.trials < 1:
        parser.error(f"--trials is {given.trials}; expected at least 1")
    print(f"| % of 95 % intervals that hold the truth, n = | {' | '.join(f'{n}' for n in PROMPTS)} |")
    print(f"| --- |{' --: |' * len(PROMPTS)}")
    for kind in kinds():
        shares = [coverage(kind, n, given.trials) for n in PROMPTS]
        said = ["none" if share is None else f"{100 * share:.1f}" for share in shares]
        print(f"| {kind.name} | {' | '.join(said)} |", flush=True)


if __name__ == "__main__":
    main()
