"""Labelling: turns a stream of comparisons into preferences and failures, a chunk at a time.

Only one chunk is in memory. Outcomes are written in the order of the input, so a job that was killed and resumed writes
the same files as an uninterrupted one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from preceptor.core.errors import PreceptorError
from preceptor.core.numbers import percent
from preceptor.core.progress import Progress
from preceptor.core.types import JudgeFailure, Preference, TrajectoryScore
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.steps import TrajectoryJudge
from preceptor.store.comparisons import ComparisonRow, Unanswered
from preceptor.store.outcomes import Outcomes
from preceptor.store.preference_row import MALFORMED, UNSURE, FailureRow, PreferenceRow
from preceptor.store.rows import Malformed

FEWEST = 20
"""Comparisons judged before the share of failures is checked."""
InputRow: TypeAlias = ComparisonRow | Malformed | Unanswered
"""A row of the input: a comparison, one that cannot be used, or one that the policy gave no response to."""


@dataclass(frozen=True)
class Judged:
    """What became of a chunk of rows: rows for the two outcome files."""

    kept: list[PreferenceRow]
    failed: list[FailureRow]
    steps: int = 0
    """Scores of trajectories and of their steps that were asked for."""
    failed_steps: int = 0


@dataclass
class Tally:
    """Counts the outcomes of the rows so far."""

    labelled: int = 0
    malformed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """By reason."""
    examples: dict[str, str] = field(default_factory=dict)
    """An example detail for each reason."""
    steps: int = 0
    """Scores of trajectories and of their steps that were asked for in this process."""
    failed_steps: int = 0

    @classmethod
    def of(cls, outcomes: Outcomes) -> "Tally":
        """The tally of outcomes already written, so that a resumed process counts like one that was never killed."""
        tally = cls()
        for row in outcomes.failure_rows():
            tally._add_failure(row)
        tally.labelled = sum(1 for _ in outcomes.preference_rows())
        return tally

    def count(self, judged: Judged) -> None:
        """Counts a chunk."""
        self.labelled += len(judged.kept)
        for row in judged.failed:
            self._add_failure(row)
        self.steps += judged.steps
        self.failed_steps += judged.failed_steps

    def _add_failure(self, row: FailureRow) -> None:
        if row.reason == MALFORMED:
            self.malformed += 1
        else:
            self.add(row.reason, row.detail)

    @property
    def failed(self) -> int:
        """Comparisons on which the judge failed. A cascade that is not sure enough has not failed."""
        return sum(count for reason, count in self.failures.items() if reason != UNSURE)

    def add(self, reason: str, detail: str) -> None:
        """Counts a failure."""
        self.failures[reason] += 1
        self.examples.setdefault(reason, detail)

    def check(self, most: float, *, at_end: bool, remedy: str) -> None:
        """Raises: PreceptorError when the share of failures is above `most`, with the reasons grouped."""
        judged = self.labelled + sum(self.failures.values())
        if self.failed > most * judged and (judged >= FEWEST or at_end):
            reasons = "; ".join(f"{n} {reason} ({self.examples[reason]})" for reason, n in self.failures.most_common())
            raise PreceptorError(
                f"{self.failed} of {judged} comparisons have no label, more than the {percent(most)} allowed: "
                f"{reasons}. {remedy}"
            )
        if self.failed_steps > most * self.steps and (self.steps >= FEWEST or at_end):
            raise PreceptorError(
                f"the judge failed on {self.failed_steps} of {self.steps} scores of trajectories and their steps, more "
                f"than the {percent(most)} allowed. {remedy}"
            )


REMEDY = (
    "Fix the cause and start the same work again: calls that were answered are not repeated; or allow a higher failure "
    "rate"
)


def label_rows(
    rows: Iterator[InputRow],
    judge: PreferenceJudge,
    outcomes: Outcomes,
    *,
    total: int,
    at_once: int,
    max_failure_rate: float,
    progress: Progress,
    trajectory_judge: TrajectoryJudge | None = None,
) -> Tally:
    """Judges the rows whose outcomes are not written yet.

    Args:
        rows: all rows of the input, from its beginning, numbered from 0.
        total: number of rows.
        at_once: rows judged together. The contents of a chunk do not depend on where an earlier process ended.
        max_failure_rate: share of judged comparisons that may fail.
        trajectory_judge: also scores trajectories and their steps; None scores nothing.

    Raises: PreceptorError when more fail (the chunk is then not written), when the budget is spent, or when a file
        cannot be written.
    """
    done = outcomes.resume(at_once)
    judged = judge_rows(islice(rows, done, None), judge, at_once, trajectory_judge)
    return write_judged(judged, outcomes, done=done, total=total, max_failure_rate=max_failure_rate, progress=progress)


def judge_rows(
    rows: Iterator[InputRow], judge: PreferenceJudge, at_once: int, trajectory_judge: TrajectoryJudge | None = None
) -> Iterator[Judged]:
    """Judges rows, a chunk at a time; see `label_rows`.

    Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
    """
    while chunk := list(islice(rows, at_once)):
        yield _judge_chunk(chunk, judge, trajectory_judge)


def write_judged(
    judged: Iterable[Judged],
    outcomes: Outcomes,
    *,
    done: int,
    total: int,
    max_failure_rate: float,
    progress: Progress,
) -> Tally:
    """Writes judged chunks in order, each as soon as it is judged.

    Args:
        done: rows whose outcomes are already written.
        total: number of rows.

    Raises: as `label_rows`.
    """
    tally = Tally.of(outcomes)
    for chunk in judged:
        tally.count(chunk)
        rows = len(chunk.kept) + len(chunk.failed)
        tally.check(max_failure_rate, at_end=done + rows >= total, remedy=REMEDY)
        outcomes.append(chunk.kept, chunk.failed)
        done += rows
        unsure = tally.failures[UNSURE]
        progress.advance(done, total, f"{tally.failed} failed" + (f", {unsure} unsure" if unsure else ""))
    return tally


def _judge_chunk(chunk: Sequence[InputRow], judge: PreferenceJudge, trajectory_judge: TrajectoryJudge | None) -> Judged:
    compared = [row for row in chunk if isinstance(row, ComparisonRow)]
    results = dict(zip((r.number for r in compared), judge.compare([r.comparison for r in compared]), strict=True))
    judged = [row for row in compared if isinstance(results[row.number], Preference)]
    scores = _trajectory_scores(trajectory_judge, judged)
    kept: list[PreferenceRow] = []
    failed: list[FailureRow] = []
    for row in chunk:
        result = results[row.number] if isinstance(row, ComparisonRow) else None
        if isinstance(row, ComparisonRow) and isinstance(result, Preference):
            kept.append(PreferenceRow.of(row, result, scores.get(row.number)))
        else:
            failed.append(FailureRow.of(row, result if isinstance(result, JudgeFailure) else None))
    every = [s for pair in scores.values() for trajectory in pair for s in (trajectory.whole, *trajectory.steps)]
    return Judged(kept, failed, len(every), sum(isinstance(score, JudgeFailure) for score in every))


def _trajectory_scores(
    judge: TrajectoryJudge | None, rows: Sequence[ComparisonRow]
) -> dict[int, tuple[TrajectoryScore, TrajectoryScore]]:
    """The scores of both responses, by the row's number; only for rows with a trajectory."""
    with_trajectory = [row for row in rows if row.comparison.a.trajectory or row.comparison.b.trajectory]
    if judge is None or not with_trajectory:
        return {}
    responses = [(row.comparison.prompt, r) for row in with_trajectory for r in (row.comparison.a, row.comparison.b)]
    trajectories = judge.score(responses)
    return {row.number: (trajectories[2 * i], trajectories[2 * i + 1]) for i, row in enumerate(with_trajectory)}
