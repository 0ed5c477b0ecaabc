"""An agent learns the calculator: `python -m benchmarks.agent FOLDER [--steps N] [--seeds N ...] [--tasks N] ...`.

The embedded model first learns a few demonstrations, because by itself it calls no tool and is never rewarded. From
then on the recipe `agent` trains it with each seed, and so does a control whose rewards are shuffled within each step:
what the control gains, it does not owe to the rewards. The table says how many of the held-out tasks are done before
and after, with 95 % intervals over tasks. Finished runs in the folder are read, interrupted ones go on.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import preceptor
from benchmarks.shuffled_agent import ShuffledAgent
from preceptor.core.numbers import estimate, number
from preceptor.core.types import Prompt
from preceptor.environments.calculator_solutions import demonstration_lines
from preceptor.environments.loading import load_environment
from preceptor.environments.packaged import PACKAGED, task_lines
from preceptor.methods.agent import Agent
from preceptor.recipes.agent import AgentRecipe
from preceptor.store.demonstrations import read_demonstrations
from preceptor.store.prompts import read_prompts, split_held_out
from preceptor.training.sft.settings import SftSettings
from preceptor.training.sft.train import train_sft
from preceptor.training.tuning import TuningSettings

HELD_OUT, REFERENCES = 0.5, 12


def main() -> None:
    """Fine-tunes, trains and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", type=int, default=80)
    parser.add_argument("--demonstrations", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2, help="passes over the demonstrations")
    parser.add_argument("--prompts", type=int, default=4, help="tasks of a step")
    parser.add_argument("--group", type=int, default=4, help="episodes of a task in a step")
    parser.add_argument("--samples", type=int, default=2, help="episodes of a held-out task before and after")
    given = parser.parse_args()
    folder: Path = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    tasks = PACKAGED["calculator_easy"]()[: given.tasks]
    prompts = folder / "tasks.jsonl"
    prompts.write_text(task_lines(tasks), encoding="utf-8")
    references = read_prompts("package:reference_answers", REFERENCES)
    prompts.with_name("references.jsonl").write_text(task_lines(references), encoding="utf-8")
    training, _ = split_held_out(tasks, HELD_OUT)
    warm = fine_tuned(folder / "warm", training[: given.demonstrations], given.epochs)
    print("| rewards | seed | before | after | change | kept | reward of the first steps | of the last |", flush=True)
    for name, method in (("own", Agent), ("shuffled", ShuffledAgent)):
        for seed in given.seeds:
            recipe = method.recipe(**settings_of(warm, prompts, seed, given))
            print(row(name, seed, done(folder / f"{name}-{seed}", recipe)), flush=True)


def fine_tuned(folder: Path, tasks: Sequence[Prompt], epochs: int) -> str:
    """The embedded model after some demonstrations; a finished one is kept."""
    shown = folder.with_suffix(".jsonl")
    shown.write_text(demonstration_lines(tasks), encoding="utf-8")
    demonstrations, _ = read_demonstrations(shown)
    learning = SftSettings(
        epochs=epochs, batch_size=4, learning_rate=3e-4, warmup_steps=0, gradient_accumulation_steps=1
    )
    return str(
        train_sft(
            "embedded",
            demonstrations,
            TuningSettings(rank=16),
            learning,
            folder=folder,
            seed=0,
            on_log=lambda facts: print(json.dumps(facts), flush=True),
            on_note=print,
            tools=load_environment("calculator").tools,
        )
    )


def settings_of(policy: str, prompts: Path, seed: int, given: Any) -> dict[str, Any]:
    """The settings of a run, the same with own and with shuffled rewards."""
    return {
        "policy": policy,
        "prompts": str(prompts),
        "seed": seed,
        "environment": {"name": "calculator"},
        "turns": {"max_turns": 3},
        "rl": {
            "algorithm": "rloo",
            "steps": given.steps,
            "prompts_per_step": given.prompts,
            "group_size": given.group,
            "max_new_tokens": 112,
            "temperature": 1.0,
            "learning_rate": 3e-4,
            "kl_coefficient": 0.01,
        },
        "tuning": {"rank": 16},
        "evaluation": {
            "heldout_share": HELD_OUT,
            "validation_share": 0.25,
            "checkpoint_every": given.steps,
            "samples_per_prompt": given.samples,
            "stop_early": False,
            "references": str(prompts.with_name("references.jsonl")),
        },
    }


def done(folder: Path, recipe: AgentRecipe) -> preceptor.RunResult:
    """The run in a folder, made or resumed."""
    return preceptor.resume(folder) if (folder / "recipe.toml").exists() else preceptor.run(recipe, out=folder)


def row(name: str, seed: int, run: preceptor.RunResult) -> str:
    """A run as a row of a table."""
    of_run, rows = run.summary.evaluation, run.metrics
    first, last = rows[: max(1, len(rows) // 3)], rows[-max(1, len(rows) // 3) :]
    trained = [number(sum(r["reward"] or 0.0 for r in part) / len(part)) for part in (first, last)]
    change = estimate(run.held_out_change, signed=True)
    measured = [estimate(m.heldout_score.overall) for m in (of_run.before, of_run.after)]
    kept = f"step {run.summary.best_step}"
    return f"| {' | '.join([name, str(seed), *measured, change, kept, *trained])} |"


if __name__ == "__main__":
    main()
