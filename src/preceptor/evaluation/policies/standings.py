"""Which policies of an evaluation are preferred to which, and how far to trust that."""

from dataclasses import dataclass
from typing import Literal

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.cohorts import Change
from preceptor.evaluation.policies.length_control import LengthControl
from preceptor.evaluation.policies.result import Evaluation, JudgeFacts
from preceptor.evaluation.policies.win_rate import SignificantDifference, WinRate
from preceptor.evaluation.verdict import verdict_on

Standing = Literal["better", "worse", "open"]
NOT_CAPABILITY = ("win rate", "refusal", "no over-refusal", "harmless")
"""Measures that, like those of principles, do not measure capability."""


@dataclass(frozen=True)
class PolicyPair:
    """One policy against another over all cohorts."""

    win: WinRate
    length: LengthControl | None
    training: WinRate | None
    """The win rate by the training judge."""
    significance: SignificantDifference | None

    @property
    def standing(self) -> Standing:
        """Whether the policy is preferred beyond chance; of several policies, after correcting for their number."""
        if self.significance is not None and not self.significance.significant:
            return "open"
        return standing(self.win.rate)

    @property
    def at_equal_length(self) -> Estimate | None:
        """The win rate at equal length; None if it is unknown."""
        return self.length and self.length.by_difference

    @property
    def changes_sign(self) -> bool:
        """Whether length decides which policy is preferred."""
        return self.length is not None and self.length.changes_sign

    @property
    def inflated(self) -> bool:
        """Whether the training judge prefers the policy more often than this judge, by more than both intervals."""
        by_this_judge, by_training = self.win.rate.high, self.training and self.training.rate.low
        return by_this_judge is not None and by_training is not None and by_training > by_this_judge


def standing(rate: Estimate) -> Standing:
    """On which side of one half the interval of a win rate lies."""
    found = verdict_on(rate, 0.5)
    return "better" if found == "better" else "worse" if found == "worse" else "open"


def all_pairs(evaluation: Evaluation) -> list[PolicyPair]:
    """Every two policies that were compared, in the order of the win rates."""
    lengths = {(control.policy, control.against): control for control in evaluation.length_control}
    training = {(w.policy, w.against): w for w in evaluation.training_win_rates if w.cohort is None}
    differences = {(difference.policy, difference.against): difference for difference in evaluation.significance}
    return [
        PolicyPair(win, lengths.get(names), training.get(names), differences.get(names))
        for win in evaluation.win_rates
        if win.cohort is None and (names := (win.policy, win.against))
    ]


def against_baseline(evaluation: Evaluation) -> list[PolicyPair]:
    """Every other policy against the baseline."""
    return [pair for pair in all_pairs(evaluation) if pair.win.against == evaluation.policies[0].name]


def best_against_baseline(evaluation: Evaluation) -> PolicyPair | None:
    """The policy that wins most often against the baseline; None if nothing was compared with it."""
    return max(against_baseline(evaluation), key=lambda pair: pair.win.rate.value, default=None)


def regressions(evaluation: Evaluation) -> list[Change]:
    """The changes for the worse, the clearest first."""
    regressed = [change for change in evaluation.changes if change.verdict == "regressed"]
    return sorted(regressed, key=lambda change: (change.p_holm is None, change.p_holm, change.change.value))


def is_capability(change: Change) -> bool:
    """Whether a measure is about what a policy can do: not about preference, principles or refusals."""
    return change.measure not in NOT_CAPABILITY and not change.measure.startswith("principle")


def judges(evaluation: Evaluation) -> list[tuple[str, JudgeFacts]]:
    """The judges under their titles."""
    title = "Judge of the win rates" + (", which trained a policy" if evaluation.judge_trained else "")
    training = [("Training judge", evaluation.training_judge)] if evaluation.training_judge else []
    return [(title, evaluation.judge), *training]


def failures(judge: JudgeFacts) -> tuple[int, int]:
    """Comparisons that a judge failed on, and all that it was asked about."""
    failed = sum(judge.failures.values())
    return failed, failed + judge.compared
