"""A labelling: its data, judges and settings; the models that it opens; who does it."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from preceptor.backends.base import LanguageModel, pace_in_words
from preceptor.backends.connection import Connection
from preceptor.backends.names import check_name
from preceptor.backends.resolve import check_batch, open_model
from preceptor.core.errors import UsageError
from preceptor.core.types import Rater
from preceptor.judging.constitution import load_constitution
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.groups.design import PairDesign, read_design
from preceptor.judging.label import InputRow, Judged, judge_rows
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.rubrics.items import check_items
from preceptor.judging.specs import JudgeSpec, build_judge, check_prices, model_names
from preceptor.judging.steps import TrajectoryJudge
from preceptor.store.batches import BatchFolder
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.in_memory import name_of
from preceptor.store.ledger import Ledger
from preceptor.store.rows import Malformed
from preceptor.tasks.candidates import Sampling, candidate_rater, expected_comparisons, sampled_comparisons
from preceptor.tasks.label_groups import RememberingJudge, expected_rows, played_rows

_SHOWN = 3
"""How many unusable rows a note names."""


@dataclass(frozen=True)
class LabelJob:
    """The data, judges and settings of a labelling; see `label`."""

    data: Path
    judges: tuple[JudgeSpec, ...]
    sampling: Sampling | None
    design: PairDesign
    limit: int | None
    strict: bool
    steps: bool
    budget: float | None
    connection: Connection | None

    def __post_init__(self) -> None:
        if self.sampling is not None:
            check_name(self.sampling.policy)

    def expected_rows(self) -> Iterator[InputRow]:
        """The rows up to the limit, as far as they are known without asking the policy."""
        if self.sampling is None:
            rows = read_comparisons(self.data, design=read_design(self.design))
        else:
            rows = expected_comparisons(self.data, self.sampling)
        return islice(expected_rows(rows, self.compared), self.limit)

    @property
    def compared(self) -> PairDesign:
        """Which pairs of several responses to a prompt are compared."""
        return self.design if self.sampling is None else self.sampling.design


@dataclass(frozen=True)
class JobFacts:
    """What is known of a job once its models are open."""

    rater: Rater
    judges: tuple[str, ...]
    """Identities of the judges' models."""
    policy: str | None
    """Identity of the policy's model."""
    at_once: int
    """Rows judged together."""


class Labeller(Protocol):
    """Whoever judges the rows of a job."""

    @property
    def facts(self) -> JobFacts:
        """The identities of the rater, the judges and the policy, and how many rows are judged at once."""
        ...

    def judged(self, done: int, total: int) -> Generator[Judged]:
        """The rows from `done` on, in chunks of `at_once`, in the order of the input.

        Raises: PreceptorError when the budget is spent or a model cannot be asked at all.
        """
        ...

    @property
    def asked(self) -> int:
        """Calls that were made."""
        ...

    @property
    def hits(self) -> int:
        """Calls that the ledger answered."""
        ...

    @property
    def paces(self) -> list[str]:
        """How many requests were in flight, in words, as far as that is known."""
        ...


@dataclass(frozen=True)
class Census:
    """Counts of the input's rows."""

    rows: int
    malformed: int
    examples: list[Malformed]
    """The first unusable rows."""
    repeated: tuple[str, ...] = ()
    """Ids of prompts to sample for that an earlier prompt has, each once."""

    @property
    def notes(self) -> Iterator[str]:
        """What is wrong with the rows, in sentences."""
        if self.malformed:
            listed = "; ".join(f"{row.place}: {row.reason}" for row in self.examples)
            more = " ..." if self.malformed > len(self.examples) else ""
            yield f"skipping {self.malformed} unusable rows: {listed}{more}"
        if self.repeated:
            yield (
                f'several prompts have one id, such as "{self.repeated[0]}": they are sampled with the same random '
                "numbers, their labels have the same ids, and estimates take them for one prompt; give each an id of "
                "its own, or none"
            )


def take_census(job: LabelJob) -> Census:
    """Reads the whole input once, so that its length is known, and unusable rows and checks are reported before any
    call.

    Raises: UsageError when there is nothing to label, on a check of a rubric that cannot be used if a judge goes by
        rubrics, and on an unusable row if the job is strict.
    """
    rows = malformed = 0
    examples: list[Malformed] = []
    by_rubrics, checked = any(spec.goes_by_rubrics for spec in job.judges), None
    seen, repeated = set[str](), dict[str, None]()
    for row in job.expected_rows():
        rows += 1
        if job.sampling is not None and isinstance(row, ComparisonRow):  # whose id is the prompt's, with two numbers
            if row.comparison.id in seen:
                repeated[row.comparison.prompt.id] = None
            seen.add(row.comparison.id)
        if by_rubrics and isinstance(row, ComparisonRow) and row.comparison.prompt.rubric not in (None, checked):
            checked = row.comparison.prompt.rubric
            check_items(checked, row.comparison.prompt)
        if isinstance(row, Malformed):
            malformed += 1
            if len(examples) < _SHOWN:
                examples.append(row)
    if examples and (job.strict or malformed == rows):
        raise UsageError(f"{examples[0].place}: {examples[0].reason} ({malformed} unusable rows in all)")
    if rows == 0:
        raise UsageError(f"{name_of(job.data)}: there are no rows")
    return Census(rows, malformed, examples, tuple(repeated))


@dataclass(frozen=True)
class OpenModels:
    """The judges and the policy of a job, whose calls go through a ledger."""

    job: LabelJob
    judge: PreferenceJudge
    policy: RecordedModel | None
    trajectory_judge: TrajectoryJudge | None

    @classmethod
    def of(cls, job: LabelJob, models: dict[str, LanguageModel], ledger: Ledger) -> "OpenModels":
        """Judges and policy on open models; see `open_models`.

        Raises: UsageError when judges do not fit their models or calibrations.
        """
        policy = trajectory_judge = None
        if job.sampling is not None:
            model = models[job.sampling.policy]
            policy = RecordedModel(model, ledger, candidate_rater(model.identity))
        if job.steps:
            first = job.judges[0]
            trajectory_judge = TrajectoryJudge(models[first.model], load_constitution(first.constitution), ledger)
        return cls(job, build_judge(job.judges, models, ledger), policy, trajectory_judge)

    @property
    def facts(self) -> JobFacts:
        """The identities of the rater, the judges and the policy, and how many rows are judged at once."""
        members = self.judge.members
        return JobFacts(
            rater=self.judge.rater,
            judges=tuple(member.rater.model for member in members),
            policy=None if self.policy is None else self.policy.model.identity,
            at_once=4 * max(member.model.model.concurrency for member in members),
        )

    def judged(self, done: int, total: int) -> Generator[Judged]:
        """As `Labeller.judged`."""
        job, judge, at_once = self.job, self.judge, self.facts.at_once
        if read_design(job.compared) == job.compared:
            rows = islice(self._rows(), done, total)
        else:
            judge = RememberingJudge(judge)
            rows = played_rows(self._rows(), job.compared, judge, at_once, done, total)
        yield from judge_rows(rows, judge, at_once, self.trajectory_judge)

    def _rows(self) -> Iterator[InputRow]:
        """The rows of the input; candidates are sampled when their comparisons are read."""
        job = self.job
        if self.policy is None or job.sampling is None:
            return read_comparisons(job.data, design=read_design(job.design))
        return sampled_comparisons(job.data, self.policy, job.sampling)

    @property
    def asked(self) -> int:
        """Calls that were made."""
        return sum(model.asked for model in self.recorded)

    @property
    def hits(self) -> int:
        """Calls that the ledger answered."""
        return sum(model.hits for model in self.recorded)

    @property
    def paces(self) -> list[str]:
        """How many requests were in flight, in words."""
        return list(dict.fromkeys(filter(None, (pace_in_words(each.model) for each in self.recorded))))

    @property
    def recorded(self) -> list[RecordedModel]:
        """The models of judges and policy."""
        recorded = [member.model for member in self.judge.members]
        recorded += [self.policy] if self.policy else []
        return recorded + (self.trajectory_judge.models if self.trajectory_judge else [])


def open_models(
    job: LabelJob, *, batches: BatchFolder | None = None, unasked: bool = False
) -> dict[str, LanguageModel]:
    """Opens every model of a job once.

    Args:
        batches: keeps the batches of a connection that sends calls to a batch endpoint.
        unasked: contact no server.

    Raises: UsageError, PreceptorError when a model cannot be opened, or has no price and there is a budget.
    """
    names = model_names(job.judges) + ([job.sampling.policy] if job.sampling else [])
    check_batch(job.connection, names)
    models = {name: open_model(name, job.connection, unasked=unasked, batches=batches) for name in dict.fromkeys(names)}
    check_prices(job.budget, list(models.values()))
    return models


@contextmanager
def in_this_process(job: LabelJob, ledger: Path) -> Generator[Labeller]:
    """Opens the models here.

    Args:
        ledger: the file of the ledger.

    Raises: as `open_models`.
    """
    with Ledger(ledger, job.budget) as opened:
        yield OpenModels.of(job, open_models(job, batches=BatchFolder.beside(opened)), opened)
