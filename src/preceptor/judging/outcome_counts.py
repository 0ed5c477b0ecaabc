"""Counts a folder of labels in one pass: how many rows, how the judges answered, and reasons to doubt them."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from preceptor.judging.conduct import RowsTally
from preceptor.judging.position import first_wins, same_position_wins
from preceptor.judging.warnings import JudgeConduct, JudgeWarning, judge_warnings
from preceptor.store.outcomes import Outcomes
from preceptor.store.preferences import MALFORMED


@dataclass(frozen=True)
class Counted:
    """The outcomes of a folder, counted."""

    counts: dict[str, Any]
    """As written to `summary.json`."""
    conducts: tuple[tuple[str | None, JudgeConduct], ...]
    """Each judge's identity with its conduct. With several judges, the conduct of all together comes first, named None.
    """

    @property
    def conduct(self) -> JudgeConduct:
        """The conduct of all judges together."""
        return self.conducts[0][1]

    @property
    def warnings(self) -> list[JudgeWarning]:
        """Reasons to doubt the labels, judge by judge."""
        return [warning for name, found in self.conducts for warning in judge_warnings(found, called(name))]


def called(identity: str | None) -> str:
    """A judge's name in sentences: its model without hash and precision; None means several judges together."""
    return "The ensemble" if identity is None else identity.partition("#")[0]


def count_outcomes(outcomes: Outcomes) -> Counted:
    """Counts over the outcome files, read a line at a time."""
    preferences = failed_scores = undecided = 0
    certainty = disagreement = 0.0
    first: Counter[float] = Counter()
    swapped: Counter[bool | None] = Counter()
    tally = RowsTally()
    for row in outcomes.kept():
        preferences += 1
        certainty += row["p_chosen"]
        disagreement += row["disagreement"]
        shown = [(verdict["order"], verdict["p_a"]) for verdict in row["verdicts"]]
        first.update(first_wins(shown))
        swapped[same_position_wins(shown)] += 1
        scores = [s for name in ("chosen", "rejected") if (of := row[f"{name}_steps"]) is not None for s in of]
        failed_scores += scores.count(None)
        undecided += row["p_chosen"] == 0.5
        tally.add(row)
    reasons = Counter(str(row["reason"]) for row in outcomes.failed())
    malformed, both = reasons.pop(MALFORMED, 0), swapped[True] + swapped[False]
    conducts = tuple(tally.conducts(dict(reasons)))
    counts = {
        "preferences": preferences,
        "failures": sum(reasons.values()),
        "malformed": malformed,
        "failures_by_reason": dict(reasons),
        "failed_steps": failed_scores,
        "mean_p_chosen": certainty / preferences if preferences else None,
        "mean_disagreement": disagreement / preferences if preferences else None,
        "first_position_rate": sum(win * n for win, n in first.items()) / first.total() if first else None,
        "position_bias": swapped[True] / both if both else None,
        "undecided": undecided,
        "likeliest_ties": round(conducts[0][1].tie_likeliest.hits),
    }
    return Counted(counts, conducts)
