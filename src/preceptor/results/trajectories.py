"""What a study of trajectories returns."""

from typing import ClassVar, Self

from preceptor.core.numbers import estimate, share
from preceptor.display.table import Column, Table
from preceptor.evaluation.policies.trajectories import TrajectoryFindings
from preceptor.evaluation.policies.trajectory_words import headline, warnings
from preceptor.results.base import ReportedResult

MARKDOWN = "trajectories.md"


class TrajectoriesResult(TrajectoryFindings, ReportedResult):
    """`TrajectoryFindings` with their folder: the content of `trajectories.json`."""

    FILE: ClassVar[str] = "trajectories.json"

    @classmethod
    def of(cls, findings: TrajectoryFindings) -> Self:
        """The result that holds these findings; it belongs to no folder yet."""
        return cls(**{name: getattr(findings, name) for name in TrajectoryFindings.model_fields})

    @property
    def headline(self) -> str:
        """Whether the judge prefers the trajectories that succeeded, in a sentence."""
        return headline(self)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the judge, the gravest first."""
        return tuple(warnings(self))

    def table(self) -> Table:
        """How often judgements agree with success, win rates over all cohorts, and scores of trajectories and their
        steps.
        """
        agreement = [(rule.by, share(rule.share), str(rule.share.n)) for rule in self.agreement]
        if agreement:
            agreement += [
                (f"the comparison, {cohort}", share(in_cohort), str(in_cohort.n))
                for cohort, in_cohort in self.agreement_by_cohort.items()
            ]
        rates = [
            (rate.policy, rate.against, share(rate.rate), f"{rate.wins}/{rate.ties}/{rate.losses}")
            for rate in self.win_rates
            if rate.cohort is None
        ]
        scores = [(s.outcome, str(s.trajectories), estimate(s.whole, 1), estimate(s.steps, 1)) for s in self.scores]
        tables = [
            _table(("judged by", "prefers what succeeded", "pairs"), agreement, "95% intervals over prompts"),
            _table(("policy", "against", "preferred", "wins/ties/losses"), rates),
            _table(("outcome", "trajectories", "whole, 1 to 10", "mean of its steps"), scores),
        ]
        return Table(
            (),
            (),
            headline=self.headline,
            warnings=self.warnings,
            more=[table for table in tables if table.rows],
            notes=[] if self._output is None else [f"report {self.report}"],
        )


def _table(names: tuple[str, ...], rows: list[tuple[str, ...]], title: str = "") -> Table:
    first, *others = names
    return Table((Column(first), *(Column(name, "right") for name in others)), rows, title=title)
