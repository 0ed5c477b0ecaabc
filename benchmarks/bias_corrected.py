"""A planted bias and its correction: `python -m benchmarks.bias_corrected FOLDER [--steps N] [--pairs N] [--seed N]`.

The embedded model learns a warm tone from its own scores, to which one log-odds is added for each doubling of a
response's length. "People" are ten raters who prefer by the scores alone. From their labels of the policy's own
responses, the excess is measured and saved as an audit does. One run trains with the planted judge as it is, the other
with the excess taken off. The table says how long responses were before and in the model that was kept, on the test
prompts, and at the last checkpoint, on the validation prompts; beside it the held-out measure, VADER. An interrupted
run is resumed by the same command.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import preceptor
from benchmarks.length_lover import PLANTED, LengthLover
from preceptor.backends.transformers.loading import load
from preceptor.backends.transformers.model import LocalModel
from preceptor.core.numbers import estimate
from preceptor.core.odds import sigmoid
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Comparison, HumanLabel, JudgeFailure, Preference, Presentation, Score, Verdict
from preceptor.evaluation.checkpoints.snapshot import Measures
from preceptor.evaluation.judges.bias_fitting import fit_correction
from preceptor.judging import bias_correction
from preceptor.judging.bias_correction import BiasCorrection
from preceptor.judging.judge import Judge
from preceptor.judging.settings import PairwiseSettings
from preceptor.judging.text_features import length
from preceptor.methods.run import run
from preceptor.results.run import RunSummary
from preceptor.store.prompts import read_prompts
from preceptor.training.policy import Policy
from preceptor.training.tuning import TuningSettings

PROMPTS = "package:everyday_prompts_short"
CONSTITUTION = "warm_tone"
RATERS = 10


def main() -> None:
    """Measures the excess, trains both policies, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--pairs", type=int, default=120)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    file = given.folder / "bias.json"
    if not file.exists():
        bias_correction.save(measured(given.pairs, given.tokens, given.seed), file)
    correction = bias_correction.load(file)
    listed = ", ".join(f"{name} {excess:+.2f}" for name, excess in correction.of_scores().items()) or "nothing"
    print(f"planted: length {PLANTED:+.2f}; taken off: {listed} (log-odds per unit, {correction.prompts} prompts)\n")
    print("| reward | tokens before | last checkpoint | kept | VADER before | last checkpoint | kept |")
    print("|---|---|---|---|---|---|---|")
    for name, bias in (("as it is", None), ("corrected", str(file.absolute()))):
        summary = trained(given.folder / name.replace(" ", "_"), bias, given)
        print(f"| {name} | {' | '.join(_cells(summary))} |", flush=True)


def measured(pairs: int, tokens: int, seed: int) -> BiasCorrection:
    """The excess of the planted judge over people, on two of the policy's responses to each prompt."""
    prompts = read_prompts(PROMPTS)[:pairs]
    policy = Policy(LocalModel(load("embedded")), TuningSettings(rank=1), seed=0)
    seeds = [derive_seed(seed, "pairs", prompt.id) for prompt in prompts]
    groups = policy.sample(prompts, 2, tokens, 0.9, seeds)
    asked = [Comparison(id=g.prompt.id, prompt=g.prompt, a=g.responses[0], b=g.responses[1]) for g in groups]
    with Judge("embedded", CONSTITUTION, settings=PairwiseSettings(shown="alone")) as judge:
        scores = judge.score_many([(c.prompt, response) for c in asked for response in (c.a, c.b)])
        compared = [each for each in judge.compare_many(asked[:5]) if isinstance(each, Preference)]
    fitted = fit_correction(labelled(asked, scores, compared[0], seed))
    return fitted.model_copy(update={"score": fitted.preference})  # its log-odds are those of scores


def labelled(
    asked: Sequence[Comparison], scores: Sequence[Score | JudgeFailure], like: Preference, seed: int
) -> list[tuple[Preference, HumanLabel]]:
    """The planted judge's preferences, and the labels of people who go by the scores alone.

    Args:
        like: a preference of the same judge, which says who it is.
    """
    rng, pairs = np.random.default_rng(seed), list[tuple[Preference, HumanLabel]]()
    for each, a, b in zip(asked, scores[::2], scores[1::2], strict=True):
        if isinstance(a, JudgeFailure) or isinstance(b, JudgeFailure):
            continue
        by_people = a.log_odds - b.log_odds
        p_a = sigmoid(by_people + PLANTED * (length(each.a.text) - length(each.b.text)))
        shown = Presentation(order="ab", p_a=p_a, verdict=Verdict(probabilities={"1": 1.0}, choice_mass=1.0))
        preference = Preference(comparison=each, p_a=p_a, rater=like.rater, presentations=(shown,))
        share = float(rng.binomial(RATERS, sigmoid(by_people))) / RATERS
        pairs.append((preference, HumanLabel(p_a=share)))
    return pairs


def trained(folder: Path, bias: str | None, given: Any) -> RunSummary:
    """The summary of a run, which is resumed if it was interrupted."""
    if (folder / "recipe.toml").exists():
        return preceptor.resume(folder).summary
    judge = {"constitution": CONSTITUTION, **({} if bias is None else {"bias": bias})}
    recipe = LengthLover.recipe(
        prompts=PROMPTS,
        judge=judge,
        seed=given.seed,
        rl={
            "steps": given.steps,
            "max_new_tokens": given.tokens,
            "learning_rate": 1e-3,
            "warmup_steps": min(4, given.steps - 1),
            "kl_coefficient": 0.1,
        },
        evaluation={
            "heldout_share": 0.4,
            "samples_per_prompt": 1,
            "checkpoint_every": max(1, given.steps // 2),
            "stop_early": False,
        },
    )
    return run(recipe, out=folder).summary


def _cells(summary: RunSummary) -> list[str]:
    points: list[Measures] = [summary.evaluation.before, summary.curve[-1], summary.evaluation.after]
    tokens = [estimate(point.tokens_mean.overall, 1) for point in points]
    return [*tokens, *(estimate(point.heldout_score.overall, 2) for point in points)]


if __name__ == "__main__":
    main()
