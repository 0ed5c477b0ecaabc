"""A server that is hostile or broken: each answer is a failure of its own, promptly, and nothing else suffers."""

import json
import sqlite3
from pathlib import Path

import pytest

from backends.fault_server import FaultServer, Script, choose, failure, probabilities, questions, serving
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, CompleteRequest, Completion, LanguageModel, in_order
from preceptor.backends.connection import Connection
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.choosing import bare
from preceptor.backends.openai.keys import key_for
from preceptor.backends.openai.model import OpenAIModel
from preceptor.backends.resolve import open_model
from preceptor.backends.scripted import ScriptedModel, random_choice
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import JudgeFailure, Message, Rater, Usage
from preceptor.judging.recorded import RecordedModel
from preceptor.store.ledger import Ledger

KEY = "a-token-0123456789"
ASKED = (Message(role="user", content="Which?"),)
PREFILLED = ChooseRequest(ASKED, (" 1", " 2"), prefill="Answer:")
ANSWER = json.dumps(
    {
        "choices": [{"message": {"content": " 1"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1},
    }
)
RATER = Rater(model="m", constitution="c", constitution_hash="h")


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRECEPTOR_API_KEY", raising=False)


def completed(model: LanguageModel, tokens: int = 5) -> Completion | JudgeFailure:
    return in_order(model.complete([CompleteRequest(ASKED, tokens, prefill="Answer:")]), 1)[0]


# ---- Bodies


def test_a_body_that_drips_ends_at_the_deadline() -> None:
    with serving(timeout_s=0.5, retries=0) as (model, server):
        server.script.faults = {"<0>": ["drip"]}
        late, fine = choose(model, *questions(2))
        assert failure(late).detail == "no whole answer within 0.5 s"
        assert late.usage.estimated  # it may have been paid for
        assert isinstance(fine, ChoiceLogProbs)


@pytest.mark.parametrize("fault", ["large", "bomb 200", "bomb 500"])
def test_a_body_is_never_larger_than_the_limit(fault: str) -> None:
    with serving(retries=3) as (model, server):
        model.preflight()
        before = len(server.asked)
        server.script.faults = {"<0>": [fault] * 9}
        large, fine = choose(model, *questions(2))
        assert "more than 4 MiB" in failure(large).detail
        assert isinstance(fine, ChoiceLogProbs)
        assert len(server.asked) - before == 3  # asked again once, and once about the other


def test_a_compressed_answer_is_read() -> None:
    with serving() as (model, server):
        model.preflight()
        server.script.faults = {"Which?": [f"gzip {ANSWER}"]}
        assert completed(model) == Completion(" 1", True, Usage(prompt_tokens=7, completion_tokens=1))


@pytest.mark.parametrize(
    "answer",
    [
        '{"choices": null}',
        '{"choices": {}}',
        '{"choices": [{"text": 7}]}',
        '{"choices": [' + ",".join(['{"text": "x"}'] * 129) + "]}",
        '{"choices": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"a":' * 5000 + "1" + "}" * 5000,
        '{"choices": [{"text": "x"}], "usage": {"prompt_tokens": ' + "9" * 5000 + "}}",
    ],
)
def test_a_malformed_answer_is_asked_for_once_more_and_counted(answer: str) -> None:
    with serving(retries=6) as (model, server):
        model.preflight()
        before = len(server.asked)
        server.script.faults = {"Which?": [answer] * 9}
        failed = failure(choose(model, PREFILLED)[0])
        assert failed.reason == "backend_error"
        assert "not an answer of this API" in failed.detail
        assert len(server.asked) - before == 2
        assert failed.usage.estimated
        assert failed.usage.prompt_tokens == 2 * (2 + 8 + 3)  # "Which?", a message, "Answer:", in both attempts
        assert 0 < failed.usage.completion_tokens <= 2 * 3


# ---- Counts of tokens


@pytest.mark.parametrize("count", ["9223372036854775808", "1" + "0" * 30, "-1", "7.5", '"7"', "true", "NaN"])
def test_an_impossible_count_of_tokens_is_a_failure_that_can_be_recorded(count: str, tmp_path: Path) -> None:
    with serving() as (model, server), Ledger(tmp_path / "l.sqlite") as ledger:
        impossible = f'usage {{"prompt_tokens": {count}, "completion_tokens": 1}}'
        server.script.faults = {"<0>": [impossible] * 9}
        recorded = RecordedModel(model, ledger, RATER)
        failed, fine = in_order(recorded.choose(questions(2)), 2)
        assert "usage.prompt_tokens" in failure(failed).detail
        assert probabilities(fine) == pytest.approx([0.06, 0.04])
        assert ledger.totals().calls == 1


@pytest.mark.parametrize("fault", ["no usage", "usage null", "usage {}", 'usage {"prompt_tokens": 0}'])
def test_tokens_that_the_server_does_not_count_are_estimated(fault: str) -> None:
    with serving(Script(prefill="none")) as (model, server):
        server.script.faults = {"Which?": [fault]}
        (result,) = choose(model, ChooseRequest(ASKED, ("A", "B")))
        assert isinstance(result, ChoiceLogProbs)
        assert result.usage == Usage(prompt_tokens=2 + 8, completion_tokens=1, estimated=True)
        (counted,) = choose(model, ChooseRequest(ASKED, ("A", "B")))
        assert isinstance(counted, ChoiceLogProbs)
        assert counted.usage == Usage(prompt_tokens=14, completion_tokens=1)


# ---- Words


def test_a_completion_longer_than_its_tokens_is_a_failure_on_record(tmp_path: Path) -> None:
    request = CompleteRequest(ASKED, 5)
    with serving() as (model, server), Ledger(tmp_path / "l.sqlite") as ledger:
        server.script.faults = {"Which?": [f"words {5 * 1024 + 1}", f"words {5 * 1024}"]}
        recorded = RecordedModel(model, ledger, RATER)
        failed = failure(in_order(recorded.complete([request]), 1)[0])
        assert (failed.reason, failed.transient) == ("no_answer", False)
        assert failed.detail == "5,121 characters, more than the 5,120 allowed for 5 tokens"
        assert in_order(recorded.complete([request]), 1) == [failed]
        at_the_limit = CompleteRequest(ASKED, 5, seed=1)
        assert isinstance(in_order(recorded.complete([at_the_limit]), 1)[0], Completion)


def test_a_ledger_of_before_that_holds_what_is_refused_now_gives_failures(tmp_path: Path) -> None:
    model = ScriptedModel("s", random_choice)
    asked = [CompleteRequest("one", 4, seed=seed) for seed in range(3)]
    with Ledger(tmp_path / "l.sqlite") as ledger:
        in_order(RecordedModel(model, ledger, RATER).complete(asked), 3)
    with sqlite3.connect(tmp_path / "l.sqlite") as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM calls ORDER BY json_extract(request, '$.seed')")]
        long = json.dumps({"text": "w" * 5000, "finished": True, "usage": {}})
        for key, outcome in zip(
            keys, (long, '{"text": "w", "finished": true, "usage": {"prompt_tokens": -1}}'), strict=False
        ):
            connection.execute(
                "UPDATE calls SET outcome = ?, prompt_tokens = 9223372036854775807 WHERE key = ?", (outcome, key)
            )
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.totals().prompt_tokens > 9e18
        long_one, negative, fine = in_order(RecordedModel(model, ledger, RATER).complete(asked), 3)
        assert "5,000 characters" in failure(long_one).detail
        assert "no usable answer" in failure(negative).detail
        assert isinstance(fine, Completion)


# ---- Keys


def test_a_key_that_an_answer_repeats_is_masked_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PRECEPTOR_API_KEY", KEY)
    with serving() as (model, server), Ledger(tmp_path / "l.sqlite") as ledger:
        server.script.faults = {"Which?": ["echo"]}
        result = in_order(RecordedModel(model, ledger, RATER).complete([CompleteRequest(ASKED, 5)]), 1)[0]
        assert isinstance(result, Completion)
        assert result.text == "As Bearer *** says."
        escaped = "".join(f"\\u{ord(c):04x}" for c in KEY)
        server.script.faults = {"Which?": [f'{{"choices": [{{"text": "{escaped}"}}]}}']}
        written = completed(model)
        assert isinstance(written, Completion)
        assert written.text == "***"
        server.script.faults = {"Which?": [f'{{"choices": "{KEY}"}}'] * 2}
        assert KEY not in failure(completed(model)).detail
    assert KEY.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_a_key_goes_over_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("PRECEPTOR_API_KEY", KEY)
    for name, variable in (
        ("openai:m@http://api.openai.com/v1", "OPENAI_API_KEY"),
        ("openai:m@http://api.openai.com:8080/v1", "OPENAI_API_KEY"),
        ("openai:m@http://API.openai.com./v1", "OPENAI_API_KEY"),
        ("openai:m@http://example.com/v1", "PRECEPTOR_API_KEY"),
        ("openai:m@http://8.8.8.8/v1", "PRECEPTOR_API_KEY"),
        ("openai:m@http://[::ffff:8.8.8.8]/v1", "PRECEPTOR_API_KEY"),
        ("openai:m@http://134744072/v1", "PRECEPTOR_API_KEY"),
    ):
        with pytest.raises(UsageError, match=f"{variable} would be sent in clear text; write https://") as error:
            open_model(name)
        assert KEY not in str(error.value)
    for name in ("https://api.openai.com/v1", "https://example.com/v1", "http://localhost:1/v1", "http://10.0.0.7/v1"):
        assert key_for(Address.parse(f"openai:m@{name}")) == KEY
    monkeypatch.delenv("PRECEPTOR_API_KEY")
    assert key_for(Address.parse("openai:m@http://example.com/v1")) == ""


@pytest.mark.parametrize(
    "name",
    [
        "openai:m@https://h.example/v1?api_key=SECRET",
        "openai:m@https://h.example/v1#SECRET",
        "openai:m@https://me:SECRET@h.example/v1",
        "openai:m@HTTPS://me:SECRET@h.example/v1",
        "openai:https://me:SECRET@h.example/v1",
        "https://me:SECRET@h.example/v1",
        "openal:m@https://h.example/v1?key=SECRET",
        "openai:m@https://h.example/v1\n?key=SECRET",
    ],
)
def test_a_secret_in_an_address_is_not_repeated(name: str) -> None:
    from preceptor.backends.names import check_name

    with pytest.raises(UsageError) as error:
        check_name(name)
    assert "SECRET" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "host", ["h\x00st", "a b", "h\u00f6st", "xn--\u00e9", "a" * 64 + ".example", "[::1", "[zz]", "", "h\tx"]
)
def test_a_host_that_is_no_name(host: str) -> None:
    with pytest.raises(UsageError, match="openai:"):
        Address.parse(f"openai:m@http://{host}:80/v1")


# ---- Redirects


def test_a_redirect_to_another_server_is_not_followed() -> None:
    with FaultServer(Script()) as other, serving(retries=6) as (model, server):
        model.preflight()
        before = len(server.asked)
        server.script.faults = {"<0>": [f"to {other.url}/chat/completions?key=k"], "<1>": ["to https://127.0.0.1:1/"]}
        *failed, fine = choose(model, *questions(3))
        assert [failure(each).reason for each in failed] == ["refused", "refused"]
        assert (
            f"redirects to http://127.0.0.1:{other.server_port}/v1/chat/completions, which" in failure(failed[0]).detail
        )
        assert isinstance(fine, ChoiceLogProbs)
        assert (len(server.asked) - before, other.asked) == (3, [])


def test_a_redirect_on_the_same_server_is_followed_a_few_times() -> None:
    with serving() as (model, server):
        model.preflight()
        before = len(server.asked)
        server.script.faults = {"<0>": ["to /v1/completions"], "<1>": ["to /v1/completions"] * 99}
        fine, looping = choose(model, *questions(2))
        assert probabilities(fine) == pytest.approx([0.06, 0.04])
        assert "redirects to" in failure(looping).detail
        assert len(server.asked) - before == 2 + 4


def test_a_server_that_redirects_everything_is_named_in_one_line() -> None:
    with serving(Script(faults={"": ["to https://elsewhere.example/v1"] * 99})) as (model, server):
        with pytest.raises(PreceptorError, match=r"redirects to https://elsewhere\.example/v1, which is not followed"):
            model.preflight()
        assert len(server.asked) <= 12


# ---- Settings


@pytest.mark.parametrize("price", ["nan", "inf", "-1", "true", '"1"', "1e300"])
def test_a_price_is_a_number_of_dollars(price: str, tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(f"[m]\nprompt = {price}\ncompletion = 1\n")
    with pytest.raises(UsageError, match="not a table of prices") as error:
        open_model("openai:m@https://example.com/v1", Connection(prices=own))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("budget", [float("nan"), float("inf"), -1.0])
def test_a_budget_is_an_amount(budget: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected dollars"):
        Ledger(tmp_path / "l.sqlite", budget)


def test_an_environment_without_a_way_out_reaches_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would be sent the key that is meant for this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving() as (model, _):
        assert isinstance(model, OpenAIModel)
        assert model.chat


def test_an_answer_of_white_space_is_read_at_once() -> None:
    padded = "A" + " " * 200_000 + "B"
    assert bare(padded) == padded
    assert bare(" \n**A**.\u3000") == "A"
