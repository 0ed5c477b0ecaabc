"""What the tables of policies say of how they were made: the plan before, and the differences from the paper after."""

from collections.abc import Sequence

from preceptor.methods.paper.numbers import Task
from preceptor.methods.paper.policies.ways import DIRECT, MIXED, RLHF, SAME_SIZE, check_recipes, policy_task, ways_of
from preceptor.methods.paper.table import Setup
from preceptor.methods.paper.words import named
from preceptor.store.prompts import read_prompts


def plan_of_task(setup: Setup, task: Task) -> str:
    """What training and comparing a task's policies is, in a sentence.

    Raises: UsageError when the scale's settings cannot be run here.
    """
    check_recipes(setup, task)
    scale, rl = setup.scale.policies, setup.scale.policies.rl
    model = setup.scale.reward_model_for(task)
    start = "" if setup.data.file(task, "demonstrations") is None else "SFT, then "
    return (
        f"{task}: {start}{', '.join(ways_of(setup, task))}; {_steps(setup, task)} steps of {rl.prompts_per_step} "
        f"prompts × {rl.group_size} responses of at most {rl.max_new_tokens} tokens by {rl.algorithm}, {rl.optimizer} "
        f"at {rl.learning_rate:g}, T {rl.temperature:g}, β {rl.kl_coefficient:g}, on the engine {scale.engine.name}; "
        f"reward models in {model.epochs} epochs of batches of {model.batch_size} by {model.optimizer} at "
        f"{model.learning_rate:g}; at most {scale.test_prompts:,} test prompts, judged by {named(setup.measured_by)}."
    )


def differences(setup: Setup, tasks: Sequence[Task]) -> tuple[str, ...]:
    """How these policies differ from the paper's, sentence by sentence."""
    rl, first = setup.scale.policies.rl, policy_task(setup)
    ways = {way for task in tasks for way in ways_of(setup, task)}
    said = [
        "A judge compares the policies, where people ranked them in the paper; periods and spaces at the ends of "
        "responses are removed before, for all policies alike.",
        "Of each run, the four checkpoints with the highest rewards of training are candidates, and the one that this "
        "judge scores highest on validation prompts is its result; the paper also looked at a dozen examples.",
    ]
    if rl.algorithm != "reinforce":
        said.append(
            f"TRL has no REINFORCE with a learnt baseline; the baseline of {rl.algorithm.upper()} is the mean of the "
            "other responses to the same prompt."
        )
    if first in tasks and first != "summaries":
        said.append(f"The paper trained all of these policies on summaries; here it is the task {first}.")
    if MIXED in ways:
        said.append(f"{MIXED}: the pairs of AI labels are both sampled by SFT; in the paper, by RLHF and SFT.")
    if SAME_SIZE in ways or DIRECT in ways:
        said.append(f"{SAME_SIZE} and {DIRECT} are judged by {named(setup.policy)}, from which the policies start.")
    said += [
        f"{task}: no people compared responses, so the labeller compares pairs that SFT sampled, and {RLHF} is not run."
        for task in tasks
        if setup.data.file(task, "preferences") is None
    ]
    if setup.scale.name != "paper":
        said.append(
            f"Scale {setup.scale.name}: {_steps(setup, tasks[0])} steps of "
            f"{rl.prompts_per_step * rl.group_size} responses; the paper trained for 8 epochs in batches of 128."
        )
    return tuple(said)


def _steps(setup: Setup, task: Task) -> str:
    """The number of RL steps; an estimate where it depends on the prompts."""
    scale, file = setup.scale.policies, setup.data.file(task, "prompts")
    if scale.passes is None or file is None:
        return f"{scale.rl.steps:,}"
    prompts = len(read_prompts(str(file)))
    rest = prompts - min(scale.test_prompts, prompts // 3)
    training = round(rest * (1.0 - scale.evaluation.heldout_share))
    return f"about {scale.rl_for(min(training, scale.training_prompts or training)).steps:,}"
