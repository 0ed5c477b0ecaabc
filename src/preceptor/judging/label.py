"""Labelling: a stream of comparisons in, preferences and failures out, a chunk at a time.

Memory holds one chunk. Outcomes are written in the order of the input, so that a run that was killed and goes on writes
what an uninterrupted one would have written.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from preceptor.core.errors import PreceptorError
from preceptor.core.types import JudgeFailure
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.steps import StepJudge
from preceptor.store.comparisons import ComparisonRow
from preceptor.store.outcomes import Outcomes
from preceptor.store.preferences import StepScores, failure_row, preference_row
from preceptor.store.rows import Malformed

FEWEST = 20
"""Comparisons judged before a share of failures means anything."""


@dataclass
class Tally:
    """What has come of the rows of this process."""

    labelled: int = 0
    malformed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """By reason."""
    examples: dict[str, str] = field(default_factory=dict)
    """A detail for each reason."""

    @property
    def failed(self) -> int:
        """Comparisons on which the judge failed."""
        return sum(self.failures.values())

    def count(self, failure: JudgeFailure) -> None:
        """Counts a failure."""
        self.failures[failure.reason] += 1
        self.examples.setdefault(failure.reason, failure.detail)

    def check(self, most: float, *, at_end: bool) -> None:
        """Raises: PreceptorError when the share of failures is above `most`, with the reasons grouped."""
        judged = self.labelled + self.failed
        if self.failed > most * judged and (judged >= FEWEST or at_end):
            reasons = "; ".join(f"{n} {reason} ({self.examples[reason]})" for reason, n in self.failures.most_common())
            raise PreceptorError(
                f"the judge failed on {self.failed} of {judged} comparisons, more than the {most:.0%} allowed: "
                f"{reasons}. Mend the cause and give the same command again, which asks only what is not answered yet; "
                "or allow more with --max-failure-rate"
            )


def label(
    rows: Iterator[ComparisonRow | Malformed],
    judge: PreferenceJudge,
    outcomes: Outcomes,
    *,
    at_once: int,
    max_failure_rate: float,
    on_chunk: Callable[[int, Tally], None],
    step_judge: StepJudge | None = None,
) -> Tally:
    """Judges the rows whose outcomes are not written yet.

    Args:
        rows: all rows of the input, from its beginning, numbered from 0.
        at_once: rows judged together.
        max_failure_rate: share of judged comparisons that may fail.
        on_chunk: told how many rows are done, and the tally.
        step_judge: scores the steps of trajectories as well; None for not.

    Raises: PreceptorError when more fail, with the chunk unwritten; when the budget is spent or a file cannot be
        written.
    """
    tally = Tally()
    done = outcomes.resume()
    remaining = islice(rows, done, None)
    while chunk := list(islice(remaining, at_once)):
        judged = [row for row in chunk if isinstance(row, ComparisonRow)]
        results = iter(judge.compare([row.comparison for row in judged]))
        steps = _steps(step_judge, judged)
        kept: list[dict[str, object]] = []
        failed: list[dict[str, object]] = []
        for row in chunk:
            result = next(results) if isinstance(row, ComparisonRow) else None
            if isinstance(row, Malformed) or result is None:
                tally.malformed += 1
                failed.append(failure_row(row.number, row))
            elif isinstance(result, JudgeFailure):
                tally.count(result)
                failed.append(failure_row(row.number, row, [result]))
            else:
                tally.labelled += 1
                kept.append(preference_row(row.number, row, result, steps.get(row.number)))
        tally.check(max_failure_rate, at_end=len(chunk) < at_once)
        outcomes.append(kept, failed)
        done += len(chunk)
        on_chunk(done, tally)
    return tally


def _steps(judge: StepJudge | None, rows: Sequence[ComparisonRow]) -> dict[int, tuple[StepScores, StepScores]]:
    """By number of the row, the step scores of both responses."""
    acted = [row for row in rows if row.comparison.a.trajectory or row.comparison.b.trajectory]
    if judge is None or not acted:
        return {}
    items = [(row.comparison.prompt, r) for row in acted for r in (row.comparison.a, row.comparison.b)]
    scores = iter(
        [None if isinstance(s, JudgeFailure) else s.expectation for s in of_one] for of_one in judge.score(items)
    )
    return {row.number: (next(scores), next(scores)) for row in acted}
