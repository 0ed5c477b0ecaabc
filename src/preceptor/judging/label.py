"""Labelling: a stream of comparisons in, preferences and failures out, a chunk at a time.

Memory holds one chunk. Outcomes are written in the order of the input, so that a run that was killed and goes on writes
what an uninterrupted one would have written.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from preceptor.core.errors import PreceptorError
from preceptor.core.numbers import percent
from preceptor.core.types import JudgeFailure, Preference, TrajectoryScore
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.steps import TrajectoryJudge
from preceptor.store.comparisons import ComparisonRow, Unanswered
from preceptor.store.outcomes import Outcomes
from preceptor.store.preferences import MALFORMED, failure_row, preference_row
from preceptor.store.rows import Malformed, Row

FEWEST = 20
"""Comparisons judged before a share of failures means anything."""


@dataclass
class Tally:
    """What has come of the rows so far."""

    labelled: int = 0
    malformed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """By reason."""
    examples: dict[str, str] = field(default_factory=dict)
    """A detail for each reason."""
    steps: int = 0
    """Scores of trajectories and of their steps that were asked for in this process."""
    failed_steps: int = 0

    @classmethod
    def of(cls, outcomes: Outcomes) -> "Tally":
        """The tally of what is written already, so that a process which goes on counts as one that was never killed."""
        tally = cls()
        for row in outcomes.failed():
            if row["reason"] == MALFORMED:
                tally.malformed += 1
            else:
                tally.add(row["reason"], row["detail"])
        tally.labelled = sum(1 for _ in outcomes.kept())
        return tally

    @property
    def failed(self) -> int:
        """Comparisons on which the judge failed."""
        return sum(self.failures.values())

    def add(self, reason: str, detail: str) -> None:
        """Counts a failure."""
        self.failures[reason] += 1
        self.examples.setdefault(reason, detail)

    def check(self, most: float, *, at_end: bool, remedy: str) -> None:
        """Raises: PreceptorError when the share of failures is above `most`, with the reasons grouped."""
        judged = self.labelled + self.failed
        if self.failed > most * judged and (judged >= FEWEST or at_end):
            reasons = "; ".join(f"{n} {reason} ({self.examples[reason]})" for reason, n in self.failures.most_common())
            raise PreceptorError(
                f"the judge failed on {self.failed} of {judged} comparisons, more than the {percent(most)} allowed: "
                f"{reasons}. {remedy}"
            )
        if self.failed_steps > most * self.steps and (self.steps >= FEWEST or at_end):
            raise PreceptorError(
                f"the judge failed on {self.failed_steps} of {self.steps} scores of trajectories and their steps, more "
                f"than the {percent(most)} allowed. {remedy}"
            )


REMEDY = (
    "Mend the cause and give the same command again: what is answered is not asked again; or allow more with "
    "--max-failure-rate"
)


def label(
    rows: Iterator[ComparisonRow | Malformed | Unanswered],
    judge: PreferenceJudge,
    outcomes: Outcomes,
    *,
    at_once: int,
    max_failure_rate: float,
    on_chunk: Callable[[int, Tally], None],
    trajectory_judge: TrajectoryJudge | None = None,
) -> Tally:
    """Judges the rows whose outcomes are not written yet.

    Args:
        rows: all rows of the input, from its beginning, numbered from 0.
        at_once: rows judged together. What a chunk holds does not depend on where an earlier process ended.
        max_failure_rate: share of judged comparisons that may fail.
        on_chunk: told how many rows are done, and the tally.
        trajectory_judge: scores trajectories and their steps as well; None for not.

    Raises: PreceptorError when more fail, with the chunk unwritten; when the budget is spent or a file cannot be
        written.
    """
    done = outcomes.resume(at_once)
    tally = Tally.of(outcomes)
    remaining = islice(rows, done, None)
    chunk = list(islice(remaining, at_once))
    while chunk:
        following = list(islice(remaining, at_once))
        kept, failed = _judge_chunk(chunk, judge, trajectory_judge, tally)
        tally.check(max_failure_rate, at_end=not following, remedy=REMEDY)
        outcomes.append(kept, failed)
        done += len(chunk)
        on_chunk(done, tally)
        chunk = following
    return tally


def _judge_chunk(
    chunk: Sequence[ComparisonRow | Malformed | Unanswered],
    judge: PreferenceJudge,
    trajectory_judge: TrajectoryJudge | None,
    tally: Tally,
) -> tuple[list[Row], list[Row]]:
    """The rows of the two outcome files that a chunk becomes."""
    compared = [row for row in chunk if isinstance(row, ComparisonRow)]
    results = dict(zip((r.number for r in compared), judge.compare([r.comparison for r in compared]), strict=True))
    judged = [row for row in compared if isinstance(results[row.number], Preference)]
    scores = _trajectory_scores(trajectory_judge, judged, tally)
    kept: list[Row] = []
    failed: list[Row] = []
    for row in chunk:
        result = results[row.number] if isinstance(row, ComparisonRow) else None
        if isinstance(row, ComparisonRow) and isinstance(result, Preference):
            tally.labelled += 1
            kept.append(preference_row(row, result, scores.get(row.number)))
            continue
        failed.append(failure_row(row, result if isinstance(result, JudgeFailure) else None))
        if isinstance(row, Malformed):
            tally.malformed += 1
        else:
            tally.add(failed[-1]["reason"], failed[-1]["detail"])
    return kept, failed


def _trajectory_scores(
    judge: TrajectoryJudge | None, rows: Sequence[ComparisonRow], tally: Tally
) -> dict[int, tuple[TrajectoryScore, TrajectoryScore]]:
    """By number of the row, the scores of both responses."""
    acted = [row for row in rows if row.comparison.a.trajectory or row.comparison.b.trajectory]
    if judge is None or not acted:
        return {}
    scores = judge.score([(row.comparison.prompt, r) for row in acted for r in (row.comparison.a, row.comparison.b)])
    given = [score for each in scores for score in (each.whole, *each.steps)]
    tally.steps += len(given)
    tally.failed_steps += sum(isinstance(score, JudgeFailure) for score in given)
    return {row.number: (scores[2 * i], scores[2 * i + 1]) for i, row in enumerate(acted)}
