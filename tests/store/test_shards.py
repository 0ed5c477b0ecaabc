from pathlib import Path

import pytest

from preceptor.core.errors import PreceptorError
from preceptor.store.call_rows import Call, Sent
from preceptor.store.ledger import Ledger
from preceptor.store.lock import exclusive
from preceptor.store.shards import absorb_shards, shard


def call(prompt: str, outcome: str = "x", transient: bool = False) -> Call:
    return Call("choose", "m", {}, {"prompt": prompt}, {"is": outcome}, False, 7, 0, transient=transient, cost_usd=0.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shards").mkdir()
    return tmp_path


def test_ledgers_of_shards_are_taken_over_in_order_and_removed(folder: Path) -> None:
    with shard(folder, "1") as path, Ledger(path) as ledger:
        ledger.record([call("b", "second"), call("c")])
    with shard(folder, "0") as path, Ledger(path) as ledger:
        ledger.record([call("a"), call("b", "first"), call("d", transient=True)])
        ledger.begin([Sent("key", "choose", "m", {}, 7, 0, 0.25)])
    absorb_shards(folder)
    assert not (folder / "shards").exists()
    with Ledger(folder / "ledger.sqlite") as ledger:
        totals = ledger.totals()
        assert ledger.find([call("b").key]) == {call("b").key: {"is": "first"}}
    assert (totals.calls, totals.failed_attempts, totals.interrupted) == (3, 3, 1)
    assert totals.cost_usd == 5 * 0.5 + 0.25  # the second answer to b has its cost too


def test_a_ledger_is_taken_over_once(folder: Path) -> None:
    with shard(folder, "0") as path, Ledger(path) as ledger:
        ledger.record([call("a", transient=True)])
    absorb_shards(folder)
    (folder / "shards").mkdir()
    with shard(folder, "0") as path, Ledger(path) as ledger:
        ledger.record([call("a", transient=True)])
    # As a process leaves it that is killed before it removes the shard.
    with Ledger(folder / "ledger.sqlite") as ledger:
        ledger._connection.execute("INSERT INTO absorbed VALUES ('0')")  # pyright: ignore[reportPrivateUsage]
    absorb_shards(folder)
    with Ledger(folder / "ledger.sqlite") as ledger:
        assert ledger.totals().failed_attempts == 1


def test_a_shard_at_work_is_left_alone(folder: Path) -> None:
    with shard(folder, "0") as path, Ledger(path) as ledger:
        ledger.record([call("a")])
    with exclusive(folder / "shards" / "0"), pytest.raises(PreceptorError, match="another process"):
        absorb_shards(folder, patience_s=0.0)
    absorb_shards(folder)
    with Ledger(folder / "ledger.sqlite") as ledger:
        assert ledger.totals().calls == 1


def test_a_machine_without_the_folder_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(PreceptorError, match="shares"), shard(tmp_path / "elsewhere", "0"):
        pass
    assert not list(tmp_path.iterdir())


def test_answers_of_an_earlier_ledger_are_found(tmp_path: Path) -> None:
    with Ledger(tmp_path / "whole ledger?.sqlite") as ledger:
        ledger.record([call("a")])
    with Ledger(tmp_path / "part.sqlite", earlier=tmp_path / "whole ledger?.sqlite") as ledger:
        ledger.record([call("b")])
        assert set(ledger.find([call(name).key for name in "abc"])) == {call("a").key, call("b").key}
        assert ledger.totals().calls == 1
