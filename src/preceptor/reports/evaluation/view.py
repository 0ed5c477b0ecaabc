"""The parts of an evaluation that its figures, page and Markdown show."""

from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.cohorts import Change
from preceptor.evaluation.policies.compute import ALL
from preceptor.evaluation.policies.result import Evaluation, Example, ExampleKind
from preceptor.evaluation.policies.standings import all_pairs
from preceptor.evaluation.policies.win_rate import SignificantDifference, WinRate

EXAMPLE_TITLES: dict[ExampleKind, str] = {
    "regression": "From cohorts that regressed",
    "loss": "Clearest losses",
    "disagreement": "Where the judges disagree",
    "win": "Clearest wins",
    "tie": "Undecided",
    "failure": "Without a verdict",
}


def cohort_wins(evaluation: Evaluation) -> list[tuple[WinRate, WinRate | None]]:
    """The win rates against the baseline by cohort, each with the training judge's."""
    training = {(w.policy, w.against, w.cohort): w for w in evaluation.training_win_rates}
    return [
        (win, training.get((win.policy, win.against, win.cohort)))
        for win in evaluation.win_rates
        if win.cohort is not None and win.against == evaluation.policies[0].name
    ]


@dataclass(frozen=True)
class RateRow:
    """One measure of single responses in one cohort, for all policies."""

    measure: str
    cohort: str | None
    """None for all cohorts together."""
    values: tuple[Estimate | None, ...]
    """In the order of the policies."""


def rate_rows(evaluation: Evaluation) -> list[RateRow]:
    """The rates by measure and cohort, in order of first appearance."""
    known = {(rate.measure, rate.cohort, rate.policy): rate.value for rate in evaluation.rates}
    return [
        RateRow(measure, cohort, tuple(known.get((measure, cohort, policy.name)) for policy in evaluation.policies))
        for measure, cohort in dict.fromkeys((rate.measure, rate.cohort) for rate in evaluation.rates)
    ]


Cell = tuple[float, SignificantDifference | None]
"""A win rate, and whether the two policies differ."""


def matrix(evaluation: Evaluation) -> list[tuple[str, list[Cell | None]]]:
    """The win rate of each policy against every policy; None on the diagonal and for pairs that were not compared."""
    cells: dict[tuple[str, str], Cell] = {}
    for pair in all_pairs(evaluation):
        cells[pair.win.policy, pair.win.against] = (pair.win.rate.value, pair.significance)
        cells[pair.win.against, pair.win.policy] = (1 - pair.win.rate.value, pair.significance)
    names = [policy.name for policy in evaluation.policies]
    return [(name, [cells.get((name, other)) for other in names]) for name in names]


def examples_by_kind(evaluation: Evaluation) -> list[tuple[str, list[Example]]]:
    """The examples under their titles, the worst kinds first; kinds without examples are left out."""
    kinds = [
        (title, [example for example in evaluation.examples if example.kind == kind])
        for kind, title in EXAMPLE_TITLES.items()
    ]
    return [(title, examples) for title, examples in kinds if examples]


def varying(changes: Sequence[Change]) -> list[str]:
    """A name for each change, built from what distinguishes them: cohort, measure, policy."""
    parts = [("" if change.cohort == ALL else change.cohort, change.measure, change.policy) for change in changes]
    columns = [i for i in range(3) if len({part[i] for part in parts}) > 1] or [0]
    return [
        " · ".join(part[i] for i in columns if part[i]) or change.cohort
        for part, change in zip(parts, changes, strict=True)
    ]
