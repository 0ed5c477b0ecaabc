"""Budgets: what is in flight is reserved, and what may have been paid for is counted."""

import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backends.fault_server import FaultServer, Script, failure, questions
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, Price, in_order
from preceptor.backends.connection import Connection
from preceptor.backends.openai.model import OpenAIModel
from preceptor.backends.resolve import open_model
from preceptor.backends.scripted import ScriptedModel, random_choice
from preceptor.core.errors import PreceptorError
from preceptor.core.types import Rater, Usage
from preceptor.judging.admission import BudgetedAdmission
from preceptor.judging.recorded import RecordedModel
from preceptor.store.call_rows import Call, Sent
from preceptor.store.calls import calls_by_role, notes
from preceptor.store.ledger import Ledger
from preceptor.store.migrations import MIGRATIONS

RATER = Rater(model="m", constitution="c", constitution_hash="h")
DOLLAR_PER_TOKEN = "[tiny]\nprompt = 1e6\ncompletion = 1e6\n"
LONG = "word " * 60


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRECEPTOR_API_KEY", raising=False)


def priced(server: FaultServer, tmp_path: Path, **settings: object) -> OpenAIModel:
    prices = tmp_path / "prices.toml"
    prices.write_text(DOLLAR_PER_TOKEN)
    given = {"prices": prices, "timeout_s": 10.0, "retries": 6, "first_wait_s": 0.001} | settings
    model = open_model(f"openai:tiny@{server.url}", Connection.model_validate(given))
    assert isinstance(model, OpenAIModel)
    return model


def long_questions(count: int) -> list[ChooseRequest]:
    return [ChooseRequest(f"{LONG}<{i}> Answer:", ("A", "B")) for i in range(count)]


def test_a_budget_is_kept_with_64_calls_in_flight(tmp_path: Path) -> None:
    """A call is estimated at about 116 tokens and takes 78: where the estimate is no lower, the budget holds."""
    budget = 5000.0
    with FaultServer(Script(bytes_per_token=4)) as server, Ledger(tmp_path / "l.sqlite", budget) as ledger:
        model = priced(server, tmp_path, concurrency=64)
        model.preflight()
        server.script.gathers, server.most_in_flight = 40, 0
        recorded = RecordedModel(model, ledger, RATER)
        with pytest.raises(PreceptorError, match=r"budget of \$5000 allows no further call"):
            in_order(recorded.choose(long_questions(200)), 200)
        spent = ledger.totals().cost_usd
        assert server.most_in_flight >= 40  # as many as the budget has room for
        assert spent <= budget
        assert spent > budget - 120.0  # and all of it is used, but for less than the next call
        model.close()


def test_an_estimate_that_is_too_low_is_raised_for_those_that_follow(tmp_path: Path) -> None:
    """This server counts three times the tokens of the estimate."""
    with FaultServer(Script()) as server, Ledger(tmp_path / "l.sqlite", 5000.0) as ledger:
        model = priced(server, tmp_path, concurrency=4)
        recorded = RecordedModel(model, ledger, RATER)
        with pytest.raises(PreceptorError, match="no further call"):
            in_order(recorded.choose(long_questions(200)), 200)
        assert ledger.totals().cost_usd <= 5000.0
        model.close()


def test_every_attempt_is_counted_and_needs_its_own_place_in_the_budget(tmp_path: Path) -> None:
    """The budget has room for one attempt of 14 tokens, and none for the second."""
    request = ChooseRequest("Answer:", ("A", "B"))  # 3 + 8 tokens, and 1 of the answer
    with FaultServer(Script(bytes_per_token=7)) as server, Ledger(tmp_path / "l.sqlite", 20.0) as ledger:
        model = priced(server, tmp_path)
        model.preflight()
        before = len(server.asked)
        server.script.faults = {"Answer:": ["html"] * 9}
        with pytest.raises(PreceptorError, match=r"cost \$12\.0000, .* may cost \$12\.0000"):
            in_order(RecordedModel(model, ledger, RATER).choose([request]), 1)
        assert len(server.asked) - before == 1
        totals = ledger.totals()
        assert (totals.calls, totals.failed_attempts, totals.estimated) == (0, 1, 1)
        model.close()
    with FaultServer(Script()) as server, Ledger(tmp_path / "l.sqlite") as ledger:
        model = priced(server, tmp_path)
        model.preflight()
        server.script.faults = {"Answer:": ["html"] * 9}
        [failed] = in_order(RecordedModel(model, ledger, RATER).choose([request]), 1)
        assert failure(failed).usage == Usage(prompt_tokens=22, completion_tokens=2, estimated=True)
        assert ledger.totals().cost_usd == 12.0 + 24.0
        model.close()


def test_a_free_model_needs_no_budget(tmp_path: Path) -> None:
    with FaultServer(Script()) as server, Ledger(tmp_path / "l.sqlite", 0.0) as ledger:
        model = open_model(f"openai:tiny@{server.url}")
        assert len(in_order(RecordedModel(model, ledger, RATER).choose(questions(20)), 20)) == 20


def test_reservations() -> None:
    def sent(index: int, usage: Usage, dollars: float | None) -> Sent:
        return Sent(f"key {index}", "choose", "m", {}, usage.prompt_tokens, usage.completion_tokens, dollars)

    with Ledger(Path(":memory:"), budget=10.0) as ledger:
        admission = BudgetedAdmission(ledger, Price(1e6, 0.0), sent)
        two = Usage(prompt_tokens=2)
        assert admission.admit([(i, two) for i in range(9)]) == 5
        assert not admission.extend(0, Usage(prompt_tokens=1))
        ledger.record([Call("choose", "m", {}, {}, {}, False, 4, 0, cost_usd=4.0)])
        admission.settle([(0, Usage(prompt_tokens=4)), (1, Usage())])  # twice what was estimated, for the two
        assert admission.admit([(5, Usage(prompt_tokens=1))]) == 0  # 4 are spent, 6 reserved, and 1 counts double


def test_several_callers_share_one_budget() -> None:
    def sent(index: int, usage: Usage, dollars: float | None) -> Sent:
        return Sent(f"key {index}", "choose", "m", {}, usage.prompt_tokens, usage.completion_tokens, dollars)

    with Ledger(Path(":memory:"), budget=10.0) as ledger:
        one, other = (BudgetedAdmission(ledger, Price(1e6, 0.0), sent) for _ in range(2))
        six, four = Usage(prompt_tokens=6), Usage(prompt_tokens=4)
        assert one.admit([(0, six)]) == 1
        assert other.admit([(0, six)]) == 0
        assert other.admit([(1, four)]) == 1
        assert one.abandon() == [0]
        assert other.admit([(2, six)]) == 1


def test_threads_that_ask_the_same_pay_once(tmp_path: Path) -> None:
    model = ScriptedModel("s", random_choice)
    with Ledger(tmp_path / "l.sqlite") as ledger, ThreadPoolExecutor(8) as pool:
        judges = [RecordedModel(model, ledger, RATER) for _ in range(8)]
        answers = list(pool.map(lambda judge: in_order(judge.choose(questions(30)), 30), judges))
    assert len(model.asked) == 30
    assert all(answer == answers[0] for answer in answers)
    assert sum(judge.hits for judge in judges) == 7 * 30


def test_when_one_thread_gives_up_the_other_asks(tmp_path: Path) -> None:
    begun, given_up = threading.Event(), threading.Event()

    def answer(request: ChooseRequest) -> ChoiceLogProbs:
        if not begun.is_set():
            begun.set()
            assert given_up.wait(10)
            raise PreceptorError("gone")
        return random_choice(request)

    model = ScriptedModel("s", answer)
    with Ledger(tmp_path / "l.sqlite") as ledger, ThreadPoolExecutor(2) as pool:
        ask = lambda: in_order(RecordedModel(model, ledger, RATER).choose(questions(1)), 1)  # noqa: E731
        first = pool.submit(ask)
        assert begun.wait(10)
        second = pool.submit(ask)
        given_up.set()
        with pytest.raises(PreceptorError, match="gone"):
            first.result(10)
        assert isinstance(second.result(10)[0], ChoiceLogProbs)


# ---- Calls that were in flight


def killed_while_asking(tmp_path: Path, server: FaultServer, count: int) -> None:
    """Runs a process that asks eight questions at once and kills itself when so many answers are on record."""
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from preceptor.backends.base import ChooseRequest\n"
        "from preceptor.backends.connection import Connection\n"
        "from preceptor.backends.resolve import open_model\n"
        "from preceptor.core.types import Rater\n"
        "from preceptor.judging.recorded import RecordedModel\n"
        "from preceptor.store.ledger import Ledger\n"
        "folder, url, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])\n"
        "model = open_model(f'openai:tiny@{url}', Connection(prices=folder / 'prices.toml', concurrency=8))\n"
        "rater = Rater(model='m', constitution='c', constitution_hash='h')\n"
        "recorded = RecordedModel(model, Ledger(folder / 'l.sqlite'), rater)\n"
        "requests = [ChooseRequest(f'Question <{i}> Answer:', ('A', 'B')) for i in range(40)]\n"
        "answered = 0\n"
        "for batch in recorded.choose(requests):\n"
        "    answered += len(batch)\n"
        "    if answered >= count:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "prices.toml").write_text(DOLLAR_PER_TOKEN)
    subprocess.run([sys.executable, "-c", script, str(tmp_path), server.url, str(count)], timeout=60, check=False)


def test_calls_that_were_in_flight_when_the_process_was_killed_are_told_and_counted(tmp_path: Path) -> None:
    with FaultServer(Script()) as server:
        killed_while_asking(tmp_path, server, 16)
        sent = len([body for body in server.asked if "Question" in str(body.get("prompt"))])
        with Ledger(tmp_path / "l.sqlite") as ledger:
            totals = ledger.totals()
            assert totals.calls >= 16
            assert totals.interrupted == totals.failed_attempts == totals.estimated
            assert 1 <= totals.interrupted <= 8
            assert sent <= totals.calls + totals.interrupted  # nothing that was sent is forgotten
            paid = totals.cost_usd
            model = priced(server, tmp_path)
            recorded = RecordedModel(model, ledger, RATER)
            results = in_order(recorded.choose(questions(40)), 40)
            assert all(isinstance(result, ChoiceLogProbs) for result in results)
            assert recorded.asked == 40 - totals.calls
            assert ledger.totals().cost_usd > paid
            assert ledger.totals().interrupted == totals.interrupted
            model.close()
        counted = calls_by_role([tmp_path / "l.sqlite"])["judge"]
        assert (counted.calls, counted.interrupted) == (40, totals.interrupted)
        with Ledger(tmp_path / "l.sqlite") as ledger:
            assert ledger.totals().interrupted == totals.interrupted  # counted once


def test_who_stops_in_between_leaves_nothing_in_flight(tmp_path: Path) -> None:
    with FaultServer(Script(faults={"<3>": ["stall"]})) as server, Ledger(tmp_path / "l.sqlite") as ledger:
        model = priced(server, tmp_path, concurrency=4)
        results = RecordedModel(model, ledger, RATER).choose(questions(20))
        next(results)
        results.close()  # type: ignore[attr-defined]
        totals = ledger.totals()
        assert totals.interrupted >= 1
        assert totals.interrupted + totals.calls <= 20
        model.close()
    with sqlite3.connect(tmp_path / "l.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM in_flight").fetchone() == (0,)


def test_a_scripted_judge_that_is_free_writes_no_call_twice(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        in_order(RecordedModel(ScriptedModel("s", random_choice), ledger, RATER).choose(questions(9)), 9)
    assert calls_by_role([tmp_path / "l.sqlite"])["judge"].calls == 9


def test_a_ledger_of_an_earlier_version_is_read_and_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    connection = sqlite3.connect(path)
    for number, script in enumerate(MIGRATIONS[:2], start=1):
        connection.executescript(f"{script} PRAGMA user_version = {number};")
    connection.execute("INSERT INTO calls VALUES ('k', 'choose', 'm', '{}', '{}', '{}', 0, 7, 1, 'now', 2.0)")
    connection.execute(
        "INSERT INTO failed_attempts (key, operation, model, request, outcome, created_at) "
        "VALUES ('l', 'choose', 'm', '{}', '{}', 'now')"
    )
    connection.commit()
    connection.close()
    before = calls_by_role([path])["judge"]
    with Ledger(path) as ledger:
        totals = ledger.totals()
    assert (totals.calls, totals.cost_usd, totals.failed_attempts, totals.estimated) == (1, 2.0, 1, 0)
    assert calls_by_role([path])["judge"] == before
    assert (before.calls, before.tokens, before.cost_usd) == (1, 8, 2.0)


def test_what_a_person_is_told_of_costs() -> None:
    assert notes(0, 0) == []
    in_flight, estimated = notes(7, 5)
    assert in_flight.startswith("5 calls were in flight when an earlier process ended; they may have been paid for")
    assert estimated.startswith("the tokens and the cost of 7 calls are estimates")
    assert notes(1, 0)[0].startswith("the tokens and the cost of 1 call is an estimate")
