"""The prompts that policies are evaluated on."""

from collections.abc import Sequence
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.core.types import Prompt
from preceptor.recipes.environments import EnvironmentSettings
from preceptor.results.run import UsablePrompts
from preceptor.runs.directory import RunDirectory
from preceptor.runs.inputs import check_split, read_inputs
from preceptor.runs.lineage import as_run, run_around
from preceptor.store.prompt_sets import check_unique, read_prompt_sets
from preceptor.store.prompts import split_held_out
from preceptor.store.responses import read_responses
from preceptor.tasks.evaluate.policies import EvaluatedPolicy

HELD_OUT = "held-out"
"""Given in place of a prompt file, this name stands for the prompts that come with a policy."""


def read_evaluation_prompts(
    policies: Sequence[EvaluatedPolicy], named: Sequence[str], limit: int | None = None
) -> list[Prompt]:
    """The prompts of an evaluation.

    Args:
        named: prompt files, `COHORT=FILE` to put all prompts of a file into a cohort, and `held-out` for the prompts
            that come with a policy. If empty, only the latter.
        limit: how many prompts of each file to use, from the first.

    Raises: UsageError if none are named and no policy comes with prompts.
    """
    files = [text for text in named if text != HELD_OUT]
    own = _own_prompts(policies)[:limit] if len(files) < len(named) or not files else []
    return check_unique([*own, *read_prompt_sets(files, limit)])


def prompt_owner(policies: Sequence[EvaluatedPolicy]) -> EvaluatedPolicy:
    """The policy that the prompts come from: the first run, else the first file of responses, else the first checkpoint
    of a run.

    Raises: UsageError if no policy comes with prompts.
    """
    brings = (
        lambda policy: as_run(policy.source) is not None,
        lambda policy: policy.is_file,
        lambda policy: run_around(policy.source) is not None,
    )
    for rule in brings:
        for policy in policies:
            if rule(policy):
                return policy
    raise UsageError("no prompts: give some, or a run or a file of responses among the policies")


def _own_prompts(policies: Sequence[EvaluatedPolicy]) -> list[Prompt]:
    owner = prompt_owner(policies)
    if owner.is_file:
        return [prompt for prompt, _ in read_responses(Path(owner.source))]
    run = run_around(owner.source)
    assert run is not None  # a policy with prompts is a file, or belongs to a run
    if run.recipe.table(EnvironmentSettings) is not None:
        raise UsageError(
            f"{owner.source}: this run trained an agent, and its tasks need the tools of its environment, while an "
            "evaluation asks for single answers. The run's report has its success before and after, and `preceptor "
            f"sweep {run.path}` measures every checkpoint in the environment, also on other tasks. To compare single "
            "answers, name prompts that need no tools"
        )
    return prompts_of_run(run)


def prompts_of_run(run: RunDirectory) -> list[Prompt]:
    """The test prompts of a run that fit its policy's context window. For a run of an early version, which had no test
    prompts, all prompts that it did not train on.
    """
    inputs, stage = read_inputs(run.recipe), run.stage_result("prompts", UsablePrompts)
    fitting = None if stage is None else set(stage.usable)
    usable = [prompt for prompt in inputs.prompts if fitting is None or prompt.id in fitting]
    if not run.has_test_prompts:
        return split_held_out(usable, run.recipe.evaluation.heldout_share)[1]
    return check_split(usable, run.recipe).test
