"""What the tables say about judges."""

from collections.abc import Iterable

from preceptor.evaluation.judges.judge_audit import JudgeAudit
from preceptor.judging.specs import JudgeSpec
from preceptor.judging.warnings import judge_warnings
from preceptor.methods.paper.data import PaperData
from preceptor.methods.paper.numbers import Task
from preceptor.methods.paper.table import Work


def named(model: str) -> str:
    """A judge's model in a table: without the folders of a path."""
    return model.rstrip("/").rpartition("/")[2]


def doubt(judge: JudgeAudit) -> str:
    """What a number on a judge's agreement with people must be read with; empty if nothing."""
    if judge.alignment is None:
        return "the judge gave no answer that can be compared with people's"
    failed = f"{judge.failure_rate:.0%} of its answers failed" if judge.failure_rate else ""
    unfit = {"longer": "not shown to beat the longer response", "learnt": "it was taught on some of these rows"}
    return "; ".join(filter(None, (unfit.get(judge.unfit or ""), failed)))


def warnings_of(work: Work, judges: Iterable[tuple[Task, JudgeSpec]]) -> tuple[str, ...]:
    """Reasons to doubt judges, from how they answered; each once."""
    said = [
        f"{task}: {warning.sentence}."
        for task, judge in judges
        for warning in judge_warnings(work.audit(task)[judge].conduct, f"{named(judge.model)} ({judge.way})")
    ]
    return tuple(dict.fromkeys(said))


def stands_in(data: PaperData) -> tuple[str, ...]:
    """That another task stands in for the paper's summaries; nothing if it is summaries."""
    task = data.stand_in("preferences")
    return () if task is None or task == "summaries" else (stands_in_for_summaries(task),)


def stands_in_for_summaries(task: Task) -> str:
    """That a task stands in for the paper's summaries."""
    return f"The paper measured this on summaries; here it is the task {task}, for which there are people's labels."
