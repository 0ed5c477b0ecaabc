"""How reward models that learnt people's or a labeller's preferences order what people prefer (Tables 5 to 7)."""

from typing import Literal

from preceptor.methods.paper.data import TASKS, Part, needed
from preceptor.methods.paper.numbers import REWARD_INITIALISATION, REWARD_MODELS, REWARD_VARIANTS, Task
from preceptor.methods.paper.policies.training import fine_tuned
from preceptor.methods.paper.rewards import labellers, reward_row
from preceptor.methods.paper.table import Judged, PaperTable, Setup, Work
from preceptor.methods.paper.words import stands_in, stands_in_for_summaries, warnings_of
from preceptor.results.reproduction import Findings, PaperRow

SAME_START = (
    "Every reward model starts from the policy. The paper's that learnt AI labels of summaries started from the SFT "
    "model."
)
SAME_PAIRS = "People's labels and the judge's are of the same comparisons; the judge's may be fewer where it failed."


class RewardAccuracyByTask(PaperTable):
    """Labels of people against labels of the labeller, for each task."""

    name = "reward_accuracy"
    title = "Accuracy of reward models on people's preferences"
    source = "Table 5"
    columns = ("task", "labels of")

    def lacks(self, setup: Setup) -> str | None:
        """People's comparisons of one task at least."""
        return None if setup.data.tasks_with("preferences") else needed("TASK", "preferences")

    def judged(self, setup: Setup) -> Judged:
        """The labeller, for every task."""
        return {task: [labellers(setup, task)["ai"]] for task in setup.data.tasks_with("preferences")}

    def run(self, work: Work) -> Findings:
        """Two reward models for each task."""
        rows: list[PaperRow] = []
        known = work.setup.data.tasks_with("preferences")
        for task in known:
            judge, paper = labellers(work.setup, task)["ai"], REWARD_MODELS[task]
            rows.append(reward_row(work, task, "human", (task, "people"), paper["human"]))
            rows.append(reward_row(work, task, judge, (task, "labeller"), paper["ai"]))
        missing = (f"{task}: not run, needs {needed(task, 'preferences')}." for task in TASKS if task not in known)
        return Findings(
            rows=tuple(rows),
            notes=(SAME_START, SAME_PAIRS, *missing),
            warnings=warnings_of(work, [(task, labellers(work.setup, task)["ai"]) for task in known]),
        )


class RewardAccuracyByStart(PaperTable):
    """From the policy against from the policy after supervised fine-tuning."""

    name = "reward_initialisation"
    title = "Accuracy of reward models by the model that they start from"
    source = "Table 6"
    columns = ("starts from", "labels of")

    def lacks(self, setup: Setup) -> str | None:
        """People's comparisons, demonstrations and prompts of one task."""
        if _task_to_fine_tune(setup) is not None:
            return None
        parts: tuple[Part, ...] = ("preferences", "demonstrations", "prompts")
        return "of one task all of " + "; ".join(needed("TASK", part) for part in parts)

    def judged(self, setup: Setup) -> Judged:
        """The labeller."""
        task = _task_to_fine_tune(setup)
        return {} if task is None else {task: [labellers(setup, task)["ai"]]}

    def run(self, work: Work) -> Findings:
        """Four reward models: either labels, from either model."""
        [(task, [judge])] = self.judged(work.setup).items()
        starts: dict[Literal["base", "sft"], tuple[str, str | None]] = {
            "base": ("the policy", None),
            "sft": ("the policy after SFT", fine_tuned(work, task)),
        }
        rows: list[PaperRow] = []
        for key, (name, start) in starts.items():
            paper = REWARD_INITIALISATION[key]
            rows.append(reward_row(work, task, "human", (name, "people"), paper["human"], start))
            rows.append(reward_row(work, task, judge, (name, "labeller"), paper["ai"], start))
        other = () if task == "summaries" else (stands_in_for_summaries(task),)
        return Findings(rows=tuple(rows), notes=(*other, SAME_PAIRS), warnings=warnings_of(work, [(task, judge)]))


def _task_to_fine_tune(setup: Setup) -> Task | None:
    """The first task with all that Table 6 needs."""
    whole = [set(setup.data.tasks_with(part)) for part in ("preferences", "demonstrations", "prompts")]
    return next((task for task in TASKS if all(task in tasks for tasks in whole)), None)


class RewardAccuracyByLabels(PaperTable):
    """Other labels: by a plainer prompt, and by the smallest judge."""

    name = "reward_labels"
    title = "Accuracy of reward models by how the labels were made"
    source = "Table 7"
    columns = ("labels",)

    def lacks(self, setup: Setup) -> str | None:
        """People's comparisons of one task."""
        return None if setup.data.stand_in("preferences") else needed("TASK", "preferences")

    def judged(self, setup: Setup) -> Judged:
        """The labeller with both prompts, and the smallest judge."""
        task = setup.data.stand_in("preferences")
        return {} if task is None else {task: [*labellers(setup, task).values()]}

    def run(self, work: Work) -> Findings:
        """A reward model for each kind of labels."""
        setup = work.setup
        [(task, _)] = self.judged(setup).items()
        judges = labellers(setup, task)
        ways = [("Detailed + CoT 0-shot", "ai", REWARD_MODELS["summaries"]["ai"])]
        ways += [("Base 0-shot", "base", REWARD_VARIANTS["base"])]
        rows = [reward_row(work, task, judges[key], (what,), paper) for what, key, paper in ways]
        smallest, paper = ("by the smallest labeller",), REWARD_VARIANTS["smallest"]
        if len(setup.judges) > 1:
            rows.append(reward_row(work, task, judges["smallest"], smallest, paper))
        else:
            rows.append(PaperRow(cells=smallest, paper=paper, chance=0.5, remark="only one judge is named"))
        return Findings(
            rows=tuple(rows),
            notes=(*stands_in(setup.data), SAME_START),
            warnings=warnings_of(work, [(task, judge) for judge in judges.values()]),
        )
