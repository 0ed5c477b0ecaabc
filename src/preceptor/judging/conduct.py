"""Counts how a judge answers, one preference at a time, for `judging/warnings.py`. Only counts are kept in memory."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from preceptor.core.types import JudgeFailure, Message, Preference, likeliest
from preceptor.judging.position import Presented, first_wins, mean, same_position_wins
from preceptor.judging.trajectory import response_text
from preceptor.judging.warnings import MASS_BOUND, NEAR, Count, JudgeConduct
from preceptor.store.preference_row import PreferenceRow, VerdictRow, response_of

Side = Literal["a", "b", "tie"]


class Running:
    """A running count. A prompt is counted whenever it differs from the previous one, so that no prompts are kept in
    memory; comparisons of one prompt must therefore be adjacent.
    """

    def __init__(self) -> None:
        self._hits = 0.0
        self._n = 0
        self._prompts = 0
        self._last: str | None = None

    def add(self, prompt: str, hit: float) -> None:
        """Adds one observation; `hit` is 1, 0, or one half."""
        self._hits += hit
        self._n += 1
        self._prompts += prompt != self._last
        self._last = prompt

    def count(self) -> Count:
        """The count so far."""
        return Count(hits=self._hits, n=self._n, prompts=self._prompts)


class ConductTally:
    """Running counts of one judge's conduct."""

    def __init__(self) -> None:
        self._same, self._first, self._low = Running(), Running(), Running()
        self._near, self._longer, self._tie = Running(), Running(), Running()
        self._mass = 0.0

    def presentations(self, prompt: str, presented: Sequence[Presented], masses: Iterable[float]) -> None:
        """Adds the presentations of one comparison: order and p_a, and the total probability of the choices."""
        if (same := same_position_wins(presented)) is not None:
            self._same.add(prompt, float(same))
        for win in first_wins(presented):
            self._first.add(prompt, win)
        for mass in masses:
            self._mass += mass
            self._low.add(prompt, float(mass < MASS_BOUND))

    def preference(self, prompt: str, p_a: float, said: Side, longer: Side) -> None:
        """Adds the preference of one comparison, the likeliest answer, and which response is longer."""
        self._near.add(prompt, float(abs(p_a - 0.5) < NEAR))
        self._tie.add(prompt, float(p_a != 0.5 and said == "tie"))
        if longer != "tie":
            self._longer.add(prompt, 0.5 if p_a == 0.5 else float((p_a > 0.5) == (longer == "a")))

    def conduct(self, failures: dict[str, int]) -> JudgeConduct:
        """The conduct counted so far.

        Args:
            failures: comparisons without a preference, by reason.
        """
        failed, low = sum(failures.values()), self._low.count()
        judged = self._near.count()
        return JudgeConduct(
            failed=Count(hits=failed, n=judged.n + failed, prompts=judged.prompts + failed),
            failures=failures,
            same_position=self._same.count(),
            first_shown=self._first.count(),
            low_mass=low,
            choice_mass=self._mass / low.n if low.n else None,
            near_half=judged,
            longer=self._longer.count(),
            tie_likeliest=self._tie.count(),
        )


def conduct_of(outcomes: Iterable[tuple[Preference | JudgeFailure, Side]]) -> JudgeConduct:
    """How a judge answered, from pairs of an outcome and the longer response of its comparison."""
    tally, failures = ConductTally(), dict[str, int]()
    for outcome, longer in outcomes:
        if isinstance(outcome, JudgeFailure):
            failures[outcome.reason] = failures.get(outcome.reason, 0) + 1
            continue
        prompt, presentations = outcome.comparison.prompt.id, outcome.presentations
        masses = [presentation.verdict.choice_mass for presentation in presentations]
        tally.presentations(prompt, [(p.order, p.p_a) for p in presentations], masses)
        tally.preference(prompt, outcome.p_a, outcome.likeliest, longer)
    return tally.conduct(failures)


class RowsTally:
    """Tallies from preference rows: one for each judge of an ensemble, and one for all judges together."""

    def __init__(self) -> None:
        self._all = ConductTally()
        self._judges: dict[tuple[str, str], ConductTally] = {}

    def add(self, row: PreferenceRow) -> None:
        """Adds a preference."""
        by_judge: dict[tuple[str, str], list[VerdictRow]] = {}
        for verdict in row.verdicts:
            by_judge.setdefault((verdict.judge, verdict.constitution_hash), []).append(verdict)
        longer = _longer(row)
        for judge, verdicts in by_judge.items():
            own = self._judges.setdefault(judge, ConductTally())
            masses = [verdict.choice_mass for verdict in verdicts if verdict.choice_mass is not None]
            own.presentations(row.prompt_id, [(verdict.order, verdict.p_a) for verdict in verdicts], masses)
            p_a, p_tie = mean([v.p_a for v in verdicts]), mean([v.p_tie or 0.0 for v in verdicts])
            own.preference(row.prompt_id, p_a, likeliest(p_a, p_tie), longer)
        self._all.preference(row.prompt_id, row.p_a, row.likeliest_answer, longer)

    def conducts(self, failures: dict[str, int]) -> Iterator[tuple[str | None, JudgeConduct]]:
        """Each judge's identity with its conduct. With several judges, the conduct of all together comes first, named
        None.

        Failures are counted for all together: a comparison has no preference if any judge fails.
        """
        if len(self._judges) != 1:
            yield None, self._all.conduct(failures)
        for (judge, _), tally in self._judges.items():
            yield judge, tally.conduct(failures if len(self._judges) == 1 else {})


def _longer(row: PreferenceRow) -> Side:
    a, b = map(_length, row.responses)
    return "tie" if a == b else "a" if a > b else "b"


def _length(messages: Sequence[Message]) -> int:
    """Characters, as the judge reads them."""
    if len(messages) == 1 and not messages[0].tool_calls:
        return len(messages[0].content)
    return len(response_text(response_of(messages, "any")))
