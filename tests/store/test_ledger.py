import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from preceptor.core.errors import PreceptorError
from preceptor.core.hashing import canonical_json, content_hash
from preceptor.store.call_rows import Call, Sent, call_key
from preceptor.store.ledger import Ledger
from preceptor.store.migrations import MIGRATIONS


def call(prompt: str, outcome: str = "x", failed: bool = False) -> Call:
    return Call("choose", "m", {"model": "m"}, {"prompt": prompt}, {"log_probs": [outcome]}, failed, 7, 0)


def test_what_is_recorded_is_found_by_content(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.record([call("a"), call("b", failed=True)])
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.find([call("a").key, call("unknown").key]) == {call("a").key: {"log_probs": ["x"]}}
        totals = ledger.totals()
        assert (totals.calls, totals.failures, totals.prompt_tokens) == (2, 1, 14)


def test_the_first_outcome_stays(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.record([call("a", "first")])
        ledger.record([call("a", "second")])
        assert ledger.find([call("a").key]) == {call("a").key: {"log_probs": ["first"]}}


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    broken = Call("choose", "m", {}, {"prompt": "b"}, {}, None, 0, 0)  # type: ignore[arg-type]
    with Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises((PreceptorError, TypeError)):
            ledger.record([call("a"), broken])
        assert ledger.totals().calls == 0


def test_many_keys_at_once(tmp_path: Path) -> None:
    calls = [call(str(i)) for i in range(1203)]
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.record(calls)
        assert len(ledger.find([c.key for c in calls])) == 1203


def test_a_file_that_is_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    path.write_text("not a database, but long enough to look like a file that someone put here by mistake" * 20)
    with pytest.raises(PreceptorError, match=r"l\.sqlite: this ledger cannot be opened"):
        Ledger(path)


def test_a_damaged_row_is_reported_and_not_taken_for_an_outcome(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        ledger.record([call("a")])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE calls SET outcome = '{'")
    with Ledger(path) as ledger, pytest.raises(PreceptorError, match=r"l\.sqlite: the ledger cannot be read"):
        ledger.find([call("a").key])


def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    Ledger(path).close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(PreceptorError, match="schema version"):
        Ledger(path)


def test_many_threads_write_and_read(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger, ThreadPoolExecutor(8) as pool:

        def write(number: int) -> bool:
            one = call(str(number))
            ledger.begin([Sent(one.key, "choose", "m", {}, 7, 0, 0.5)])
            ledger.record([Call("choose", "m", {}, one.request, {}, False, 7, 0, cost_usd=0.5)])
            return one.key in ledger.find([one.key])

        assert all(pool.map(write, range(200)))
        assert (ledger.totals().calls, ledger.totals().cost_usd, ledger.spent) == (200, 100.0, 100.0)
    with sqlite3.connect(tmp_path / "l.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM in_flight").fetchone() == (0,)


def test_one_thread_that_stops_leaves_the_calls_of_others_in_flight(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.begin([Sent(key, "choose", "m", {}, 7, 0, 0.5) for key in ("one", "other")])
        ledger.interrupt(["one", "never sent"])
        assert (ledger.totals().interrupted, ledger.spent) == (1, 0.5)
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert (ledger.totals().interrupted, ledger.spent) == (2, 1.0)


def test_the_key_of_a_call_is_the_hash_of_model_operation_and_request() -> None:
    request: dict[str, object] = {"prompt": 'half \ud83d of "it"', "choices": ["1", "ü"]}
    whole = content_hash({"operation": "choose", "model": 'm"é', "request": request})
    assert call_key("choose", 'm"é', request) == call_key("choose", 'm"é', canonical_json(request)) == whole
    assert Call("choose", 'm"é', {}, request, {}, False, 0, 0).key == whole


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.close()
    with pytest.raises(PreceptorError, match="closed"):
        ledger.record([Call("choose", "m", {}, {}, {}, False, 1, 1)])
