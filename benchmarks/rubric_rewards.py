"""Rubrics as rewards: `python -m benchmarks.rubric_rewards FOLDER [--steps N] [--samples N] [--seed N]`.

The embedded model learns by GRPO from rubrics, with itself as the judge of the items that no code checks. Half of the
prompts ask for one short sentence, half for a numbered list, so their rubrics pull in opposite directions. A second run
has the same rubrics, each on another prompt: what it learns is what the rubrics have in common, whatever is asked. Both
policies, and the one before training, then answer all prompts, and the true rubrics judge the answers.

The table says, for each tag of items, the share that is met (of faults: avoided) and its change with a 95 % interval
over prompts. Most of the prompts were trained on; the others are listed apart.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import preceptor
from preceptor.backends.resolve import open_model
from preceptor.backends.transformers.loading import load
from preceptor.backends.transformers.model import LocalModel
from preceptor.core.hashing import unit_hash
from preceptor.core.seeds import derive_seed
from preceptor.core.types import JudgeFailure, Prompt
from preceptor.evaluation.policies.cohorts import Change, PairedValues, changes
from preceptor.evaluation.policies.rubric_items import RubricAnswer, items_met, rubric_measures
from preceptor.judging.rubrics.judge import RubricJudge
from preceptor.runs.inputs import split_held_out
from preceptor.store.ledger import Ledger
from preceptor.store.prompts import read_prompts
from preceptor.training.policy import Policy
from preceptor.training.tuning import TuningSettings

PROMPTS = Path(__file__).parents[1] / "examples/health_rubrics.jsonl"
RECIPE = PROMPTS.with_suffix(".toml")
TOKENS, HELD_OUT = 48, 0.35
"""As in the recipe."""


def main() -> None:
    """Trains both policies and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    files = {"rubrics": given.prompts, "shuffled": shuffled(given.prompts, given.folder / "shuffled.jsonl")}
    policies = {"before": "embedded"}
    for name, prompts in files.items():
        policies[name] = str(trained(given.folder / name, prompts, given.steps, given.seed))
    prompts = read_prompts(str(given.prompts))
    answers = {name: answered(name, model, prompts, given.samples) for name, model in policies.items()}
    judged = by_rubric(answers, given.folder / "ledger.sqlite")
    _, held_out = split_held_out(prompts, HELD_OUT)
    unseen = {prompt.id for prompt in held_out}
    for title, ids in (("all prompts", None), ("held-out prompts alone", unseen)):
        print(f"\n{title}, {len(prompts) if ids is None else len(ids)}, {given.samples} responses each")
        print(table(judged, ids))


def shuffled(prompts: Path, path: Path) -> Path:
    """The same prompts, each with the rubric of another."""
    rows = [json.loads(line) for line in prompts.read_text(encoding="utf-8").splitlines()]
    order = sorted(range(len(rows)), key=lambda place: unit_hash("shuffled", place))
    rubrics = {order[i]: rows[order[i - 1]]["rubrics"] for i in range(len(order))}
    moved = [row | {"rubrics": rubrics[place]} for place, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in moved), encoding="utf-8")
    return path


def trained(folder: Path, prompts: Path, steps: int, seed: int) -> Path:
    """The merged model of a run, which is resumed if it was interrupted."""
    if not (folder / "recipe.toml").exists():
        preceptor.run(RECIPE, prompts=str(prompts), out=folder, merge=True, rl={"steps": steps}, seed=seed)
    else:
        preceptor.resume(folder, merge=True)
    return folder / "merged"


def answered(name: str, model: str, prompts: Sequence[Prompt], samples: int) -> list[tuple[Prompt, Any]]:
    """Responses of a policy. The same random numbers for each of them."""
    policy = Policy(LocalModel(load(model)), TuningSettings(rank=1), seed=0)
    seeds = [derive_seed(0, "answer", prompt.id) for prompt in prompts]
    groups = policy.sample(prompts, samples, TOKENS, 0.9, seeds)
    return [(group.prompt, r.model_copy(update={"policy": name})) for group in groups for r in group.responses]


def by_rubric(answers: Mapping[str, Sequence[tuple[Prompt, Any]]], ledger: Path) -> list[RubricAnswer]:
    """What became of each item of each response; a failed response is left out and said so."""
    pairs = [pair for of_policy in answers.values() for pair in of_policy]
    with Ledger(ledger) as calls:
        scores = RubricJudge(open_model("embedded"), calls).score(pairs)
    failed = sum(isinstance(score, JudgeFailure) for score in scores)
    print(f"{failed} of {len(scores)} responses could not be scored")
    return [
        RubricAnswer(
            response.policy,
            prompt.id,
            prompt.cohort,
            items_met(prompt.rubric, [item.met for item in score.items]),
            score.expectation,
        )
        for (prompt, response), score in zip(pairs, scores, strict=True)
        if not isinstance(score, JudgeFailure) and prompt.rubric is not None
    ]


def table(judged: Sequence[RubricAnswer], ids: set[str] | None) -> str:
    """Before and after by tag, for both runs."""
    inside = [answer for answer in judged if ids is None or answer.prompt_id in ids]
    measures = [m for m in rubric_measures(inside) if not m.name.startswith("rubric item:")]
    lines = ["| items | before | own rubrics | change | shuffled | change |", "|---|---|---|---|---|---|"]
    for measure in measures:
        values = {name: _by_prompt(measure.texts, name) for name in ("before", "rubrics", "shuffled")}
        own, other = changes([_paired(measure.name, values, name) for name in ("rubrics", "shuffled")])
        said = [measure.name, f"{own.before.value:.2f}", *_shown(own), *_shown(other)]
        lines.append(f"| {' | '.join(said)} |")
    return "\n".join(lines)


def _by_prompt(texts: Sequence[Any], policy: str) -> dict[str, float]:
    of_prompt: dict[str, list[float]] = {}
    for text in texts:
        if text.policy == policy:
            of_prompt.setdefault(text.prompt_id, []).append(text.value)
    return {prompt: fmean(values) for prompt, values in of_prompt.items()}


def _paired(measure: str, values: Mapping[str, Mapping[str, float]], policy: str) -> PairedValues:
    before, after = values["before"], values[policy]
    shared = [prompt for prompt in before if prompt in after]
    both = [before[p] for p in shared], [after[p] for p in shared]
    return PairedValues("all", measure, policy, "before", *both, kind="share")


def _shown(change: Change) -> tuple[str, str]:
    low, high = change.change.low, change.change.high
    interval = "" if low is None or high is None else f" [{low:+.2f}, {high:+.2f}]"
    return f"{change.after.value:.2f}", f"{change.change.value:+.2f}{interval}"


if __name__ == "__main__":
    main()
