"""Calls through a batch endpoint: whole answers, expired and failed items, restarts, and half the price."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backends.batch_server import BatchScript, BatchServer
from backends.fault_server import choose, failure, probabilities, questions
from backends.thinker import Thinker, anthropic_like, deepseek_like, openai_like, vllm_like
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, Price, Thinking
from preceptor.backends.connection import Connection
from preceptor.backends.openai.abilities import ASSUMED
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.batched import BatchedModel
from preceptor.backends.resolve import check_batch, open_model
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import JudgeFailure, Message
from preceptor.store.batches import BatchFolder
from preceptor.store.ledger import Ledger

KEY = "a-key-of-the-server-1234"
ANSWER_A = {"": {"A": 0.7, "B": 0.3}}


@contextmanager
def batched(server: BatchServer, folder: Path, **settings: object) -> Generator[BatchedModel]:
    connection = Connection.model_validate({"batch": True, "retries": 3, "first_wait_s": 0.001} | settings)
    address = Address.parse(f"openai:tiny@{server.url}")
    model = BatchedModel(address, connection, None, BatchFolder(folder), gather_s=0.05, poll_s=0.01)
    try:
        yield model
    finally:
        model.close()


def script(**settings: object) -> BatchScript:
    return BatchScript(table=ANSWER_A, **settings)  # type: ignore[arg-type]


def test_calls_that_wait_together_are_one_batch(tmp_path: Path) -> None:
    with BatchServer(script(polls=3)) as server, batched(server, tmp_path) as model:
        results = choose(model, *questions(5))
        assert [probabilities(result) for result in results] == [pytest.approx([0.7, 0.3])] * 5
        assert len(server.batches) == 1
        assert len(server.paid) == 5


def test_every_path_has_a_batch_of_its_own(tmp_path: Path) -> None:
    chat = ChooseRequest((Message(role="user", content="Which?"),), ("A", "B"))
    with BatchServer(script()) as server, batched(server, tmp_path) as model:
        choose(model, *questions(2), chat)
        assert sorted(batch["endpoint"] for batch in server.batches.values()) == [
            "/v1/chat/completions",
            "/v1/completions",
        ]


@pytest.mark.parametrize("fault", ["429", "500", "batch_expired", "missing", "malformed"])
def test_an_item_without_an_answer_is_asked_again_in_the_next_batch(tmp_path: Path, fault: str) -> None:
    with BatchServer(script(item_faults={"<1>": [fault]})) as server, batched(server, tmp_path) as model:
        results = choose(model, *questions(3))
        assert [probabilities(result) for result in results] == [pytest.approx([0.7, 0.3])] * 3
        assert [batch["request_counts"]["total"] for batch in server.batches.values()] == [3, 1]


def test_a_refused_item_is_a_failure_and_costs_the_others_nothing(tmp_path: Path) -> None:
    with BatchServer(script(item_faults={"<1>": ["400"]})) as server, batched(server, tmp_path) as model:
        good, refused, other = choose(model, *questions(3))
        assert failure(refused).reason == "refused"
        assert probabilities(good) == probabilities(other) == pytest.approx([0.7, 0.3])
        assert len(server.batches) == 1


def test_what_an_expired_batch_left_is_asked_again(tmp_path: Path) -> None:
    with BatchServer(script(ends=["expired"])) as server, batched(server, tmp_path) as model:
        results = choose(model, *questions(6))
        assert [probabilities(result) for result in results] == [pytest.approx([0.7, 0.3])] * 6
        assert [batch["request_counts"]["total"] for batch in server.batches.values()] == [6, 3]
        assert len(set(server.paid)) == len(server.paid) == 6


def test_a_server_that_is_busy_or_away_is_asked_until_it_answers(tmp_path: Path) -> None:
    with BatchServer(script(busy=9)) as server, batched(server, tmp_path) as model:
        assert len(choose(model, *questions(2))) == 2
        assert len(server.batches) == 1


def test_a_refused_batch_stops_the_work_with_its_reason_and_without_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRECEPTOR_API_KEY", "secret-key-123456")
    with BatchServer(script(ends=["failed"])) as server, batched(server, tmp_path) as model:
        with pytest.raises(PreceptorError, match="invalid_file") as refused:
            choose(model, *questions(2))
        assert "secret-key" not in str(refused.value)
        assert not [file for file in tmp_path.rglob("*.json*") if "secret-key" in file.read_text()]


def test_a_cancelled_batch_stops_the_work_and_the_next_process_asks_what_is_missing(tmp_path: Path) -> None:
    with BatchServer(script(ends=["cancelled"])) as server:
        with batched(server, tmp_path) as model, pytest.raises(PreceptorError, match="cancelled at the server"):
            choose(model, *questions(4))
        with batched(server, tmp_path) as model:
            assert len(choose(model, *questions(4))) == 4
        assert len(set(server.paid)) == len(server.paid) == 4


LABEL = """
import sys
from preceptor.tasks.label import label
from preceptor.judging.specs import JudgeSpec
from preceptor.backends.connection import Connection
rows, out, url, prices = sys.argv[1:]
labels = label(rows, judges=[JudgeSpec(model=f"openai:tiny@{url}")], out=out, budget=1.0,
               connection=Connection(batch=True, prices=prices))
print(labels.counts.preferences, labels.ledger.calls, labels.ledger.interrupted, labels.ledger.cost_usd)
"""


def test_a_killed_process_leaves_its_batch_to_the_next_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    rows, out, prices = tmp_path / "rows.jsonl", tmp_path / "labels", tmp_path / "prices.toml"
    rows.write_text(
        "".join(json.dumps({"prompt": f"q{i}", "response_a": "x", "response_b": "y"}) + "\n" for i in range(4))
    )
    prices.write_text("[tiny]\nprompt = 2.0\ncompletion = 8.0\n")
    table = {"": {"1": 0.7, "2": 0.3}}
    with BatchServer(BatchScript(table=table, prefill="none", polls=10**6)) as server:
        command = [sys.executable, "-c", LABEL, str(rows), str(out), server.url, str(prices)]
        killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert server.polled.wait(timeout=120)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        server.batch_script.polls = 0
        resumed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert resumed.returncode == 0, resumed.stderr
        assert len(server.batches) == 1
        assert len(server.paid) == 8
        preferences, calls, interrupted, cost = resumed.stdout.split()
        assert (preferences, calls, interrupted) == ("4", "8", "0")
        with Ledger(out / "ledger.sqlite") as ledger:
            totals = ledger.totals()
        half = (totals.prompt_tokens * 1.0 + totals.completion_tokens * 4.0) / 1e6
        assert float(cost) == pytest.approx(half)
        assert half > 0.0


def test_a_batch_whose_id_was_not_written_down_is_found_at_the_server(tmp_path: Path) -> None:
    with BatchServer(script()) as server:
        with batched(server, tmp_path) as model:
            choose(model, *questions(3))
        [state] = tmp_path.rglob("0001.json")
        state.write_text(json.dumps(json.loads(state.read_text()) | {"id": None, "status": "written"}))
        state.with_name("0001.answers.jsonl").unlink()
        with batched(server, tmp_path) as model:
            assert len(choose(model, *questions(3))) == 3
        assert len(server.batches) == 1


def test_a_batch_whose_creation_was_not_confirmed_is_not_created_again(tmp_path: Path) -> None:
    with BatchServer(script(lost=1)) as server, batched(server, tmp_path) as model:
        assert len(choose(model, *questions(3))) == 3
        assert len(server.batches) == 1


@pytest.mark.parametrize("kind", ["created", "listed", "uploaded", "polled"])
@pytest.mark.parametrize("words", [[], {}, None, {"id": 7, "status": [], "data": 3}, {"id": "../../x", "data": "no"}])
def test_what_is_no_batch_stops_the_work_in_words_and_is_not_paid_twice(
    tmp_path: Path, kind: str, words: object
) -> None:
    if kind == "listed" and words == {}:
        words = {"data": {}}
    with BatchServer(script(words={kind: words})) as server:
        with batched(server, tmp_path) as model, pytest.raises(PreceptorError, match="batch"):
            choose(model, *questions(2))
        assert len(server.batches) <= 1
        server.batch_script.words.clear()
        with batched(server, tmp_path) as model:
            assert len(choose(model, *questions(2))) == 2
        assert len(set(server.paid)) == len(server.paid) == 2


def test_a_state_that_is_not_known_is_waited_for(tmp_path: Path) -> None:
    with BatchServer(script(words={"polled": {"status": "queued"}})) as server, batched(server, tmp_path) as model:
        threading.Thread(target=lambda: server.polled.wait(60) and server.batch_script.words.clear()).start()
        assert len(choose(model, *questions(2))) == 2
        assert len(server.batches) == 1


HOSTILE = [
    "[" * 100_000,
    '{"custom_id": 7}',
    '{"custom_id": ["x"]}',
    '{"custom_id": "of another batch-0", "response": {"status_code": 200, "body": {"choices": []}}}',
    "{" * 300,
    "\x00",
]


@pytest.mark.parametrize(
    "rest",
    [
        "",
        ', "response": []',
        ', "response": {"status_code": "many", "body": [1]}',
        ', "response": {"status_code": 400, "body": "no"}',
        ', "response": {"status_code": 400, "body": {"error": [3]}}',
        ', "response": {"status_code": -1, "body": null}, "error": 5',
        ', "response": {"status_code": 200}',
        ', "response": {"status_code": 200, "body": {"choices": {"0": 1}}}',
        ', "response": {"status_code": 200, "body": ' + "[" * 300 + "]" * 300 + "}",
        ', "error": ["code"]',
        ', "error": {"code": 3, "message": {}}',
    ],
)
def test_an_answer_of_any_form_is_a_failure_or_asked_again(tmp_path: Path, rest: str) -> None:
    with BatchServer(script()) as server, batched(server, tmp_path, retries=1) as model:
        model.preflight()
        server.batch_script.lines = [*HOSTILE, '{"custom_id": "ID"' + rest + "}"]
        [result] = choose(model, *questions(1))
        good = not isinstance(result, JudgeFailure)
        assert good == ('status_code": 400' not in rest)
        assert len(server.batches) == (2 if good else 1)


def test_what_failed_in_an_earlier_process_is_asked_again(tmp_path: Path) -> None:
    with BatchServer(script(item_faults={"<0>": ["500"] * 4})) as server:
        with batched(server, tmp_path) as model:
            assert failure(choose(model, *questions(1))[0]).reason == "backend_error"
        with batched(server, tmp_path) as model:
            assert probabilities(choose(model, *questions(1))[0]) == pytest.approx([0.7, 0.3])
        assert len(server.paid) == 1


def test_a_later_answer_of_an_earlier_process_is_not_paid_again(tmp_path: Path) -> None:
    with BatchServer(script(item_faults={"<0>": ["500"]})) as server:
        for _ in range(2):
            with batched(server, tmp_path) as model:
                choose(model, *questions(1))
        assert len(server.paid) == 1
        assert len(server.batches) == 2


def test_a_batch_costs_half_and_has_the_identity_of_the_model(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("[tiny]\nprompt = 2.0\ncompletion = 8.0\n")
    name, batch = "openai:tiny@http://localhost:9/v1", Connection(batch=True, prices=prices)
    model = open_model(name, batch, unasked=True)
    assert model.price == Price(1.0, 4.0)
    assert BatchedModel(Address.parse(name), batch, ASSUMED, None).identity == name


def test_what_a_batch_cannot_do_is_refused() -> None:
    with pytest.raises(UsageError, match="requests_per_minute"):
        open_model("openai:tiny@http://localhost:9/v1", Connection(batch=True, requests_per_minute=5.0), unasked=True)
    with pytest.raises(UsageError, match="label, audit and evaluate"):
        open_model("openai:tiny@http://localhost:9/v1", Connection(batch=True))
    with pytest.raises(UsageError, match="batch endpoint"):
        check_batch(Connection(batch=True), ["embedded", "scripted:first"])


THINKS = ChooseRequest(
    (Message(role="user", content="Which is better, 1 or 2?"),), ("1", "2"), thinking=Thinking("low")
)


def _thought(server: BatchServer, model: BatchedModel) -> ChoiceLogProbs | JudgeFailure:
    [result] = choose(model, THINKS)
    assert len(server.batches) > 0
    return result


@pytest.mark.parametrize(
    ("thinker", "share", "shown"),
    [
        (vllm_like(), [0.7, 0.2], "Let me see"),  # the log-probabilities after the thought
        (deepseek_like(), [1.0, 0.0], "Let me see"),  # four votes
        (openai_like(), [1.0, 0.0], ""),
        (anthropic_like(), [1.0, 0.0], "Let me see"),
    ],
)
def test_a_judge_that_thinks_answers_in_batches(
    tmp_path: Path, thinker: Thinker, share: list[float], shown: str
) -> None:
    with BatchServer(BatchScript(thinker=thinker, models_status=404)) as server:
        with batched(server, tmp_path, votes=4) as model:
            result = _thought(server, model)
            assert probabilities(result) == pytest.approx(share)
            assert isinstance(result, ChoiceLogProbs)
            assert result.thought == shown
        assert len(set(server.paid)) == len(server.paid) == (1 if share[1] else 4)
        with batched(server, tmp_path, votes=4) as model:  # as after a kill: what was paid for is not asked again
            assert probabilities(_thought(server, model)) == pytest.approx(share)
        assert len(server.batches) == 1


def test_a_thought_in_a_batch_that_never_ends_is_a_failure(tmp_path: Path) -> None:
    thinker = vllm_like()
    thinker.endless = 100
    with BatchServer(BatchScript(thinker=thinker, models_status=404)) as server, batched(server, tmp_path) as model:
        failed = failure(_thought(server, model))
        assert failed.reason == "unfinished_thought"
        assert failed.usage.completion_tokens > 0
        assert len(server.batches) == 1


def test_the_key_is_not_in_the_answers_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEPTOR_API_KEY", KEY)
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
    with BatchServer(script()) as server, batched(server, tmp_path) as model:
        server.batch_script.lines = [
            f'{{"custom_id": "x", "said": "{KEY}"}}',
            f'{{"custom_id": "y", "said": "{escaped}"}}',
        ]
        assert probabilities(choose(model, *questions(1))[0]) == pytest.approx([0.7, 0.3])
    [kept] = tmp_path.rglob("*.answers.jsonl")
    assert kept.read_text().count('"***"') == 2
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and KEY in file.read_text()]


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    with BatchServer(script()) as server:
        with batched(server, tmp_path) as model:
            choose(model, *questions(1))
        [state] = tmp_path.rglob("0001.json")
        state.write_text("{}")
        with batched(server, tmp_path) as model, pytest.raises(PreceptorError, match=r"0001\.json"):
            choose(model, *questions(1))


def test_the_votes_of_all_questions_share_a_batch(tmp_path: Path) -> None:
    silent = BatchScript(votes=("A", "B", "A", "A"), most_listed=0, most_listed_text=0)
    with BatchServer(silent) as server, batched(server, tmp_path, votes=4) as model:
        for result in choose(model, *questions(2)):
            assert isinstance(result, ChoiceLogProbs)
            assert result.votes == 4
        assert [batch["request_counts"]["total"] for batch in server.batches.values()] == [8]
