"""Win rates of policies trained in the paper's ways, as they are and at equal length (Tables 1, 8, 9, 11 to 13)."""

from collections.abc import Collection

from preceptor.evaluation.policies.length_control import LengthControl
from preceptor.evaluation.policies.win_rate import WinRate
from preceptor.methods.paper.data import needed
from preceptor.methods.paper.numbers import WIN_RATES, WIN_RATES_AT_EQUAL_LENGTH, Task
from preceptor.methods.paper.policies.comparing import agreement_with_people, compared, doubts, judges_of_people
from preceptor.methods.paper.policies.in_words import differences, plan_of_task
from preceptor.methods.paper.policies.ways import policy_task, win_rate_tasks
from preceptor.methods.paper.table import Judged, PaperTable, Setup, Work
from preceptor.results.evaluation import EvaluationResult
from preceptor.results.reproduction import Findings, PaperRow

RAW, EQUAL = "as it is", "at equal length"


class WinRates(PaperTable):
    """Every policy against every other, by a judge; the paper's people ranked the responses."""

    name = "win_rates"
    title = "Win rates, as they are and at equal length"
    source = "Tables 1, 8, 9, 11, 12 and 13"
    columns = ("task", "policy", "against", "win rate")

    def lacks(self, setup: Setup) -> str | None:
        """Prompts of summaries or of helpful dialogue."""
        return None if win_rate_tasks(setup) else needed("helpful", "prompts")

    def judged(self, setup: Setup) -> Judged:
        """The labels that the policies learn from, and the judge that compares the policies."""
        return {task: judges_of_people(setup, task) for task in _with_people(setup, win_rate_tasks(setup))}

    def planned(self, setup: Setup) -> tuple[str, ...]:
        """A sentence for each task."""
        return tuple(plan_of_task(setup, task) for task in win_rate_tasks(setup))

    def run(self, work: Work) -> Findings:
        """Two rows for each two policies of a task."""
        tasks = win_rate_tasks(work.setup)
        found = {task: compared(work, task) for task in tasks}
        return Findings(
            rows=tuple(row for task in tasks for row in _rows(work, task, found[task][1])),
            notes=(
                *differences(work.setup, tasks),
                *filter(None, (agreement_with_people(work, task) for task in tasks)),
            ),
            warnings=tuple(said for task in tasks for said in doubts(work, task, *found[task])),
        )


def _with_people(setup: Setup, tasks: list[Task]) -> list[Task]:
    return [task for task in tasks if setup.data.file(task, "preferences") is not None]


def _rows(work: Work, task: Task, evaluation: EvaluationResult) -> list[PaperRow]:
    controlled = {(found.policy, found.against): found for found in evaluation.length_control}
    wins = [win for win in evaluation.win_rates if win.cohort is None]
    paper = "summaries" if task == policy_task(work.setup) else task
    ordered = sorted(wins, key=lambda win: (win.policy, win.against) not in WIN_RATES.get(paper, {}))
    known = {(found.policy, found.against) for found in evaluation.significance if found.significant}
    return [
        row
        for win in ordered
        for row in _two((task, paper), win, controlled.get((win.policy, win.against)), known, len(wins))
    ]


def _two(
    tasks: tuple[Task, Task],
    win: WinRate,
    control: LengthControl | None,
    known: Collection[tuple[str, str]],
    pairs: int,
) -> tuple[PaperRow, PaperRow]:
    """The rows of two policies.

    Args:
        tasks: the task, and that of the paper beside which it stands.
        known: the pairs that differ beyond chance after a correction for all pairs.
        pairs: how many there are.
    """
    (task, paper), pair = tasks, (win.policy, win.against)
    equal = None if control is None else control.by_ratio or control.by_difference
    unknown = "" if control is None else control.unknown or ""
    raw = PaperRow(
        cells=(task, *pair, RAW),
        ours=win.rate,
        paper=WIN_RATES.get(paper, {}).get(pair),
        chance=0.5,
        remark=f"{win.ties} ties" if win.ties else "",
    )
    controlled = PaperRow(
        cells=(task, *pair, EQUAL),
        ours=equal,
        paper=WIN_RATES_AT_EQUAL_LENGTH.get(paper, {}).get(pair),
        chance=0.5,
        remark="" if equal else unknown or "unknown",
    )
    return (raw, controlled) if pair in known else (corrected(raw, pairs), corrected(controlled, pairs))


def corrected(row: PaperRow, pairs: int) -> PaperRow:
    """The row of two policies that do not differ beyond chance after a correction for all pairs: without the word that
    its own interval would give it.
    """
    if row.verdict not in ("above chance", "below chance"):
        return row
    said = f"within chance after a correction for {pairs} pairs"
    return row.model_copy(update={"chance": None, "remark": "; ".join(filter(None, (said, row.remark)))})
