"""How far the labeller agrees with people, by its prompt (Table 2)."""

from preceptor.judging.constitution import load_constitution
from preceptor.judging.settings import variant
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.paper.asking import as_in_the_paper, asked, ways_of
from preceptor.methods.paper.data import CONSTITUTIONS, TASKS, needed
from preceptor.methods.paper.numbers import ALIGNMENT, Task
from preceptor.methods.paper.table import Judged, PaperTable, Setup, Work
from preceptor.methods.paper.words import doubt, warnings_of
from preceptor.results.reproduction import Findings, PaperRow


class AlignmentByPrompt(PaperTable):
    """Base and detailed preambles, with and without rationale and exemplars, for each task."""

    name = "alignment"
    title = "AI labeller alignment by prompt"
    source = "Table 2"
    columns = ("task", "prompt")

    def lacks(self, setup: Setup) -> str | None:
        """People's comparisons of one task at least."""
        return None if setup.data.tasks_with("preferences") else needed("TASK", "preferences")

    def judged(self, setup: Setup) -> Judged:
        """The labeller, asked in each way, for every task."""
        return {
            task: [asked(setup.labeller, task, setup.scale, way) for way in ways_of(setup.scale) if _fits(task, way)]
            for task in setup.data.tasks_with("preferences")
        }

    def run(self, work: Work) -> Findings:
        """A row for each task and prompt."""
        setup = work.setup
        known = setup.data.tasks_with("preferences")
        judges: list[tuple[Task, JudgeSpec]] = [
            (task, judge) for task, listed in self.judged(setup).items() for judge in listed
        ]
        return Findings(
            rows=tuple(_row(work, task, way) for task in known for way in ways_of(setup.scale)),
            notes=tuple(
                f"{task}: not run, needs {needed(task, 'preferences')}." for task in TASKS if task not in known
            ),
            warnings=warnings_of(work, judges),
        )


def _row(work: Work, task: Task, way: str) -> PaperRow:
    cells, paper = (task, as_in_the_paper(way)), ALIGNMENT.get(way, {}).get(task)
    if not _fits(task, way):
        has = len(load_constitution(CONSTITUTIONS[task]).pairwise.exemplars)
        return PaperRow(cells=cells, paper=paper, chance=0.5, remark=f"the constitution has {has} exemplars")
    judge = work.audit(task)[_spec(work.setup, task, way)]
    return PaperRow(cells=cells, ours=judge.alignment, paper=paper, chance=0.5, remark=doubt(judge))


def _spec(setup: Setup, task: Task, way: str) -> JudgeSpec:
    return asked(setup.labeller, task, setup.scale, way)


def _fits(task: Task, way: str) -> bool:
    """Whether the task's constitution has as many exemplars as the prompt shows."""
    return variant(way).exemplars <= len(load_constitution(CONSTITUTIONS[task]).pairwise.exemplars)
