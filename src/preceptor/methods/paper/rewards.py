"""Reward models of the tables: each is trained once, in `rewards/`, and measured on held-out preferences of people."""

from typing import Literal, TypeAlias

from preceptor.core.hashing import content_hash
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.paper.asking import asked
from preceptor.methods.paper.numbers import Task
from preceptor.methods.paper.table import Setup, Work
from preceptor.methods.train_reward import train_reward
from preceptor.results.reproduction import PaperRow
from preceptor.results.reward_model import RewardModelResult
from preceptor.store.preference_row import PreferenceRow
from preceptor.store.rows import read_raw_rows

Labels: TypeAlias = "Literal['human'] | JudgeSpec"
"""Whose labels a reward model learns: people's, or a judge's."""


def labellers(setup: Setup, task: Task) -> dict[str, JudgeSpec]:
    """The judges whose labels the tables train on, by what distinguishes them in Table 7."""
    return {
        "ai": asked(setup.labeller, task, setup.scale),
        "base": asked(setup.labeller, task, setup.scale, "base"),
        "smallest": asked(setup.judges[-1], task, setup.scale),
    }


def reward_row(
    work: Work, task: Task, labels: Labels, cells: tuple[str, ...], paper: float | None, start: str | None = None
) -> PaperRow:
    """The accuracy of a reward model as a row.

    Args:
        start: the model string that it starts from; the policy when None.
    """
    if labels != "human" and (nothing := _nothing_to_learn(work, task, labels)):
        return PaperRow(cells=cells, paper=paper, chance=0.5, remark=nothing)
    result = trained(work, task, labels, start)
    found = result.accuracy and result.accuracy.accuracy
    left_out = sum(result.left_out.values())
    said = f"{left_out} pairs left out: " + ", ".join(result.left_out) if left_out else ""
    return PaperRow(
        cells=cells,
        ours=found,
        paper=paper,
        chance=0.5,
        remark=said if found else "; ".join(filter(None, ("no held-out pair has a reward", said))),
    )


def _nothing_to_learn(work: Work, task: Task, judge: JudgeSpec) -> str:
    """Why no reward model can be trained on a judge's labels; empty if one can."""
    labels = [PreferenceRow.read(row, place) for place, row in read_raw_rows(work.labels_file(task, judge))]
    if not labels:
        return "the judge gave no label to learn from"
    return "every label of the judge is a tie" if all(label.p_chosen == 0.5 for label in labels) else ""


def trained(work: Work, task: Task, labels: Labels, start: str | None = None) -> RewardModelResult:
    """A reward model, trained now unless an earlier process finished it.

    Raises: UsageError when there is nothing to learn; PreceptorError when training diverges.
    """
    scale, people = work.setup.scale, work.people(task)
    model = start or work.setup.policy
    who = "human" if labels == "human" else labels.model_dump(mode="json")
    folder = work.root / "rewards" / f"{task}-{content_hash([who, model if start is None else 'sft'])[:12]}"
    if (folder / RewardModelResult.FILE).exists():
        return RewardModelResult.load(folder)
    work.progress.note(f"reward model: {task}, {'labels of people' if labels == 'human' else labels.way}")
    return train_reward(
        people / "training.jsonl" if labels == "human" else work.labels_file(task, labels),
        model=model,
        out=folder,
        test=people / "held_out.jsonl",
        reward_model=scale.reward_model_for(task),
        tuning=scale.tuning,
        seed=work.setup.seed,
        progress=work.progress,
    )
