"""A worker of a labelling on a Ray cluster, and the coordinator of all of them; see `label_ray`."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.backends.base import LanguageModel
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.judging.admission import Estimating
from preceptor.judging.label import InputRow, Judged, judge_rows
from preceptor.store.in_memory import remember
from preceptor.store.ledger import Ledger
from preceptor.store.shards import LEDGER, shard
from preceptor.tasks.label_job import JobFacts, LabelJob, OpenModels, open_models

MOST_ATTEMPTS = 4
"""A shard is not given out again after this many workers died over it: it may be what kills them."""


@dataclass(frozen=True)
class Task:
    """What every worker is told."""

    job: LabelJob
    """With the worker's share of the limits of calls and tokens a minute."""
    out: Path
    folder: Path
    """The current folder, which paths refer to."""
    given: str
    """What messages call the rows."""
    preceptor: str = field(default_factory=lambda: version("preceptor"))

    def enter(self) -> None:
        """Has this process see paths and names as the one that gave the task.

        Raises: UsageError where it cannot.
        """
        if version("preceptor") != self.preceptor:
            raise UsageError(f"a worker has preceptor {version('preceptor')}, and this machine {self.preceptor}")
        if not self.folder.is_dir():
            raise UsageError(
                f"{self.folder}: a worker does not see this folder; label on a disk that all machines share"
            )
        os.chdir(self.folder)
        if self.given != str(self.job.data):
            remember(self.job.data, self.given)


def facts_of(task: Task) -> JobFacts | PreceptorError:
    """Opens the models once, to learn who they are."""
    try:
        task.enter()
        with Ledger(Path(":memory:")) as ledger:
            return OpenModels.of(task.job, open_models(task.job), ledger).facts
    except PreceptorError as error:
        return error


class Coordinator:
    """One for all workers: hands out the budget, and tells them to stop. Runs where the command runs."""

    def __init__(self, left: float | None) -> None:
        self._left = left
        self._granted: dict[str, float] = {}
        """Dollars that a shard may spend in all, or has spent."""
        self._attempts = Counter[str]()
        self._stopped = False
        self._refused = 0.0

    def begin(self, name: str) -> int:
        """How often a shard was given out by now; 0 if it is not to be labelled any more."""
        self._attempts[name] += 1
        return 0 if self._stopped else self._attempts[name]

    def grant(self, name: str, dollars: float) -> bool:
        """Whether the calls of a shard may cost this much in all."""
        more = dollars - self._granted.get(name, 0.0)
        if self._left is not None and more > 0.0:
            if more > self._left:
                self._refused = more
                return False
            self._left -= more
            self._granted[name] = dollars
        return True

    def settle(self, name: str, spent: float) -> None:
        """Takes back what a shard was granted and has not spent."""
        if self._left is not None:
            self._left += self._granted.get(name, 0.0) - spent
            self._granted[name] = spent

    def refused(self) -> float:
        """Dollars of the last call that the budget did not allow."""
        return self._refused

    def stop(self) -> None:
        """Tells workers to stop after the chunk in hand."""
        self._stopped = True

    def stopped(self) -> bool:
        """Whether workers are to stop."""
        return self._stopped


class _ShardLedger(Ledger):
    """The ledger of a shard, whose budget is what the coordinator grants."""

    def __init__(self, path: Path, budget: float | None, earlier: Path, name: str, coordinator: Any) -> None:
        self._name, self._coordinator = name, coordinator
        super().__init__(path, budget, earlier)

    def within_budget(self, dollars: float) -> bool:
        if self.budget is None:
            return True
        import ray

        return ray.get(self._coordinator.grant.remote(self._name, dollars))


@dataclass
class Done:
    """What a worker sends back for a shard."""

    chunks: list[Judged] = field(default_factory=list)
    asked: int = 0
    hits: int = 0
    error: PreceptorError | None = None


class Worker:
    """An actor that holds open models and labels one shard after the other."""

    def __init__(self, task: Task, at_once: int, coordinator: Any) -> None:
        self._task, self._at_once, self._coordinator = task, at_once, coordinator
        self._models: dict[str, LanguageModel] = {}
        self._estimating: list[Estimating] = []
        """What the calls of earlier shards have shown."""
        self._rows: Iterator[InputRow] = iter(())
        self._place = -1
        """Number of the next row of `_rows`."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Done]]:
        """Labels the shard that a batch of one row names."""
        done = Done()
        try:
            self._label(str(batch["name"][0]), int(batch["start"][0]), int(batch["stop"][0]), done)
        except PreceptorError as error:
            done.error = error
        return {"done": [done]}

    def _label(self, name: str, start: int, stop: int, done: Done) -> None:
        import ray

        attempt: int = ray.get(self._coordinator.begin.remote(name))
        if not attempt:
            return
        if attempt > MOST_ATTEMPTS:
            raise PreceptorError(
                f"{MOST_ATTEMPTS} workers were killed while they labelled rows {start + 1} to {stop}: a judge may need "
                "more memory than there is"
            )
        if not self._models:
            self._task.enter()
            self._models = open_models(self._task.job)
        rows, earlier = self._read(start, stop), self._task.out / LEDGER
        with (
            shard(self._task.out, name) as path,
            _ShardLedger(path, self._task.job.budget, earlier, name, self._coordinator) as ledger,
        ):
            models = OpenModels.of(self._task.job, self._models, ledger)
            self._estimating = self._estimating or [model.estimating for model in models.recorded]
            for model, known in zip(models.recorded, self._estimating, strict=True):
                model.estimating = known
            try:
                for chunk in judge_rows(iter(rows), models.judge, self._at_once, models.trajectory_judge):
                    done.chunks.append(chunk)
                    if ray.get(self._coordinator.stopped.remote()):
                        break
            finally:
                done.asked, done.hits = models.asked, models.hits
                ray.get(self._coordinator.settle.remote(name, ledger.spent))

    def _read(self, start: int, stop: int) -> list[InputRow]:
        """Rows of the input. Shards mostly come in order, so the file is read about once."""
        if not 0 <= self._place <= start:
            self._rows, self._place = self._task.job.expected_rows(), 0
        rows = list(islice(self._rows, start - self._place, stop - self._place))
        self._place = stop
        if len(rows) < stop - start:
            raise PreceptorError(f"{self._task.job.data}: a worker sees other rows in this file than this machine")
        return rows
