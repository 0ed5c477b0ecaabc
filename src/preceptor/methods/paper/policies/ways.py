"""The paper's ways of training a policy: their names, and the settings by which each differs from the others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preceptor.judging.specs import JudgeSpec
from preceptor.methods.arms import Arm
from preceptor.methods.paper.asking import asked
from preceptor.methods.paper.data import CONSTITUTIONS
from preceptor.methods.paper.numbers import Task
from preceptor.methods.paper.policies.prompts import LEARNT, REFERENCES, RUNS
from preceptor.methods.paper.table import Setup
from preceptor.methods.run import with_settings
from preceptor.recipes.base import Recipe
from preceptor.recipes.load import compose
from preceptor.training.rl.settings import RLSettings

SFT = "SFT"
RLHF = "RLHF"
RLAIF = "RLAIF"
SAME_SIZE = "same-size RLAIF"
DIRECT = "direct RLAIF"
MIXED = "RLHF + RLAIF"
BASE_LABELS = "RLAIF (base prompt)"
UNSTRIPPED = "RLAIF (ends as they are)"
NEED_PEOPLE = (RLHF, MIXED)
"""The ways that learn from people's comparisons."""
ALL = (RLHF, RLAIF, SAME_SIZE, DIRECT, MIXED, BASE_LABELS, UNSTRIPPED)
IN_ALL_TASKS = (RLHF, RLAIF)
"""The ways that the paper runs on all its tasks, and not on summaries alone."""
FROM_LABELS = "rlhf"
"""The recipe of all ways that learn from labels: RLAIF in which no judge takes part, whoever made the labels."""
STRIPPED: dict[str, Any] = {"reward_processing": {"strip": "periods_and_spaces"}}


def policy_task(setup: Setup) -> Task | None:
    """The task whose policies are trained in every way: the paper's summaries, or what stands in for them. A task with
    people's comparisons comes before one without. None where there are no prompts.
    """
    asking: list[Task] = [task for task in setup.data.tasks_with("prompts") if task != "harmless"]
    compared: list[Task] = [task for task in asking if setup.data.file(task, "preferences") is not None]
    return (*compared, *asking, None)[0]


def win_rate_tasks(setup: Setup) -> list[Task]:
    """The tasks in which policies are compared by win rates."""
    first = policy_task(setup)
    others: list[Task] = [task for task in setup.data.tasks_with("prompts") if task not in ("harmless", first)]
    return [] if first is None else [first, *(others if setup.scale.policies.other_tasks else [])]


def ways_of(setup: Setup, task: Task) -> list[str]:
    """The ways in which a task's policies are trained, as far as there are people's comparisons for them."""
    wanted = ALL if task == policy_task(setup) else IN_ALL_TASKS
    known = setup.data.file(task, "preferences") is not None
    return [way for way in wanted if known or way not in NEED_PEOPLE]


def labelled_by(setup: Setup, task: Task, way: str) -> JudgeSpec | None:
    """The judge whose labels a way learns from; None for one that learns from no AI label."""
    if way in (RLHF, DIRECT):
        return None
    if way == SAME_SIZE:
        return asked(setup.policy, task, setup.scale, _asked(setup, way))
    return asked(setup.labeller, task, setup.scale, _asked(setup, way))


def _asked(setup: Setup, way: str) -> str:
    return "base" if way == BASE_LABELS else setup.scale.policies.way


def recipe_of_sft(setup: Setup, data: Path) -> Recipe:
    """The fine-tuning from which all ways start.

    Args:
        data: the folder with the task's prompts and demonstrations.

    Raises: UsageError when the settings cannot be run.
    """
    scale = setup.scale.policies
    measuring = {
        "max_new_tokens": scale.rl.max_new_tokens,
        "temperature": scale.rl.temperature,
        "references": str(data / REFERENCES),
    }
    settings = {
        "policy": setup.policy,
        "prompts": str(data / RUNS),
        "seed": setup.seed,
        "sft": scale.sft.model_dump(exclude_unset=True) | {"demonstrations": str(data / LEARNT)},
        "tuning": setup.scale.tuning.model_dump(),
        "evaluation": scale.evaluation.model_dump(exclude_unset=True) | measuring,
        "engine": scale.engine.model_dump(exclude_none=True),
    }
    return with_settings("sft", settings)


def check_recipes(setup: Setup, task: Task) -> None:
    """Checks the recipes of a task's policies, before there are models and labels.

    Raises: UsageError that says which setting cannot be run here.
    """
    nowhere = Path("to come")
    recipe_of_sft(setup, nowhere).check()
    common = common_settings(setup, task, setup.policy, nowhere, setup.scale.policies.rl)
    for way in ways_of(setup, task):
        recipe_of(common, arm_of(setup, task, way, nowhere, nowhere)).check()


def common_settings(setup: Setup, task: Task, policy: str, data: Path, rl: RLSettings) -> dict[str, Any]:
    """The settings of all ways of training a task's policies. No licence is asked for: that a judge is too weak is what
    the tables are to show.

    Args:
        policy: the fine-tuned policy.
        data: the folder with the task's prompts.
        rl: with the number of steps for these prompts.
    """
    scale = setup.scale
    return {
        "policy": policy,
        "prompts": str(data / RUNS),
        "tuning": scale.tuning.model_dump(mode="json"),
        "evaluation": _evaluation(setup, task) | {"references": str(data / REFERENCES)},
        "engine": scale.policies.engine.model_dump(mode="json", exclude_none=True),
        "rl": rl.model_dump(mode="json", exclude_unset=True) | {"steps": rl.steps},
        "reward_model": scale.reward_model_for(task).model_dump(mode="json", exclude_unset=True),
        "licence": {"waived": True},
    }


def recipe_of(common: Mapping[str, object], arm: Arm, seed: int = 0) -> Recipe:
    """The recipe of one way of training.

    Raises: UsageError that says which setting is wrong.
    """
    return compose(arm.recipe, {**common, "seed": seed}, arm.settings, arm.name)


def _evaluation(setup: Setup, task: Task) -> dict[str, Any]:
    judge = {"model": setup.measured_by, "constitution": CONSTITUTIONS[task]}
    return setup.scale.policies.evaluation.model_dump(mode="json", exclude_unset=True) | {"judge": judge}


def arm_of(setup: Setup, task: Task, way: str, people: Path | None, labels: Path | None) -> Arm:
    """One way of training. Labels exist before the runs, so no run but that of direct RLAIF opens a judge to train.

    Args:
        people: people's comparisons; None if there are none.
        labels: a judge's comparisons, if the way learns from such.
    """
    if way == DIRECT:
        judge: dict[str, Any] = {"model": setup.policy, "constitution": CONSTITUTIONS[task], "mode": "score"}
        return Arm(name=way, recipe="direct_rlaif", settings={**STRIPPED, "judge": judge})
    preferences: dict[str, Any] = {"ai": False, "human": _named(people, way in NEED_PEOPLE)}
    if labels is not None:
        preferences["labelled"] = [str(labels.absolute())]
    settings: dict[str, Any] = {"preferences": preferences} | ({} if way == UNSTRIPPED else STRIPPED)
    if way == RLHF:
        settings["reward_model"] = {"model": setup.policy}
    return Arm(name=way, recipe=FROM_LABELS, settings=settings)


def _named(path: Path | None, wanted: bool) -> Sequence[str]:
    return [str(path.absolute())] if wanted and path is not None else []
