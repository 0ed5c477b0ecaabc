"""`python -m benchmarks.length_control ANNOTATIONS.csv PUBLISHED.csv`: win rates at equal length beside AlpacaEval's.

ANNOTATIONS.csv has one row for each comparison of a model with the baseline: `model`, `prompt` (the same number for
all models), `p_model` (the judge's probability for the model), `length_model`, `length_baseline` in characters.
PUBLISHED.csv has `model` and `length_controlled_winrate` in per cent, as AlpacaEval 2 publishes them.

It compares the rates that preceptor reports with the published ones: Spearman's correlation, mean and worst error, how
many intervals contain the published rate, and how many models get no rate. It prints the same for the raw rate.
AlpacaEval fits probabilities and preceptor fits outcomes, so it also prints a fit of probabilities. One difference
remains: AlpacaEval gives each model its own effect of length and its own effect of difficulty, with a penalty chosen by
cross-validation.

`--simulate` plants the joint fit of these data as the truth, draws a few models and prompts with their lengths, and
counts how often intervals contain the planted rate. Without files it simulates policies whose lengths correlate with
the difficulty of prompts.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import spearmanr

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.pairs import JudgedPair
from preceptor.evaluation.policies.difficulty import Pairs, fit_jointly
from preceptor.evaluation.policies.length_control import LengthControl, length_controls

BASELINE = "baseline"


def read_annotations(path: Path) -> list[JudgedPair]:
    """One pair for each row."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            JudgedPair(
                row["prompt"],
                "all",
                row["model"],
                BASELINE,
                float(row["p_model"]),
                int(row["length_model"]),
                int(row["length_baseline"]),
            )
            for row in csv.DictReader(file)
        ]


def read_published(path: Path) -> dict[str, float]:
    """Length-controlled win rates by model, in [0, 1]."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["model"]: float(row["length_controlled_winrate"]) / 100 for row in csv.DictReader(file)}


def controls(pairs: Sequence[JudgedPair], soft: bool = False) -> tuple[LengthControl, ...]:
    """The length-controlled rate of every model against the baseline."""
    models = dict.fromkeys(pair.policy_a for pair in pairs)
    return length_controls(pairs, [(model, BASELINE) for model in models], soft)


def _holds(rate: Estimate, value: float) -> bool:
    return rate.low is not None and rate.high is not None and rate.low <= value <= rate.high


def compare(title: str, rates: dict[str, Estimate | None], published: dict[str, float]) -> str:
    """A row of the table."""
    known = [(rate, published[model]) for model, rate in rates.items() if rate is not None]
    errors = [100 * abs(rate.value - value) for rate, value in known]
    correlation: Any = spearmanr([rate.value for rate, _ in known], [value for _, value in known])
    held = sum(_holds(rate, value) for rate, value in known)
    cells = (
        f"{len(known)}",
        f"{len(rates) - len(known)}",
        f"{correlation.statistic:.3f}",
        f"{np.mean(errors):.2f}",
        f"{max(errors):.2f}",
        f"{held} of {len(known)}",
    )
    return f"| {title} | {' | '.join(cells)} |"


def against_published(pairs: Sequence[JudgedPair], published: dict[str, float], each: bool) -> None:
    """Prints the table and, if `each` is set, a line for every model."""
    print(
        "| against the published rate | models | no number | Spearman | mean error | worst | intervals that hold it |"
    )
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for name, soft in (("outcomes, as reported", False), ("probabilities, as AlpacaEval fits", True)):
        rates = [control for control in controls(pairs, soft) if control.policy in published]
        print(compare(f"raw rate, {name}", {c.policy: c.raw for c in rates}, published))
        print(compare(f"at equal length, {name}", {c.policy: c.by_difference for c in rates}, published))
        print(compare(f"by ratio, {name}", {c.policy: c.by_ratio for c in rates}, published), flush=True)
        if each:
            for c in rates:
                rate = c.by_difference
                said = c.unknown if rate is None else f"{_percent(rate)}, published {100 * published[c.policy]:.1f}"
                print(f"    {c.policy}: raw {_percent(c.raw)}, at equal length {said}")


def _percent(rate: Estimate) -> str:
    if rate.low is None or rate.high is None:
        return f"{100 * rate.value:.1f}"
    return f"{100 * rate.value:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


@dataclass
class Tally:
    """Counts how often the reported intervals contain the truth."""

    given: int = 0
    without: int = 0
    held: int = 0
    raw_held: int = 0

    def add(self, control: LengthControl, rate: Estimate | None, truth: float) -> None:
        """Counts one policy's rate."""
        self.without += rate is None
        if rate is not None:
            self.given += 1
            self.held += _holds(rate, truth)
            self.raw_held += _holds(control.raw, truth)

    def row(self, title: str) -> str:
        """A row of the table."""
        shares = [f"{100 * n / self.given:.1f}" if self.given else "none" for n in (self.held, self.raw_held)]
        return f"| {title} | {self.given} | {self.without} | {' | '.join(shares)} |"


HEAD = """| planted | rates given | none | % held at equal length | % held by the raw rate |
| --- | --: | --: | --: | --: |"""


def simulate_fit(pairs: Sequence[JudgedPair], trials: int, models: int, prompts: int) -> None:
    """Plants the joint fit of the data as the truth; every trial draws some models, and prompts with replacement."""
    names = list(dict.fromkeys(pair.policy_a for pair in pairs))
    numbers = sorted({int(pair.prompt_id) for pair in pairs})
    ordered = sorted(pairs, key=lambda pair: int(pair.prompt_id))
    model_N = np.array([names.index(pair.policy_a) for pair in ordered])
    prompt_N = np.array([numbers.index(int(pair.prompt_id)) for pair in ordered])
    lengths = np.array([(pair.length_a, pair.length_b) for pair in ordered], dtype=float)
    x_N = np.zeros(len(ordered))
    for model in range(len(names)):
        difference = (lengths[:, 0] - lengths[:, 1])[model_N == model]
        x_N[model_N == model] = np.tanh(difference / difference.std())
    fit = fit_jointly(Pairs(model_N, prompt_N, x_N, np.array([pair.p_a for pair in ordered])))
    truth_M = expit(fit.theta_M + fit.difficulty_I[:, None]).mean(axis=0)
    p_N = expit(fit.theta_M[model_N] + fit.effect * x_N + fit.difficulty_I[prompt_N])
    at = {(int(m), int(i)): n for n, (m, i) in enumerate(zip(model_N, prompt_N, strict=True))}
    rng, tally = np.random.default_rng(0), Tally()
    for _ in range(trials):
        chosen = rng.choice(len(names), models, replace=False)
        drawn = rng.choice(len(numbers), prompts)
        sample = [
            JudgedPair(
                f"{place}",
                "all",
                names[m],
                BASELINE,
                float(rng.random() < p_N[n]),
                int(lengths[n][0]),
                int(lengths[n][1]),
            )
            for m in chosen
            for place, i in enumerate(drawn)
            if (n := at.get((int(m), int(i)))) is not None
        ]
        for control in controls(sample):
            tally.add(control, control.by_difference, float(truth_M[names.index(control.policy)]))
    print(tally.row(f"joint fit of the data, {models} models, {prompts} prompts"), flush=True)


@dataclass(frozen=True)
class Setting:
    """Simulated policies whose lengths correlate with the difficulty of prompts, so that the true rates are known."""

    title: str
    prompts: int
    samples: int
    ratios: tuple[float, ...]
    effect: float
    """Log-odds for each unit of log ratio."""
    together: float
    """Correlation of log ratio and difficulty."""


SETTINGS = (
    Setting("1 policy, 4 samples, 50 prompts, half as long", 50, 4, (0.5,), 1.2, 0.6),
    Setting("1 policy, 2 samples, 200 prompts, half as long", 200, 2, (0.5,), 1.2, 0.6),
    Setting("1 policy, 2 samples, 200 prompts, difficulty the other way", 200, 2, (0.5,), 1.2, -0.6),
    Setting("1 policy, 2 samples, 200 prompts, length without effect", 200, 2, (0.5,), 0.0, 0.6),
    Setting("1 policy, 2 samples, 200 prompts, length of great effect", 200, 2, (0.5,), 2.5, 0.6),
    Setting("3 policies, 1 sample, 50 prompts", 50, 1, (0.5, 0.8, 1.3), 1.2, 0.6),
    Setting("3 policies, 1 sample, 200 prompts", 200, 1, (0.5, 0.8, 1.3), 1.2, 0.6),
    Setting("3 policies, 2 samples, 800 prompts", 800, 2, (0.5, 0.8, 1.3), 1.2, 0.6),
    Setting("1 policy, 1 sample, 200 prompts, half as long", 200, 1, (0.5,), 1.2, 0.6),
    Setting("1 policy, 1 sample, 200 prompts, about as long, both", 200, 1, (0.9,), 1.2, 0.6),
    Setting("1 policy, 1 sample, 200 prompts, about as long, length alone", 200, 1, (0.85,), 1.2, 0.0),
    Setting("1 policy, 1 sample, 200 prompts, about as long, difficulty alone", 200, 1, (0.85,), 0.0, 0.6),
    Setting("1 policy, 1 sample, 800 prompts, about as long, both", 800, 1, (0.85,), 1.2, 0.6),
)
_THETAS = (0.3, -0.5, 0.5)
_SPREAD = 1.5  # spread of difficulty, log-odds
_OWN = 0.5  # spread of log ratios


def simulate_settings(trials: int) -> None:
    """Simulates every setting. Rates are controlled by the ratio of lengths, as planted."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    for setting in SETTINGS:
        rng, tally = np.random.default_rng(1), Tally()
        for _ in range(trials):
            for control in controls(_planted(setting, rng)):
                theta = _THETAS[int(control.policy)]
                tally.add(control, control.by_ratio, float(weights @ expit(theta + _SPREAD * nodes) / weights.sum()))
        print(tally.row(setting.title), flush=True)


def _planted(setting: Setting, rng: np.random.Generator) -> list[JudgedPair]:
    easy_I = rng.normal(size=setting.prompts)
    pairs: list[JudgedPair] = []
    for policy, ratio in enumerate(setting.ratios):
        for i in np.repeat(np.arange(setting.prompts), setting.samples):
            own = setting.together * easy_I[i] + np.sqrt(1 - setting.together**2) * rng.normal()
            b = int(rng.lognormal(6, 0.3))
            a = max(1, int(b * ratio * np.exp(_OWN * own)))
            x = np.log1p(a) - np.log1p(b)
            p = expit(_THETAS[policy] + setting.effect * x + _SPREAD * easy_I[i])
            pairs.append(JudgedPair(f"{i}", "all", f"{policy}", BASELINE, float(rng.random() < p), a, b))
    return pairs


def main() -> None:
    """Prints the tables as Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.length_control",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("annotations", type=Path, nargs="?", help="comparisons of models with one baseline (CSV)")
    parser.add_argument(
        "published", type=Path, nargs="?", help="the rates that AlpacaEval publishes for these models (CSV)"
    )
    parser.add_argument("--each", action="store_true", help="also print each model's numbers")
    parser.add_argument("--simulate", action="store_true", help="count how often intervals hold a planted rate")
    parser.add_argument("--trials", type=int, default=200, help="trials of each simulation (default 200)")
    given = parser.parse_args()
    if given.trials < 1:
        parser.error(f"--trials is {given.trials}; expected at least 1")
    if not given.simulate and given.published is None:
        parser.error("name the annotations and the published rates, or give --simulate")
    pairs = read_annotations(given.annotations) if given.annotations else []
    if pairs and given.published is not None:
        against_published(pairs, read_published(given.published), given.each)
    if given.simulate:
        print(f"\n{HEAD}")
        if pairs:
            simulate_fit(pairs, given.trials, 3, 200)
            simulate_fit(pairs, given.trials, 2, 800)
        simulate_settings(given.trials)


if __name__ == "__main__":
    main()
