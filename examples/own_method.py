"""A method of your own: a program, and a schema of its recipes that also describes it. preceptor is not changed.

Rejection sampling: the policy responds to every training prompt, a judge scores the responses, and the policy is
fine-tuned on those with a score above a threshold.

    python examples/own_method.py                  with the embedded model, in about a minute on two cores
    preceptor run examples/own_method.toml         the same, from a recipe file that names this class
    preceptor run --resume DIRECTORY               continues any run after Ctrl-C or a crash

Copy it, and keep what the class `Method` requires: `schema` and `run`. Each stage of `run` is done once: its
result is saved, and a resumed run skips it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from preceptor.core.seeds import derive_seed
from preceptor.core.types import Frozen, Integer, Real, Tokens
from preceptor.methods.base import Method
from preceptor.methods.parts.fine_tuning import end_fine_tuned, fine_tune, measure_before
from preceptor.methods.run import run
from preceptor.recipes.base import Decoding, Recipe
from preceptor.recipes.settings import JudgeSettings
from preceptor.results.run import RunSummary
from preceptor.runs.judge import RunJudge, judging
from preceptor.runs.session import Session
from preceptor.store.demonstrations import Demonstration
from preceptor.store.files import read_rows, write_rows
from preceptor.training.policy import Policy
from preceptor.training.rl.rewards import JudgeReward
from preceptor.training.sft.settings import SftSettings


class RejectionSettings(Frozen):
    """The table [rejection]: which responses the policy learns."""

    samples: Integer = Field(default=4, ge=1, le=1_000)
    """Responses to each training prompt."""
    threshold: Real = 0.0
    """Responses with a higher score are kept."""
    max_new_tokens: Tokens = 40


class RejectionRecipe(Recipe):
    """The settings of this method, besides those of every recipe."""

    title = "rejection sampling"
    chooses_checkpoint = False  # the result is one fine-tuned model

    judge: JudgeSettings = JudgeSettings()
    rejection: RejectionSettings = RejectionSettings()
    fine_tuning: SftSettings = SftSettings()

    @property
    def decoding(self) -> Decoding:
        """How the responses are sampled."""
        return Decoding(self.rejection.max_new_tokens)

    def describe(self, summary: RunSummary) -> Iterator[str]:
        """Describes the method for the report."""
        settings = self.rejection
        yield f"The policy answered each training prompt {settings.samples} times and a judge scored the answers."
        yield f"The policy was fine-tuned on those with a score above {settings.threshold:g}."

    def results(self, summary: RunSummary) -> dict[str, str]:
        """The result of this method's own stage for the report."""
        stage = summary.own_stages["rejection"]
        return {"Kept": f"{stage['kept']} of {stage['responses']} responses"}


class Rejection(Frozen):
    """How many responses were sampled, and how many of them are kept."""

    responses: int
    kept: int


class RejectionSampling(Method[RejectionRecipe]):
    """The policy learns its own responses that a judge likes."""

    schema = RejectionRecipe

    def run(self, session: Session, recipe: RejectionRecipe) -> RunSummary:
        """Measures the policy, samples and judges, fine-tunes on the kept responses, and measures again."""
        prompts = session.split()
        policy = session.open_policy(recipe.policy)
        with judging(session) as judge:
            grader = judge and judge.grader
            before = measure_before(session, policy, prompts, grader)
            path = session.directory.path / "kept.jsonl"

            def sample() -> Rejection:  # in the main process
                assert judge is not None
                return _sample(recipe, policy, judge, prompts.training, path)

            session.stage("rejection", "sampling and judging responses", Rejection, sample)
            by_id = {prompt.id: prompt for prompt in prompts.training}
            kept = [
                Demonstration(by_id[str(row["prompt"])], str(row["text"]), finished=bool(row["finished"]))
                for row in read_rows(path)
            ]
            fine_tune(session, "fine_tuning", recipe.policy, kept, recipe.fine_tuning)
            return end_fine_tuned(session, "fine_tuning", recipe.policy, before, prompts, judge, grader)


def _sample(recipe: RejectionRecipe, policy: Policy, judge: RunJudge, prompts: list[Any], path: Path) -> Rejection:
    """Writes the responses that are kept, and returns how many they are."""
    settings, decoding = recipe.rejection, recipe.decoding
    seeds = [derive_seed(recipe.seed, "rejection", prompt.id) for prompt in prompts]
    groups = policy.sample(prompts, settings.samples, decoding.max_new_tokens, decoding.temperature, seeds)
    rewards = JudgeReward(judge.scorer, judge.reward_kind)(groups)
    rows = [
        {"prompt": group.prompt.id, "text": response.text, "finished": response.finished}
        for group, rewards_G in zip(groups, rewards, strict=True)
        for response, reward in zip(group.responses, rewards_G, strict=True)
        if reward is not None and reward > settings.threshold and response.text.strip()
    ]
    write_rows(path, rows)
    return Rejection(responses=len(prompts) * settings.samples, kept=len(rows))


def main() -> None:
    """Runs the method with the embedded model; with --quick, as small as possible."""
    quick = "--quick" in sys.argv[1:]
    recipe = RejectionSampling.recipe(
        limit=16 if quick else 40,
        rejection={"samples": 2 if quick else 4, "max_new_tokens": 8 if quick else 24},
        fine_tuning={"batch_size": 8, "epochs": 1, "learning_rate": 3e-4},
        evaluation={"heldout_share": 0.5, "samples_per_prompt": 1, "references": "package:reference_answers"},
    )
    result = run(recipe)  # out="own-run" would keep the run and its report
    print(result.headline)


if __name__ == "__main__":
    main()
