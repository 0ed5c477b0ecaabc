"""Labelling by workers on a Ray cluster: Ray Data hands shards of the rows to actors that hold open judges.

A shard is one or several chunks of a labelling by one process. Its worker records calls in a ledger of the shard, in
the output folder, so a worker that is killed, or the whole cluster, loses no answer: Ray gives the shard to another
one, which finds what is on record. The chunks come back in the order of the input, and this process writes them.
"""

import importlib
import logging
import os
import secrets
import socket
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.backends.names import is_served
from preceptor.core.errors import BudgetError, PreceptorError, UsageError
from preceptor.core.extras import require
from preceptor.judging.groups.design import read_design
from preceptor.judging.label import Judged
from preceptor.judging.specs import model_names
from preceptor.store.files import writing
from preceptor.store.in_memory import name_of
from preceptor.store.ledger import Ledger
from preceptor.store.shards import FOLDER, LEDGER, absorb_shards
from preceptor.tasks.label_job import JobFacts, LabelJob, Labeller
from preceptor.tasks.label_ray_worker import Coordinator, Done, Task, Worker, facts_of

MOST_SHARDS = 1024
"""A labelling has at most this many shards, each of whole chunks; their places do not depend on the workers."""
_PATIENCE_S = 10.0
"""Seconds to wait for a cluster's machine."""
_OBJECT_STORE = 256 << 20
"""Bytes of memory for results on their way, on a cluster that is started here; more go to the disk."""

_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
"""Nothing is sent to Ray's makers, and nothing is printed by its own processes."""


@contextmanager
def on_ray(job: LabelJob, out: Path, address: str, workers: int | None) -> Generator[Labeller]:
    """Connects to a cluster, unless the program is connected already, and opens the job's models on a worker.

    Args:
        job: without a policy.
        out: the folder of the labels, which no other process uses.
        address: `HOST:PORT`, `auto`, or `local` to start a cluster for the time being.

    Raises: UsageError when Ray is missing, the cluster cannot be reached or has too few cores or GPUs, and as
        `open_models`.
    """
    if read_design(job.design) != job.design:
        raise UsageError(
            f"the design {job.design} chooses pairs by earlier answers, and workers on a Ray cluster do not wait for "
            "each other: use all, circular or anchor"
        )
    require("labelling on a Ray cluster needs", "ray")
    if job.sampling is not None:
        raise UsageError(
            "a Ray cluster labels comparisons, and samples no candidates: label without it, or sample first"
        )
    if job.connection is not None and job.connection.batch:
        raise UsageError("a batch needs no workers: leave out the batch endpoint or the Ray cluster")
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    ray = importlib.import_module("ray")
    began = not ray.is_initialized()
    if began:
        _connect(ray, address, workers)
    try:
        with redirect_stdout(sys.stderr):  # where Ray prints that a worker died
            with _one_line(ray):
                labeller = _RayLabeller(ray, job, out, workers)
            yield labeller
    finally:
        if began:
            ray.shutdown()


def _connect(ray: Any, address: str, workers: int | None) -> None:
    own: dict[str, Any] = {}
    if address == "local":
        cores = max(workers or 1, os.cpu_count() or 1)
        own = {"num_cpus": cores, "include_dashboard": False, "object_store_memory": _OBJECT_STORE}
    try:
        if ":" in address and "://" not in address:
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()  # Ray itself waits for minutes
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f'no Ray cluster answers at {address} ({reason}); start a cluster, or name "local" to '
            "use this machine alone"
        ) from error


@contextmanager
def _one_line(ray: Any) -> Generator[None]:
    """Raises: PreceptorError in place of an error of the cluster; what goes wrong in a worker's code stays as it is."""
    try:
        yield
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise PreceptorError(
            f"Ray gave up: {reason} Nothing paid for is lost: the same work goes on from here"
        ) from error


class _RayLabeller:
    """A `Labeller` whose work is done on a cluster."""

    def __init__(self, ray: Any, job: LabelJob, out: Path, workers: int | None) -> None:
        self._ray, self._out, self._budget = ray, out, job.budget
        resources: dict[str, float] = ray.cluster_resources()
        self._gpus = int(resources.get("GPU", 0) > 0 and any(map(_has_weights, model_names(job.judges))))
        most = int(resources.get("GPU" if self._gpus else "CPU", 0))
        if (workers or 1) > most:
            unit = "GPUs" if self._gpus else "cores"
            raise UsageError(f"the Ray cluster has {most} {unit}, too few for {workers or 1} workers with one each")
        self._workers = workers or most
        own = replace(job, connection=_share(job.connection, self._workers))
        self._task = Task(own, out, Path.cwd(), name_of(job.data))
        self.asked = self.hits = 0
        self.paces: list[str] = []
        opened = ray.remote(num_cpus=1, num_gpus=self._gpus, max_calls=1)(facts_of).remote(self._task)
        facts: JobFacts | PreceptorError = ray.get(opened)
        if isinstance(facts, PreceptorError):
            raise facts
        self.facts = facts

    def judged(self, done: int, total: int) -> Generator[Judged]:
        """As `Labeller.judged`. When it is closed early, workers finish the chunks in hand, which are paid for."""
        ledger = self._out / LEDGER
        with Ledger(ledger, self._budget) as earlier:
            left = None if self._budget is None else self._budget - earlier.spent
        with writing(self._out / FOLDER):
            (self._out / FOLDER).mkdir(exist_ok=True)
        coordinator = self._coordinator(left)
        results = self._results(self._shards(done, total), coordinator)
        try:
            with _one_line(self._ray):
                yield from self._chunks(results)
        except BudgetError:
            self._end(results, coordinator)
            with Ledger(ledger, self._budget) as whole:
                raise whole.refuse(self._ray.get(coordinator.refused.remote())) from None
        except (Exception, GeneratorExit):  # not when interrupted: the next command takes over what is on record
            with suppress(PreceptorError):
                self._end(results, coordinator)
            raise
        self._end(results, coordinator)

    def _coordinator(self, left: float | None) -> Any:
        here = self._ray.get_runtime_context().get_node_id()
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        return self._ray.remote(num_cpus=0)(Coordinator).options(scheduling_strategy=strategy).remote(left)

    def _shards(self, done: int, total: int) -> list[dict[str, Any]]:
        rows = self.facts.at_once * ceil((total - done) / self.facts.at_once / MOST_SHARDS)
        run = secrets.token_hex(4)  # so that no shard is mistaken for one of an earlier command
        return [
            {"name": f"{start:010d}-{run}", "start": start, "stop": min(start + rows, total)}
            for start in range(done, total, rows or 1)
        ]

    def _results(self, shards: list[dict[str, Any]], coordinator: Any) -> Iterator[dict[str, Any]]:
        """A row for each shard, in order."""
        if not shards:
            return iter(())
        data = importlib.import_module("ray.data")
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        labelled = data.from_items(shards, override_num_blocks=len(shards)).map_batches(
            Worker,
            fn_constructor_args=(self._task, self.facts.at_once, coordinator),
            batch_size=1,
            compute=data.ActorPoolStrategy(size=min(self._workers, len(shards))),
            num_cpus=1,
            num_gpus=self._gpus,
        )
        return iter(labelled.iter_rows())

    def _chunks(self, results: Iterator[dict[str, Any]]) -> Generator[Judged]:
        for row in results:
            done = self._counted(row)
            yield from done.chunks
            if done.error is not None:
                raise done.error

    def _counted(self, row: dict[str, Any]) -> Done:
        done: Done = row["done"]
        self.asked += done.asked
        self.hits += done.hits
        return done

    def _end(self, results: Iterator[dict[str, Any]], coordinator: Any) -> None:
        """Has the workers stop, waits for them, and takes over what they have on record."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.get(coordinator.stop.remote())
            for row in results:
                self._counted(row)
        absorb_shards(self._out)


def _has_weights(name: str) -> bool:
    return not is_served(name) and not name.startswith("scripted:")


def _share(connection: Connection | None, workers: int) -> Connection | None:
    """The connection of one of several workers, which together keep within the limits a minute."""
    if connection is None:
        return None
    limits = {"requests_per_minute": connection.requests_per_minute, "tokens_per_minute": connection.tokens_per_minute}
    return connection.model_copy(update={name: limit and limit / workers for name, limit in limits.items()})
