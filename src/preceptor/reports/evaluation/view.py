"""What the report of an evaluation picks out of it, for its sentences, figures, pages and Markdown alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from preceptor.evaluation.assemble import ALL
from preceptor.evaluation.cohorts import Change
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.length_control import LengthControl
from preceptor.evaluation.result import Evaluation, Example, ExampleKind, JudgeFacts
from preceptor.evaluation.win_rate import SignificantDifference, WinRate

Standing = Literal["better", "worse", "open"]
WIN_RATE = "win rate"
NOT_CAPABILITY = (WIN_RATE, "refusal", "no over-refusal", "harmless")
"""Measures of changes that say nothing of what a policy can do; those of principles do not either."""
EXAMPLE_TITLES: dict[ExampleKind, str] = {
    "regression": "From cohorts that regressed",
    "loss": "Clearest losses",
    "disagreement": "Where the judges disagree",
    "win": "Clearest wins",
    "failure": "Without a verdict",
}


@dataclass(frozen=True)
class Against:
    """One policy against another over all cohorts, with all that says how far to believe it."""

    win: WinRate
    length: LengthControl | None
    training: WinRate | None
    """The same by the training judge."""
    significance: SignificantDifference | None

    @property
    def standing(self) -> Standing:
        """Whether the policy is preferred beyond chance; of several policies, after the correction for their number."""
        if self.significance is not None and not self.significance.significant:
            return "open"
        return standing(self.win.rate)

    @property
    def at_equal_length(self) -> Estimate | None:
        """The win rate with length taken out; None where it cannot be known."""
        return self.length and self.length.by_difference

    @property
    def changes_sign(self) -> bool:
        """Whether length decides who is preferred."""
        return self.length is not None and self.length.changes_sign

    @property
    def inflated(self) -> bool:
        """Whether the training judge likes the policy better than this judge does, by more than both intervals."""
        mine, its = self.win.rate.high, self.training and self.training.rate.low
        return mine is not None and its is not None and its > mine


def standing(rate: Estimate) -> Standing:
    """Which side of one half the interval of a win rate is on."""
    if rate.low is None or rate.high is None:
        return "open"
    return "better" if rate.low > 0.5 else "worse" if rate.high < 0.5 else "open"


def all_pairs(evaluation: Evaluation) -> list[Against]:
    """Every two policies that were compared, over all cohorts, in the order of the win rates."""
    lengths = {(each.policy, each.against): each for each in evaluation.length_control}
    training = {(w.policy, w.against): w for w in evaluation.training_win_rates if w.cohort is None}
    differences = {(each.policy, each.against): each for each in evaluation.significance}
    return [
        Against(win, lengths.get(names), training.get(names), differences.get(names))
        for win in evaluation.win_rates
        if win.cohort is None and (names := (win.policy, win.against))
    ]


def against_baseline(evaluation: Evaluation) -> list[Against]:
    """Those of the first policy with each other one."""
    return [pair for pair in all_pairs(evaluation) if pair.win.against == evaluation.policies[0].name]


def cohort_wins(evaluation: Evaluation) -> list[tuple[WinRate, WinRate | None]]:
    """By cohort, the win rates against the baseline with those by the training judge."""
    training = {(w.policy, w.against, w.cohort): w for w in evaluation.training_win_rates}
    return [
        (win, training.get((win.policy, win.against, win.cohort)))
        for win in evaluation.win_rates
        if win.cohort is not None and win.against == evaluation.policies[0].name
    ]


def regressions(evaluation: Evaluation) -> list[Change]:
    """The changes for the worse, the clearest first."""
    found = [change for change in evaluation.changes if change.verdict == "regressed"]
    return sorted(found, key=lambda change: (change.p_holm is None, change.p_holm, change.change.value))


def is_capability(change: Change) -> bool:
    """Whether a measure is about what a policy can do: not about who is preferred, principles or refusals."""
    return change.measure not in NOT_CAPABILITY and not change.measure.startswith("principle")


@dataclass(frozen=True)
class RateRow:
    """One measure of single responses in one cohort, policies side by side."""

    measure: str
    cohort: str | None
    """None for all together."""
    values: tuple[Estimate | None, ...]
    """In the order of the policies."""


def rate_rows(evaluation: Evaluation) -> list[RateRow]:
    """The rates by measure and cohort, in the order in which they first appear."""
    known = {(rate.measure, rate.cohort, rate.policy): rate.value for rate in evaluation.rates}
    return [
        RateRow(measure, cohort, tuple(known.get((measure, cohort, policy.name)) for policy in evaluation.policies))
        for measure, cohort in dict.fromkeys((rate.measure, rate.cohort) for rate in evaluation.rates)
    ]


def matrix(evaluation: Evaluation) -> list[tuple[str, list[tuple[float, SignificantDifference | None] | None]]]:
    """Every policy's win rate against every other one, with whether they differ; None on the diagonal and where two
    were not compared.
    """
    cells: dict[tuple[str, str], tuple[float, SignificantDifference | None]] = {}
    for pair in all_pairs(evaluation):
        cells[pair.win.policy, pair.win.against] = (pair.win.rate.value, pair.significance)
        cells[pair.win.against, pair.win.policy] = (1 - pair.win.rate.value, pair.significance)
    names = [policy.name for policy in evaluation.policies]
    return [(name, [cells.get((name, other)) for other in names]) for name in names]


def examples_by_kind(evaluation: Evaluation) -> list[tuple[str, list[Example]]]:
    """The examples under their titles, what went wrong first; kinds without any are left out."""
    return [
        (title, found)
        for kind, title in EXAMPLE_TITLES.items()
        if (found := [example for example in evaluation.examples if example.kind == kind])
    ]


def judges(evaluation: Evaluation) -> list[tuple[str, JudgeFacts]]:
    """The judges under their titles."""
    first = "Judge of the win rates" + (", which trained a policy" if evaluation.judge_trained else "")
    found = [(first, evaluation.judge)]
    return [*found, ("Training judge", evaluation.training_judge)] if evaluation.training_judge else found


def failures(judge: JudgeFacts) -> tuple[int, int]:
    """Comparisons that a judge failed on, and all it was asked for."""
    failed = sum(judge.failures.values())
    return failed, failed + judge.compared


def varying(changes: Sequence[Change]) -> list[str]:
    """A name for each change made of what tells them apart: cohort, measure, policy."""
    parts = [(_place(change), change.measure, change.policy) for change in changes]
    columns = [i for i in range(3) if len({part[i] for part in parts}) > 1] or [0]
    return [
        " · ".join(part[i] for i in columns if part[i]) or change.cohort
        for part, change in zip(parts, changes, strict=True)
    ]


def _place(change: Change) -> str:
    return "" if change.cohort == ALL else change.cohort
