"""`label` on a real Ray cluster of two workers on this machine, some of which are killed."""

import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from backends.fault_server import TABLE, FaultServer, Script
from killing import drive
from labelling import Job, labelled
from preceptor.backends.connection import Connection
from preceptor.core.errors import BudgetError, PreceptorError, UsageError
from preceptor.store.ledger import Ledger
from preceptor.tasks.candidates import Sampling
from preceptor.tasks.label_ray_worker import Coordinator

ray: Any = pytest.importorskip("ray", reason="ray is not installed: pip install 'preceptor[ray]'")

ROWS = [
    *({"prompt": f"question {i}", "response_a": f"answer {i}", "response_b": f"other {i} yes"} for i in range(600)),
    "{broken",
    *({"prompt": f"p{i}", "responses": ["x", "y", f"z{i}"]} for i in range(60)),
]
JUDGE = {**TABLE, "Preferred response:": {" 1": 0.6, " 2": 0.3, "A": 0.1}}
OF_THE_PROCESS = ("seconds", "calls_in_this_process", "ledger_hits")
SAME = ("preferences.jsonl", "failures.jsonl", "label.json", "preferences.parquet", "README.md")


IN_FLIGHT = 8
"""Most calls of a worker with two at a time that may be sent and not on record: half of a chunk's."""


def kill_workers(folder: str) -> Callable[[], None]:
    """What every worker runs at its start: it kills itself before it records its n-th batch of answers, if a file
    `folder/kill-*` holds n. It removes the file, so that each file kills one worker.
    """

    def hook() -> None:

        record, batches = Ledger.record, [0]

        def dying(self: Any, calls: Any) -> None:
            batches[0] += 1
            for path in Path(folder).glob("kill-*"):
                if batches[0] >= int(path.read_text()):
                    path.unlink()
                    os.kill(os.getpid(), signal.SIGKILL)
            record(self, calls)

        Ledger.record = dying  # type: ignore[method-assign]

    return hook


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder whose files kill workers."""
    folder = tmp_path_factory.mktemp("kills")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 << 20,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": kill_workers(str(folder))},
    )
    try:
        yield folder
    finally:
        ray.shutdown()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in ROWS))
    return {"rows": data, "judges": ["scripted:random", "scripted:first"]}


def calls(folder: Path, columns: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        return connection.execute(f"SELECT {columns} FROM calls ORDER BY key").fetchall()


EVERY = (
    "key, operation, model, rater, request, outcome, failed, prompt_tokens, completion_tokens, cost_usd, estimated, "
    "cached_tokens"
)


def summary(folder: Path) -> dict[str, Any]:
    """The summary but for what depends on the processes."""
    content = json.loads((folder / "summary.json").read_text())
    return {key: value for key, value in content.items() if key not in OF_THE_PROCESS}


def test_workers_one_of_them_killed_write_what_one_process_writes(cluster: Path, job: Job, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    labelled(job, out=one)
    (cluster / "kill-a").write_text("20")
    labels = labelled(job, out=two, ray="local", workers=2)
    assert not list(cluster.iterdir())  # the worker is dead
    assert labels.counts.preferences == 780
    for name in SAME:
        assert (two / name).read_bytes() == (one / name).read_bytes(), name
    assert calls(two, EVERY) == calls(one, EVERY)
    assert summary(two) == summary(one)
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}


def served(job: Job, server: FaultServer, tmp_path: Path, **changes: Any) -> Job:
    prices = tmp_path / "prices.toml"
    prices.write_text("[tiny]\nprompt = 1000.0\ncompletion = 1000.0\n")
    connection = Connection(concurrency=2, prices=prices, first_wait_s=0.001)
    model = f"openai:tiny@{server.url}"
    return job | {"judges": model, "connection": connection, "out": tmp_path / "out", "limit": 40} | changes


def test_a_killed_worker_repeats_only_what_was_in_flight(cluster: Path, job: Job, tmp_path: Path) -> None:
    with FaultServer(Script(table=JUDGE)) as server:
        there = served(job, server, tmp_path)
        (cluster / "kill-a").write_text("5")
        labels = labelled(there, ray="local", workers=2, budget=1e9)
        asked = len(server.asked)
        assert not list(cluster.iterdir())
        assert labels.counts.preferences == 40
        assert labels.ledger.calls == 80
        assert 1 <= labels.ledger.interrupted <= IN_FLIGHT
        again = labelled(there | {"out": tmp_path / "alone"})
        opening = len(server.asked) - asked - 80  # questions by which a model is opened: four times above
    assert asked <= 80 + labels.ledger.interrupted + 4 * opening
    assert calls(there["out"], "key, outcome") == calls(tmp_path / "alone", "key, outcome")
    assert labels.ledger.cost_usd > again.ledger.cost_usd  # what may have been paid for twice counts


def test_a_killed_command_goes_on_in_one_process(job: Job, tmp_path: Path) -> None:
    with FaultServer(Script(table=JUDGE)) as server:
        there = served(job, server, tmp_path)
        out, command = there["out"], ["label", str(there["rows"]), "--judge", there["judges"], "--out"]
        ray_options = ["--ray", "local", "--workers", "2", "--concurrency", "2", "--limit", "40"]
        killed = drive("sync", 8, *command, str(out), *ray_options)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        labels = labelled(there)  # waits for the workers, which Ray ends a little later
        assert not (out / "shards").exists()
        assert labels.ledger.calls == 80
        assert labels.ledger.interrupted <= 2 * IN_FLIGHT
        assert sum("answer" in str(question) for question in server.asked) <= 80 + labels.ledger.interrupted
        labelled(there | {"out": tmp_path / "alone"})
    assert (out / "preferences.jsonl").read_bytes() == (tmp_path / "alone/preferences.jsonl").read_bytes()
    assert calls(out, "key, outcome") == calls(tmp_path / "alone", "key, outcome")


def test_the_budget_holds_over_all_workers_and_a_larger_one_goes_on(cluster: Path, job: Job, tmp_path: Path) -> None:
    with FaultServer(Script(table=JUDGE, bytes_per_token=4)) as server:  # fewer tokens than are estimated
        there = served(job, server, tmp_path)
        whole = labelled(there | {"out": tmp_path / "alone"}).ledger.cost_usd
        with pytest.raises(BudgetError, match="allows no further call") as error:
            labelled(there, ray="local", workers=2, budget=whole / 2)
        with closing(sqlite3.connect(there["out"] / "ledger.sqlite")) as connection:
            [(spent, count)] = connection.execute("SELECT sum(cost_usd), count(*) FROM calls").fetchall()
        assert 0.4 * whole < spent <= whole / 2
        assert f"cost ${spent:.4f}" in str(error.value)
        labels = labelled(there, budget=2 * whole)  # by one process
        assert labels.calls_in_this_process == 80 - count
    assert labels.ledger.cost_usd == pytest.approx(whole)
    assert (there["out"] / "preferences.jsonl").read_bytes() == (tmp_path / "alone/preferences.jsonl").read_bytes()


def test_too_many_failures_stop_the_workers_as_they_stop_one_process(cluster: Path, job: Job, tmp_path: Path) -> None:
    faults = {f"answer {i}\\": ["400"] * 9 for i in range(8, 40)}
    with FaultServer(Script(table=JUDGE, faults=faults)) as server:
        there = served(job, server, tmp_path)
        with pytest.raises(PreceptorError) as alone:
            labelled(there | {"out": tmp_path / "alone"})
        with pytest.raises(PreceptorError) as on_ray:
            labelled(there, ray="local", workers=2)
    assert "of 24 comparisons" in str(alone.value)
    assert str(on_ray.value) == str(alone.value)
    assert (there["out"] / "preferences.jsonl").read_bytes() == (tmp_path / "alone/preferences.jsonl").read_bytes()
    assert not (there["out"] / "shards").exists()


def test_what_a_cluster_cannot_do_is_said_in_a_line(cluster: Path, job: Job, tmp_path: Path) -> None:
    job = job | {"out": tmp_path / "out", "ray": "local"}
    with pytest.raises(UsageError, match="has 2 cores, too few for 3 workers"):
        labelled(job, workers=3)
    with pytest.raises(UsageError, match="samples no candidates"):
        labelled(job, sampling=Sampling(policy="scripted:random"))
    with pytest.raises(UsageError, match="2 workers need a Ray cluster"):
        labelled(job, workers=2, ray=None)


def test_the_coordinator_grants_what_is_left() -> None:
    coordinator = Coordinator(10.0)
    assert coordinator.grant("a", 6.0)
    assert coordinator.grant("b", 4.0)
    assert coordinator.grant("a", 5.0)  # less than it has
    assert not coordinator.grant("b", 4.5)
    assert coordinator.refused() == 0.5
    coordinator.settle("a", 3.0)
    assert coordinator.grant("b", 7.0)
    assert not coordinator.grant("c", 0.1)
    assert Coordinator(None).grant("a", 1e9)


def test_rows_that_kill_every_worker_stop_the_command(cluster: Path, job: Job, tmp_path: Path) -> None:
    for name in "abcd":
        (cluster / f"kill-{name}").write_text("1")
    job = job | {"judges": "scripted:random", "out": tmp_path / "out", "limit": 8, "ray": "local"}
    with pytest.raises(PreceptorError, match="4 workers were killed while they labelled rows 1 to 8"):
        labelled(job)
    assert labelled(job).counts.preferences == 8
