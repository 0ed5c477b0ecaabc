"""What an audit of step judges returns."""

from typing import ClassVar

from preceptor.core.numbers import percent, share
from preceptor.display.table import Column, Table
from preceptor.evaluation.judges.benchmarks.steps import WRONG_BELOW, StepJudgeScores
from preceptor.evaluation.judges.benchmarks.words import differs
from preceptor.results.base import ReportedResult
from preceptor.store.benchmarks.steps import StepBenchmarkName

RULE = (
    f"A judge calls a step wrong if it scores it below {WRONG_BELOW:g} of 10. F1 is the harmonic mean of two shares: "
    "wrong solutions whose first wrong step it finds, and right solutions of which it calls no step wrong."
)


class StepAuditResult(ReportedResult):
    """How well judges find the first wrong step of solutions. `result[judge]` has all numbers of one of them."""

    FILE: ClassVar[str] = "step_audit.json"

    format: StepBenchmarkName
    judges: tuple[StepJudgeScores, ...]
    unusable: int
    """Rows of the benchmark that cannot be used."""

    def __getitem__(self, judge: str) -> StepJudgeScores:
        """The numbers of one judge.

        Raises: KeyError if it was not audited.
        """
        found = next((each for each in self.judges if each.judge == judge), None)
        if found is None:
            raise KeyError(f"no judge {judge!r}; the judges are {', '.join(each.judge for each in self.judges)}")
        return found

    def table(self) -> Table:
        """The numbers, with one column for each judge."""
        names = [score.name for score in self.judges[0].scores]
        rows = [(name, *(self._cell(judge, name) for judge in self.judges)) for name in names]
        failed = [f"{each.judge}: {each.failed} of {each.steps} steps failed" for each in self.judges if each.failed]
        return Table(
            (Column(""), *(Column(judge.judge, "right") for judge in self.judges)),
            rows,
            title=f"{self.judges[0].solutions} solutions of {self.format}",
            notes=[RULE, *failed, *([f"report {self.report}"] if self._output is not None else [])],
        )

    def _cell(self, judge: StepJudgeScores, name: str) -> str:
        score = judge[name]
        published = f", as published {percent(score.as_published)}" if differs(score) else ""
        return share(score.estimate) + published
