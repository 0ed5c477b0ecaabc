"""The result of an evaluation: policies compared with each other, the headline, and the reasons to doubt it."""

from typing import ClassVar, Self

from preceptor.core.numbers import points, points_interval
from preceptor.display.table import Column, Table
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.cohorts import Change
from preceptor.evaluation.policies.result import Evaluation
from preceptor.evaluation.policies.standings import PolicyPair, all_pairs, best_against_baseline, regressions
from preceptor.evaluation.policies.win_rate import WinRate
from preceptor.evaluation.policies.words import change_in_words, headline, warnings
from preceptor.results.base import ReportedResult
from preceptor.store.output import Output


class EvaluationResult(Evaluation, ReportedResult):
    """An `Evaluation` with its folder: the content of `evaluation.json`, beside the report and the judgements."""

    FILE: ClassVar[str] = "evaluation.json"

    @classmethod
    def of(cls, evaluation: Evaluation, output: Output) -> Self:
        """The result of an evaluation whose files are in this folder."""
        return cls(**{name: getattr(evaluation, name) for name in Evaluation.model_fields}).within(output)

    @property
    def win_rate(self) -> WinRate | None:
        """How often the best policy is preferred to the baseline, over all cohorts; None if nothing was compared."""
        best = best_against_baseline(self)
        return None if best is None else best.win

    @property
    def headline(self) -> str:
        """The result in a sentence or two; regressions come first."""
        return headline(self)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the result, the gravest first."""
        return tuple(warnings(self))

    @property
    def regressions(self) -> tuple[Change, ...]:
        """The changes for the worse, the clearest first."""
        return tuple(regressions(self))

    def table(self) -> Table:
        """Win rates in per cent, and below them what changed in which cohort."""
        names = ("wins", "ties", "losses", "win rate", "at equal length")
        return Table(
            (Column("policy"), Column("against"), *(Column(name, "right") for name in names)),
            [_row(pair) for pair in all_pairs(self)],
            title="Win rates in %, 95% intervals",
            warnings=self.warnings,
            headline=self.headline,
            notes=[*_changes(self.changes), *self._files()],
        )

    def _files(self) -> list[str]:
        return [] if self._output is None else [f"report {self.report}"]


def _row(pair: PolicyPair) -> tuple[str, ...]:
    win = pair.win
    unknown = pair.length is not None and pair.length.unknown is not None
    equal = "unknown" if unknown else _percent(pair.at_equal_length)
    return win.policy, win.against, str(win.wins), str(win.ties), str(win.losses), _percent(win.rate), equal


def _percent(rate: Estimate | None) -> str:
    return "" if rate is None else f"{points(rate.value)} {points_interval(rate.low, rate.high)}".rstrip()


def _changes(changes: tuple[Change, ...]) -> list[str]:
    """Improvements and regressions, and how many tests had too few prompts to exclude one."""
    changed = [change_in_words(change) for change in changes if change.verdict in ("improved", "regressed")]
    few = sum(change.verdict == "too few prompts" for change in changes)
    if len(changes) > few and not changed:
        changed.append(f"No change beyond chance in any of {len(changes) - few} cohorts and measures.")
    if few:
        changed.append(f"Too few prompts to exclude a change in {few} of {len(changes)} cohorts and measures.")
    return changed
