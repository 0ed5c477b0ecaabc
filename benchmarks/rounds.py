"""Rounds of DPO on the quick start's task: `python -m benchmarks.rounds FOLDER [--held-out MODEL] [--rounds N] ...`.

The embedded model learns the quick start's warm tone by DPO in three rounds. In the first run the untrained embedded
model is the judge of every round, and VADER measures. With --held-out, a second run follows in which the policy judges
itself; MODEL, which must be another one, is then the held-out judge. The tables say what each round gained over the
untrained model, with 95% intervals over prompts; VADER's gain is there for both, from the same test responses. All
rounds are run; a line says where the stopping rule would have ended. Finished rounds in the folder are read, others go
on.
"""

import argparse
from pathlib import Path
from typing import Any

import preceptor
from preceptor.core.numbers import estimate, number
from preceptor.evaluation.checkpoints.rounds import why_no_further
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, Snapshot, differences
from preceptor.evaluation.intervals import Estimate, mean_by_prompt
from preceptor.judging.text_features import vader
from preceptor.methods.dpo import Dpo
from preceptor.results.rounds import RoundRecord
from preceptor.runs.directory import RunDirectory

COLUMNS = (
    "round", "gain, validation", "gain, test", "VADER's gain, test", "its judge's score, change", "agreement",
    "KL to the first", "perplexity", "labels", "earlier", "kept step",
)  # fmt: skip


def main() -> None:
    """Runs the rounds and prints a table of each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--held-out", metavar="MODEL", help="another model, which measures the self-rewarding run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=180)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--earlier-labels", type=float, default=0.0)
    parser.add_argument("--reference", choices=("last", "first"), default="last")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(
        table("a fixed judge, measured by VADER", done(given.folder / "fixed", settings_of(given, "fixed"))), flush=True
    )
    if given.held_out is None:
        print("\nSelf-rewarding was not run: it needs --held-out MODEL.")
        return
    own = settings_of(given, "policy")
    own["evaluation"]["judge"] = {"model": given.held_out}
    print(table(f"the policy as its judge, measured by {given.held_out}", done(given.folder / "self", own)))


def settings_of(given: Any, judge: str) -> dict[str, Any]:
    """The settings of a run: the quick start's task and bounds, few pairs, and checkpoints three times a round."""
    return {
        "policy": "embedded",
        "prompts": "package:everyday_prompts_short",
        "limit": given.prompts,
        "seed": given.seed,
        "rounds": {
            "count": given.rounds,
            "reference": given.reference,
            "judge": judge,
            "earlier_labels": given.earlier_labels,
        },
        "judge": {"model": "embedded", "constitution": "warm_tone", "variant": "scored"},
        "preferences": {"samples_per_prompt": 2, "max_new_tokens": 32},
        "dpo": {
            "epochs": given.epochs,
            "batch_size": 16,
            "learning_rate": given.learning_rate,
            "warmup_steps": 2,
            "gradient_accumulation_steps": 1,
        },
        "evaluation": {
            "heldout_share": 0.4,
            "validation_share": 0.4,
            "samples_per_prompt": 1,
            "checkpoint_every": 5,
            "stop_early": False,
            "bounds": {"max_kl": 15.0, "max_perplexity_ratio": 1.2, "min_distinct_ratio": 0.85},
        },
    }


def done(folder: Path, settings: dict[str, Any]) -> preceptor.RunResult:
    """The run in a folder, made or resumed."""
    if (folder / "recipe.toml").exists():
        return preceptor.resume(folder)
    return preceptor.run(Dpo.recipe(**settings), out=folder)


def table(title: str, run: preceptor.RunResult) -> str:
    """What each round gained, where the rule would have stopped, and the result."""
    record = run.summary.rounds
    assert record is not None  # the recipe has rounds
    before = test_responses(run, 1, "before")
    rows = [row(each, vader_gain(before, test_responses(run, each.number, "after"))) for each in record.rounds]
    stops = [why for done in range(1, len(record.rounds)) if (why := why_no_further(record.rounds[:done]))]
    return "\n".join(
        [
            f"\n{title}; {run.summary.prompts.training} training, {run.summary.prompts.validation} validation, "
            f"{run.summary.prompts.test} test prompts; {run.summary.wall_s:.0f} s\n",
            f"| {' | '.join(COLUMNS)} |",
            "|---" * len(COLUMNS) + "|",
            *rows,
            "",
            f"The rule: {stops[0] if stops else 'no reason to stop before the last round'}. Kept: round {record.best}.",
            run.headline,
            *(f"! {warning}" for warning in run.warnings),
        ]
    )


def row(each: RoundRecord, by_vader: Estimate | None) -> str:
    """A row of the table."""
    cells = (
        str(each.number),
        estimate(each.gain, signed=True),
        estimate(each.test_gain, signed=True),
        estimate(by_vader, signed=True),
        estimate(each.judge_change, signed=True),
        number(each.judge_agreement),
        estimate(each.kl, 1),
        number(each.perplexity_ratio),
        str(each.labels),
        str(each.earlier_labels),
        f"{each.kept_step} of {each.steps}",
    )
    return f"| {' | '.join(cells)} |"


def test_responses(run: preceptor.RunResult, number: int, when: str) -> Snapshot:
    """The responses of a round to the test prompts, before or after it."""
    round_ = RunDirectory.open(run.directory.round_folder(number))
    summary = round_.finished()
    assert summary is not None  # all rounds are finished
    data = round_.report_data(summary)
    return data.before if when == "before" else data.after


def vader_gain(before: Snapshot, after: Snapshot) -> Estimate | None:
    """The mean change of VADER's score, paired by prompt."""

    def score(response: MeasuredResponse) -> float:
        return vader(response.text)

    return mean_by_prompt([[each] for each in differences(before, after, score).values()])


if __name__ == "__main__":
    main()
