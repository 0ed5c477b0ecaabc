"""What is known of production's failures: signs in cohort files, and comparisons in which a judge preferred another."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread
from typing import Literal

from preceptor.core.errors import PreceptorError
from preceptor.results.evaluation import EvaluationResult
from preceptor.store.outcomes import Outcomes
from preceptor.studio.cohorts.files import CohortFile, ProductionPrompt, paths_of_cohorts, read_cohort_file
from preceptor.studio.cohorts.over_time import OverTime, ProductionResponse, over_time
from preceptor.studio.folders import Library, Work
from preceptor.studio.remembered import Remembered, state_of
from preceptor.studio.rows.files import row_files
from preceptor.tasks.evaluate.policies import ANSWERED

JUDGED = "judged/preferences.jsonl"
_KEPT = 800
"""Results of reading that are kept in memory."""


@dataclass(frozen=True)
class Source:
    """Production's responses with a time, and whether they failed; from one cohort file or one evaluation."""

    kind: Literal["signs", "judged"]
    name: str
    """Of the file or the folder."""
    against: str
    """The policy that responses were compared with; empty for a cohort file."""
    responses: Sequence[ProductionResponse]
    untimed: int
    """Responses left out because no time is known."""
    unjudged: int = 0
    """Comparisons of the whole evaluation, with every policy, without a verdict."""
    unjudged_in: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many of them each cohort has, as far as the evaluation says so."""
    file: CohortFile | None = None
    judge: str = ""

    @property
    def address(self) -> dict[str, str]:
        """What names the source, as parameters of a page's address."""
        return {"of": self.name, "against": self.against} if self.against else {"of": self.name}


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that cannot be read, and why."""

    name: str
    problem: str


@dataclass(frozen=True)
class _Judged:
    """A verdict on production's response to a prompt, before its time is known."""

    prompt_id: str
    cohort: str
    row_id: str
    against: str
    p: float
    """Probability that production's response is the better one."""
    line: int


class Sources:
    """Reads sources, and keeps what has not changed since."""

    def __init__(self) -> None:
        self._kept = Remembered(_KEPT)
        self._lock = Lock()
        self._thread: Thread | None = None
        self.doing = ""
        """What is being read, in words."""

    def ready(self, library: Library, within_s: float = 0.4) -> bool:
        """Whether everything is read, so that `all` and `shown` answer at once. What is not is read in the background.

        Args:
            within_s: seconds that this may wait.
        """
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._read, args=[library], name="cohorts", daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(within_s)
        return not thread.is_alive()

    def _read(self, library: Library) -> None:
        for source in self.all(library)[0]:
            self.doing = f"Counting {source.name} by time and model."
            self.shown(source)

    def all(self, library: Library) -> tuple[list[Source], list[Unreadable]]:
        """All sources: evaluations first, then cohort files."""
        files: list[CohortFile] = []
        judged: list[Source] = []
        failed: list[Unreadable] = []
        for name, path in paths_of_cohorts(library).items():
            try:
                files.append(self._file(name, path))
            except PreceptorError as error:
                failed.append(Unreadable(name, str(error)))
        asked = {prompt.id: prompt for file in reversed(files) for prompt in file.prompts}
        for work in library.works("evaluation"):
            try:
                judged += self._evaluation(work, asked)
            except PreceptorError as error:
                failed.append(Unreadable(work.name, str(error)))
        return [*judged, *map(self._signs, files)], failed

    def shown(self, source: Source) -> OverTime | None:
        """What a source shows over time; None without a response that has a time."""
        if not source.responses:
            return None
        return self._kept.get(
            ("over time", source.name, source.against), tuple(source.responses), lambda: over_time(source.responses)
        )

    def _file(self, name: str, path: Path) -> CohortFile:
        def said(share: float) -> None:
            self.doing = f"Reading {name}: {share:.0%}."

        said(0)
        return self._kept.get(("file", name), state_of(path), lambda: read_cohort_file(name, path, said))

    def _signs(self, file: CohortFile) -> Source:
        return self._kept.get(("signs", file.name), file, lambda: _signs(file))

    def _evaluation(self, work: Work, asked: Mapping[str, ProductionPrompt]) -> list[Source]:
        """The comparisons of production's answers with each other policy."""
        if (
            not any(file.place == JUDGED for file in row_files(work))
            or not (work.path / EvaluationResult.FILE).exists()
        ):
            return []
        written = work.path / EvaluationResult.FILE
        result = self._kept.get(("result", work.path), state_of(written), lambda: EvaluationResult.load(work.path))
        names = [policy.name for policy in result.policies if policy.source == ANSWERED]
        if not names:
            return []
        self.doing = f"Reading {work.name}."
        rows = self._kept.get(("judged", work.path), state_of(work.path / JUDGED), lambda: _judged(work, names[0]))
        unjudged = sum(result.judge.failures.values())
        where = self._kept.get(("unjudged", work.path), state_of(written), lambda: _unjudged(work)) if unjudged else {}
        sources: list[Source] = []
        for against in dict.fromkeys(row.against for row in rows):
            part = [row for row in rows if row.against == against]
            responses = tuple(_production_response(row, asked[row.prompt_id]) for row in part if row.prompt_id in asked)
            untimed = len(part) - len(responses)
            sources.append(
                Source("judged", work.name, against, responses, untimed, unjudged, where, judge=result.judge.name)
            )
        return sources


def _signs(file: CohortFile) -> Source:
    responses = tuple(
        ProductionResponse(p.id, p.cohort, p.text, p.time, p.model, bool(p.signs), ", ".join(p.signs))
        for p in file.prompts
    )
    return Source("signs", file.name, "", responses, file.untimed, file=file)


def _judged(work: Work, answered: str) -> list[_Judged]:
    """Raises: PreceptorError if the file is damaged."""
    found: list[_Judged] = []
    for line, row in enumerate(Outcomes(work.path / "judged").preference_rows()):
        is_a = row.a_is_by(answered)
        if is_a is not None:
            p, against = row.p_a if is_a else 1 - row.p_a, row.policies[1 if is_a else 0]
            found.append(_Judged(row.prompt_id, row.cohort, row.id, against, p, line))
    return found


def _unjudged(work: Work) -> dict[str, int]:
    """Comparisons without a verdict by cohort; none where the evaluation does not say which cohort each is in.

    Raises: PreceptorError if the file is damaged.
    """
    cohorts = [row.cohort for row in Outcomes(work.path / "judged").failure_rows()]
    return {} if None in cohorts else dict(Counter(str(cohort) for cohort in cohorts).most_common())


def _production_response(judged: _Judged, asked: ProductionPrompt) -> ProductionResponse:
    why = f"P(better than {judged.against}) = {judged.p:.2f}"
    return ProductionResponse(
        judged.prompt_id, judged.cohort, asked.text, asked.time, asked.model, judged.p < 0.5, why, judged.row_id,
        judged.line,
    )  # fmt: skip
