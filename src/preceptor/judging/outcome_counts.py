"""Counts a folder of labels in one pass: the rows, how the judges answered, and reasons to distrust them."""

from collections import Counter
from dataclasses import dataclass

from preceptor.core.types import Frozen
from preceptor.judging.conduct import RowsTally
from preceptor.judging.position import first_wins, same_position_wins
from preceptor.judging.warnings import JudgeConduct, JudgeWarning, judge_warnings
from preceptor.store.outcomes import Outcomes
from preceptor.store.preference_row import MALFORMED, UNSURE


class LabelCounts(Frozen):
    """Counts of the outcomes of an input's rows. Shares are None if nothing was judged."""

    preferences: int
    failures: int
    """Comparisons without a preference."""
    malformed: int
    """Rows of the input that cannot be used."""
    failures_by_reason: dict[str, int]
    failed_steps: int
    """Steps of trajectories without a score."""
    mean_p_chosen: float | None
    mean_disagreement: float | None
    first_position_rate: float | None
    """Share of presentations in which the response shown first wins."""
    position_bias: float | None
    """Share of comparisons shown in both orders in which the same position wins."""
    undecided: int
    """Preferences of exactly one half; their chosen response is a, which carries no information."""
    likeliest_ties: int
    """Preferences whose likeliest answer is a tie, though they lean to a response."""


class NamedConduct(JudgeConduct):
    """The conduct of one judge, or of all together."""

    judge: str | None
    """The model's identity; None for several judges together."""


@dataclass(frozen=True)
class CountedOutcomes:
    """The outcomes of a folder, counted."""

    counts: LabelCounts
    conduct: JudgeConduct
    """Counts for all judges together."""
    conducts: tuple[NamedConduct, ...]
    """The conduct of each judge. With several judges, the conduct of all together comes first."""

    @property
    def warnings(self) -> tuple[JudgeWarning, ...]:
        """Reasons to distrust the labels, judge by judge."""
        return tuple(
            warning for conduct in self.conducts for warning in judge_warnings(conduct, short_name(conduct.judge))
        )


def short_name(identity: str | None) -> str:
    """A judge's name in sentences: its model without hash and precision; None means several judges together."""
    return "The ensemble" if identity is None else identity.partition("#")[0]


def count_outcomes(outcomes: Outcomes) -> CountedOutcomes:
    """Counts over the outcome files, read a line at a time."""
    preferences = failed_steps = undecided = 0
    certainty = disagreement = 0.0
    first: Counter[float] = Counter()
    swapped: Counter[bool | None] = Counter()
    tally = RowsTally()
    for row in outcomes.preference_rows():
        preferences += 1
        certainty += row.p_chosen
        disagreement += row.disagreement
        shown = [(verdict.order, verdict.p_a) for verdict in row.verdicts]
        first.update(first_wins(shown))
        swapped[same_position_wins(shown)] += 1
        failed_steps += [*(row.chosen_steps or ()), *(row.rejected_steps or ())].count(None)
        undecided += row.p_chosen == 0.5
        tally.add(row)
    reasons = Counter(row.reason for row in outcomes.failure_rows())
    malformed, both = reasons.pop(MALFORMED, 0), swapped[True] + swapped[False]
    failed = {reason: count for reason, count in reasons.items() if reason != UNSURE}
    conducts = tuple(tally.conducts(failed))
    counts = LabelCounts(
        preferences=preferences,
        failures=sum(reasons.values()),
        malformed=malformed,
        failures_by_reason=dict(reasons),
        failed_steps=failed_steps,
        mean_p_chosen=certainty / preferences if preferences else None,
        mean_disagreement=disagreement / preferences if preferences else None,
        first_position_rate=sum(win * n for win, n in first.items()) / first.total() if first else None,
        position_bias=swapped[True] / both if both else None,
        undecided=undecided,
        likeliest_ties=round(conducts[0][1].tie_likeliest.hits),
    )
    named = tuple(NamedConduct(judge=judge, **dict(conduct)) for judge, conduct in conducts)
    return CountedOutcomes(counts, conducts[0][1], named)
