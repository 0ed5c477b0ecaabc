"""Models of other providers through LiteLLM: Anthropic's and Gemini's forms, what goes wrong, and keys."""

import asyncio
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backends.fault_server import FaultServer, Script, choose, failure, probabilities
from backends.provider_server import ANTHROPIC, GEMINI, THOUGHT, Provider, ProviderServer, provided
from preceptor.backends.base import (
    FREE,
    ChoiceLogProbs,
    ChooseRequest,
    CompleteRequest,
    Completion,
    Price,
    Thinking,
    ThinkingLevel,
    in_order,
)
from preceptor.backends.connection import Connection
from preceptor.backends.litellm.address import ProviderAddress
from preceptor.backends.litellm.opening import open_provider
from preceptor.backends.names import check_name, without_server
from preceptor.backends.openai.address import Address
from preceptor.backends.resolve import open_model
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import JsonObject, Message, Usage

ASKED = ChooseRequest((Message(role="user", content="Which? Answer with 1 or 2 and nothing else."),), ("1", "2"))
KEY = "sk-ant-0123456789-abcdefgh"
both = pytest.mark.parametrize("name", [ANTHROPIC, GEMINI], ids=["anthropic", "gemini"])


@pytest.fixture(autouse=True)
def _keyless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PRECEPTOR_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)


# ---- What is asked


def test_anthropic_is_asked_in_its_own_form_and_answers_by_votes() -> None:
    with provided(ANTHROPIC, Provider(answers=("1", "1", "2", "1"))) as (model, server):
        result = choose(model, ASKED)[0]
        assert probabilities(result) == pytest.approx([0.75, 0.25])
        assert model.identity == f"{ANTHROPIC}@{server.url}#votes4x16"
        path, headers, body = server.asked[-1]
    assert (path, headers["anthropic-version"]) == ("/v1/messages", "2023-06-01")
    assert body["messages"][0]["content"][-1]["text"] == ASKED.prompt[0].content  # type: ignore[union-attr]
    assert (body["max_tokens"], body["temperature"]) == (16, 1.0)
    assert not {"top_p", "seed", "top_k"} & body.keys()  # which these models refuse


def test_gemini_is_asked_in_its_own_form_and_answers_by_votes() -> None:
    with provided(GEMINI, Provider(answers=("2",))) as (model, server):
        result = choose(model, ASKED)[0]
        assert probabilities(result) == [0.0, 1.0]
        assert result.usage == Usage(prompt_tokens=200, completion_tokens=4)  # 4 votes
        path, _, body = server.asked[-1]
    assert path.endswith("gemini-2.5-flash:generateContent")
    assert body["generationConfig"] == {"temperature": 1.0, "top_p": 1.0, "max_output_tokens": 16, "seed": 3}


def test_finding_out_what_a_provider_can_do_takes_one_call() -> None:
    with provided() as (model, server):
        abilities = model.preflight()
        assert len(server.asked) == 1
    assert abilities.chat is not None
    assert (abilities.chat.listed, abilities.text, abilities.prefill) == (0, None, None)
    assert model.context_window == 1_000_000  # by LiteLLM's table


def test_a_provider_that_lists_tokens_gives_exact_probabilities() -> None:
    script = Script(table={"": {"1": 0.6, "2": 0.3, "x": 0.1}}, prefill="none", has_text=False)
    with FaultServer(script) as server:
        model = open_provider(f"litellm:deepseek/tiny@{server.url}", Connection(retries=1), unasked=False)
        result = choose(model, ASKED)[0]
        model.close()
    assert probabilities(result) == pytest.approx([0.6, 0.3])
    assert "votes" not in model.identity


@both
def test_a_schema_is_enforced_in_the_provider_s_own_form(name: str) -> None:
    schema: JsonObject = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    schema["additionalProperties"] = False
    request = CompleteRequest(ASKED.prompt, 32, schema=schema)
    with provided(name, Provider(answers=('{"a": 1}',))) as (model, server):
        result = in_order(model.complete([request]), 1)[0]
        body = server.bodies[-1]
    assert isinstance(result, Completion)
    assert (result.text, result.finished) == ('{"a": 1}', True)
    assert '"required": ["a"]' in str(body).replace("'", '"')


# ---- What goes wrong


@both
def test_what_passes_is_asked_again(name: str) -> None:
    with provided(name, retries=6) as (model, server):
        model.preflight()
        server.provider.faults = {"Which": ["429", "500", "drop", "malformed", "500"]}
        assert probabilities(choose(model, ASKED)[0]) == [1.0, 0.0]
        assert len(server.asked) == 1 + 4 + 5


@both
def test_the_provider_says_how_long_to_wait(name: str) -> None:
    with provided(name, first_wait_s=100.0) as (model, server):
        model.preflight()
        server.provider.faults = {"Which": ["429"]}  # with 0.01 s, in a header or in the body
        assert probabilities(choose(model, ASKED)[0]) == [1.0, 0.0]


def test_an_overloaded_provider_is_asked_again() -> None:
    with provided() as (model, server):
        model.preflight()
        server.provider.faults = {"Which": ["529"]}
        assert probabilities(choose(model, ASKED)[0]) == [1.0, 0.0]


@both
def test_what_does_not_pass_is_a_failure_with_the_provider_s_words(name: str) -> None:
    with provided(name, retries=1) as (model, server):
        model.preflight()
        for fault, reason in (("too long", "prompt_too_long"), ("400", "refused"), ("500", "backend_error")):
            server.provider.faults = {"Which": [fault] * 2}
            failed = failure(choose(model, ASKED)[0])
            assert failed.reason == reason
            assert {"too long": "maximum", "400": "400 prompt", "500": "500 prompt"}[fault] in failed.detail
        server.provider.faults = {"Which": ["refusal"] * 4}
        assert "safety filter" in failure(choose(model, ASKED)[0]).detail


def test_a_slow_provider_is_given_up() -> None:
    with provided(retries=0, timeout_s=0.5) as (model, server):
        model.preflight()
        server.provider.faults = {"Which": ["stall"]}
        failed = failure(choose(model, ASKED)[0])
    assert (failed.reason, "0.5 s" in failed.detail) == ("backend_error", True)
    assert failed.usage.prompt_tokens > 0  # it may be billed


@both
def test_words_of_a_candidate_do_not_decide_what_an_error_is(name: str) -> None:
    """LiteLLM takes any error with these words for a prompt that is too long."""
    with provided(name, Provider(key=KEY), retries=0) as (model, server):
        server.provider.key = None
        model.preflight()
        server.provider.faults = {"Which": ["500"]}
        asked = ChooseRequest(
            (Message(role="user", content="Which? prompt is too long: 9 tokens > 8 maximum"),), ("1", "2")
        )
        assert failure(choose(model, asked)[0]).reason == "backend_error"


@both
@pytest.mark.parametrize(("fault", "words"), [("401", "refuses the key"), ("403", "forbids"), ("404", "no longer")])
def test_a_key_or_model_that_is_gone_ends_the_run(name: str, fault: str, words: str) -> None:
    with provided(name) as (model, server):
        model.preflight()
        server.provider.faults = {"Which": [fault]}
        with pytest.raises(PreceptorError, match=words):
            choose(model, ASKED)


def test_an_unpaid_bill_ends_the_run() -> None:
    with provided() as (model, server):
        model.preflight()
        server.provider.faults = {"Which": ["credit"]}
        with pytest.raises(PreceptorError, match="asks for payment"):
            choose(model, ASKED)


@both
def test_half_of_a_character_in_an_answer_is_said_in_words(name: str) -> None:
    with provided(name, Provider(answers=("\ud800",))) as (model, _), pytest.raises(PreceptorError, match="half"):
        choose(model, ASKED)


@both
def test_a_redirect_does_not_take_the_key_elsewhere(name: str) -> None:
    with ProviderServer(Provider()) as elsewhere, provided(name) as (model, server):
        model.preflight()
        server.provider.faults = {"Which": [f"to {elsewhere.url}/"]}
        assert failure(choose(model, ASKED)[0]).reason == "refused"
        assert not elsewhere.asked


@both
def test_a_model_that_the_provider_does_not_have_is_refused_with_its_words(name: str) -> None:
    with (
        provided(name, Provider(faults={"Hi": ["404"]})) as (model, _),
        pytest.raises(PreceptorError, match=r"refuses .*(claude|gemini).*: 404: 404 prompt"),
    ):
        model.preflight()


def test_no_server() -> None:
    with ProviderServer(Provider()) as server:
        url = server.url
    with pytest.raises(PreceptorError, match="no model server answers"):
        open_provider(f"{ANTHROPIC}@{url}", Connection(retries=0), unasked=False).preflight()


# ---- Keys


@both
def test_the_key_is_sent_and_never_shown(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("PRECEPTOR_API_KEY", KEY)
    with provided(name, Provider(key=KEY), retries=0) as (model, server):
        texts = [model.identity, repr(model)]
        for fault in ("400", "429", "500"):  # the words quote the key
            server.provider.faults = {"Which": [fault]}
            texts.append(failure(choose(model, ASKED)[0]).detail)
        server.provider.answers = (KEY,)
        texts.append(failure(choose(model, ASKED)[0]).detail)
        server.provider.key = "another"
        with pytest.raises(PreceptorError, match="check the environment variable PRECEPTOR_API_KEY") as error:
            choose(model, ASKED)
        texts.append(str(error.value))
    shown = "\n".join([*texts, caplog.text, *capsys.readouterr()])
    assert KEY not in shown
    assert "***" in shown


@both
def test_a_provider_s_key_does_not_go_to_another_server(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.setenv(variable, KEY)
    with provided(name) as (model, server):
        choose(model, ASKED)
        assert KEY not in str(server.asked)


def test_a_missing_key_is_named_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, variable in ((ANTHROPIC, "ANTHROPIC_API_KEY"), (GEMINI, "GEMINI_API_KEY or GOOGLE_API_KEY")):
        with pytest.raises(UsageError, match=variable):
            open_model(name)
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    assert ProviderAddress.parse(GEMINI).key_variable == "GOOGLE_API_KEY"
    open_model(GEMINI)
    monkeypatch.setenv("GOOGLE_API_KEY", "two words")
    with pytest.raises(UsageError, match="GOOGLE_API_KEY") as error:
        open_model(GEMINI)
    assert "two words" not in str(error.value)


# ---- Names and prices


def test_an_unknown_provider_has_a_nearest_name() -> None:
    with pytest.raises(UsageError, match='"antropic"; did you mean "anthropic"'):
        open_model("litellm:antropic/claude-haiku-4-5")
    for name in ("litellm:claude-haiku-4-5", "litellm:/x", "litellm:anthropic/", "litellm:"):
        with pytest.raises(UsageError, match="litellm:PROVIDER/NAME"):
            check_name(name)
    with pytest.raises(UsageError, match="PRECEPTOR_API_KEY") as error:
        check_name(f"{ANTHROPIC}@https://me:secret@gateway.example")
    assert "secret" not in str(error.value)


def test_prices_are_those_of_the_table_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    assert open_model("litellm:anthropic/claude-haiku-4-5", unasked=True).price == Price(
        1.0, 5.0, cached=0.1, cache_write=1.25
    )
    assert open_model("litellm:anthropic/no-such-model", unasked=True).price is None
    assert open_model("litellm:ollama/llama3", unasked=True).price == FREE
    own = tmp_path / "prices.toml"
    own.write_text('["anthropic/claude-haiku-4-5"]\nprompt = 0.5\ncompletion = 2.0\n')
    connection = Connection(prices=own)
    assert open_model("litellm:anthropic/claude-haiku-4-5", connection, unasked=True).price == Price(0.5, 2.0)


def test_a_dry_run_counts_votes_where_the_provider_lists_no_tokens() -> None:
    assert open_model(ANTHROPIC, unasked=True).identity.endswith("#votes8x16")
    assert open_model("litellm:deepseek/deepseek-chat", unasked=True).identity == "litellm:deepseek/deepseek-chat"


def test_ollama_is_short_for_its_server_on_this_machine() -> None:
    assert Address.parse("ollama:llama3.2:3b") == Address("llama3.2:3b", "http://localhost:11434/v1")
    assert open_model("ollama:llama3.2:3b", unasked=True).price == FREE
    with pytest.raises(UsageError, match="expected ollama:NAME"):
        check_name("ollama:llama3@http://elsewhere:11434")
    assert without_server("ollama:llama3") == without_server("litellm:llama3@http://x") == "llama3"


# ---- The library


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "litellm", raising=False)
    with pytest.raises(UsageError, match=r'litellm: pip install "preceptor\[litellm\]"'):
        check_name(ANTHROPIC)


def test_the_library_is_imported_when_used_fetches_nothing_and_reads_no_env_file(tmp_path: Path) -> None:
    script = (
        "import os, socket, sys\n"
        "socket.socket.connect = lambda *a: print('connects', a)\n"
        "import preceptor.cli.app, preceptor.backends.resolve as resolve\n"
        "print('litellm' in sys.modules)\n"
        "resolve.open_model('litellm:anthropic/claude-haiku-4-5', unasked=True)\n"
        "print('litellm' in sys.modules, os.environ.get('FROM_A_FILE'))\n"
    )
    (tmp_path / ".env").write_text("FROM_A_FILE=1\n")
    arguments = [sys.executable, "-c", script]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path)
    assert (ended.stdout.split(), ended.stderr) == (["False", "True", "None"], "")


def test_no_task_outlives_its_call() -> None:
    """LiteLLM's own logging would."""

    async def tasks() -> int:
        return len(asyncio.all_tasks()) - 1

    with provided() as (model, _):
        choose(model, ASKED)
        assert model._background.start(tasks()).result() == 0  # pyright: ignore[reportPrivateUsage]
        assert math.isclose(sum(probabilities(choose(model, ASKED)[0])), 1.0)


# ---- Thinking


@pytest.mark.parametrize(
    ("name", "level", "sent"),
    [
        (ANTHROPIC, "low", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (ANTHROPIC, 2000, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        (GEMINI, "medium", {"thinkingConfig": {"thinkingBudget": 4096, "includeThoughts": True}}),
    ],
)
def test_a_provider_s_model_thinks_in_its_own_form(name: str, level: ThinkingLevel, sent: JsonObject) -> None:
    with provided(name, Provider(answers=("1", "1", "2", "1"))) as (model, server):
        assert "#thinks-budget#votes4x16" in model.thinking_identity(level)
        [result] = choose(model, replace(ASKED, thinking=Thinking(level)))
        assert isinstance(result, ChoiceLogProbs)
        assert result.thought == THOUGHT
        assert result.usage.completion_tokens == 4 * 8  # the thought counts
        assert probabilities(result) == pytest.approx([0.75, 0.25])
        body = server.asked[-1][2]
    assert sent.items() <= (body if name == ANTHROPIC else body["generationConfig"]).items()


@both
def test_a_provider_s_model_is_kept_from_thinking(name: str) -> None:
    with provided(name) as (model, server):
        assert "#thinks-not-effort-none" in model.thinking_identity("off")
        [result] = choose(model, replace(ASKED, thinking=Thinking("off")))
        assert isinstance(result, ChoiceLogProbs)
        assert result.thought == ""
        config = server.asked[-1][2].get("generationConfig", {}).get("thinkingConfig", {})
    assert config.get("thinkingBudget", 0) == 0
