"""The served model against a real server that can do anything wrong."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from backends.fault_server import FaultServer, Script, choose, failure, probabilities, questions, serving
from preceptor.backends.base import (
    FREE,
    ChoiceLogProbs,
    ChooseRequest,
    CompleteRequest,
    Completion,
    in_order,
)
from preceptor.backends.names import same_model
from preceptor.backends.openai.model import OpenAIModel
from preceptor.backends.resolve import open_model
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import JudgeFailure, Message, Usage
from preceptor.judging.constitution import load_constitution
from preceptor.judging.score import ScoreJudge
from preceptor.store.ledger import Ledger

KEY = "sk-secret-0123456789"
ASKED = (Message(role="user", content="Which?"),)
PREFILLED = ChooseRequest(ASKED, (" 1", " 2"), prefill="Answer:")
ROOT = {"": {" 1": 0.5, " 2": 0.3, " ": 0.03}}
EXPECTED = {" 1": 0.44, " 10": 0.11, " 2": 0.33, " 3": 0.02}
TRANSIENT = ("stall", "drop", "429", "500", "truncated", "malformed", "html", "no choices", "an error with status 200")


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRECEPTOR_API_KEY", raising=False)


# ---- What a server can do


@pytest.mark.parametrize("prefill", ["vllm", "plain"])
@pytest.mark.parametrize("older_lists", [True, False])
def test_choices_of_several_tokens_are_walked(prefill: str, older_lists: bool) -> None:
    """ " 1" is reached as one token and as two, and a fifth of it goes on to " 10"."""
    with serving(Script(prefill=prefill, older_lists=older_lists)) as (model, server):
        assert (model.chat, model.prefill, model.context_window, model.price) == (True, True, 512, FREE)
        assert model.identity == f"openai:tiny@{server.url}"
        choices = tuple(EXPECTED)
        for prompt, begin in ((ASKED, "Answer:"), ("Which? Answer:", "")):
            (result,) = choose(model, ChooseRequest(prompt, choices, prefill=begin))
            assert probabilities(result) == pytest.approx(list(EXPECTED.values()))
            assert isinstance(result, ChoiceLogProbs)
            assert result.votes is None


def test_without_prefill_the_first_answers_tokens_are_all_there_is() -> None:
    table = {"": {"1": 0.6, "2": 0.3, "Both": 0.1}, "1": {"0": 0.25, "": 0.75}}
    with serving(Script(table=table, prefill="none")) as (model, server):
        assert not model.prefill
        with pytest.raises(ValueError, match="does not continue"):
            choose(model, PREFILLED)
        before = len(server.asked)
        (result,) = choose(model, ChooseRequest(ASKED, ("1", "2", "10")))
        assert probabilities(result) == pytest.approx([0.45, 0.3, 0.15])
        assert len(server.asked) == before + 1
        # "2" is not the greedy answer, so what follows it is not known: "20" might be all of it.
        (result,) = choose(model, ChooseRequest(ASKED, ("1", "2", "20")))
        assert failure(result).reason == "invalid_log_probs"


def test_a_template_that_strips_spaces_is_not_asked_to_continue_one() -> None:
    with serving(Script(strips=True)) as (model, _):
        assert model.prefill
        # What begins with the token " " cannot be followed: 0.1, too much beside the 0.8 of the choices listed.
        failed = failure(choose(model, PREFILLED)[0])
        assert failed.reason == "invalid_log_probs"
        assert "does not continue beginnings of probability 0.1 " in failed.detail
        assert "0.8" in failed.detail
    with serving(Script(table=ROOT, strips=True)) as (model, _):  # 0.03 is little enough
        assert probabilities(choose(model, PREFILLED)[0]) == pytest.approx([0.5, 0.3])
    with serving(Script(table={"": {"A": 0.5, " ": 0.4}}, strips=True)) as (model, _):
        assert failure(choose(model, PREFILLED)[0]).reason == "invalid_log_probs"


def test_what_is_not_listed_has_a_bound_or_fails() -> None:
    table = {"": {"a": 0.9, "b": 0.06, "x": 0.02, "y": 0.01, "z": 0.005, "c": 0.002}}
    with serving(Script(table=table, most_listed=5)) as (model, _):
        assert probabilities(choose(model, ChooseRequest(ASKED, ("a", "c")))[0]) == pytest.approx([0.9, 0.005])
        unlisted = failure(choose(model, ChooseRequest(ASKED, ("b", "c")))[0])
        assert unlisted.reason == "invalid_log_probs"
        none = failure(choose(model, ChooseRequest(ASKED, ("c", "d")))[0])
        assert none.reason == "no_answer"
        assert "5 most probable" in none.detail
        assert "'a'" in none.detail


def test_sampled_votes_where_there_are_no_log_probs() -> None:
    votes = ("1", " **2**. ", "1.", "The answer is 1", "1", "1\n", "2", "1 or 2")
    with serving(Script(most_listed=0, votes=votes, prefill="none"), votes=8) as (model, server):
        assert model.identity == f"openai:tiny@{server.url}#votes8x16"
        (result,) = choose(model, ChooseRequest(ASKED, ("1", "2", "3")))
        assert probabilities(result) == pytest.approx([4 / 8, 2 / 8, 0.0])
        assert isinstance(result, ChoiceLogProbs)
        assert result.votes == 6
        assert sorted(body["seed"] for body in server.asked[-8:]) == list(range(8))
    with serving(Script(most_listed=0, votes=("1", "well", "no", "2", "hm")), votes=5) as (model, _):
        assert failure(choose(model, ChooseRequest(ASKED, ("1", "2")))[0]).reason == "no_answer"
        with pytest.raises(ValueError, match="differ"):
            choose(model, ChooseRequest(ASKED, ("1", " 1")))


@pytest.mark.parametrize(("chat", "text"), [(20, 0), (0, 20), (20, 20), (0, 0)])
def test_the_identity_says_votes_where_answers_are_votes_and_only_there(chat: int, text: int) -> None:
    """The two endpoints of a server need not give the same; a judge is called by how it was really asked."""
    script = Script(most_listed=chat, most_listed_text=text, prefill="none", votes=("1", "2"))
    with serving(script, votes=8) as (model, server):
        address, voting = f"openai:tiny@{server.url}", f"openai:tiny@{server.url}#votes8x16"
        assert model.identity == (address if chat else voting)
        assert model.plain_identity == (address if text else voting)
        assert same_model(model.identity, model.plain_identity)
        ledger = Ledger(Path(":memory:"))
        for name, listed in (("helpful", chat), ("warm_tone", text)):  # criteria in a conversation; a form of its own
            judge = ScoreJudge(model, load_constitution(name), ledger)
            assert judge.rater.model == (address if listed else voting)
            assert judge.model.identity == judge.rater.model


def test_a_base_model_takes_plain_text_only_and_a_strict_server_no_extras() -> None:
    with serving(Script(has_chat=False)) as (model, _):
        assert not model.chat
        assert not model.prefill
        with pytest.raises(UsageError, match="plain text only"):
            choose(model, PREFILLED)
    with serving(Script(ROOT, strict=True, has_text=False, most_listed=5, prefill="none")) as (model, server):
        assert probabilities(choose(model, ChooseRequest(ASKED, (" 1", " 2")))[0]) == pytest.approx([0.5, 0.3])
        assert "top_k" not in server.asked[-1]
        with pytest.raises(UsageError, match="set top_k = 0"):
            list(model.complete([CompleteRequest(ASKED, 4, top_k=1)]))
        with pytest.raises(UsageError, match="conversations only"):
            choose(model, ChooseRequest("text", (" 1", " 2")))


@pytest.mark.parametrize("status", ["500", "501"])
@pytest.mark.parametrize("broken", ['"content": "Hi"', '"prompt": "Hi"'])
def test_an_endpoint_that_breaks_is_missing_where_the_other_one_answers(broken: str, status: str) -> None:
    with serving(Script(faults={broken: [status] * 99}), retries=4) as (model, server):
        abilities = model.preflight()
        assert (abilities.chat is None, abilities.text is None) == ("content" in broken, "prompt" in broken)
        if broken == '"prompt": "Hi"' and status == "500":
            assert sum("prompt" in body for body in server.asked) == 2
    both = {"Hi": ["500"] * 99}
    with serving(Script(faults=both)) as (model, _), pytest.raises(PreceptorError, match=r"no model server .* 500"):
        model.preflight()
    away = {broken: ["drop"] * 99}  # says nothing of the endpoint
    with serving(Script(faults=away)) as (model, _), pytest.raises(PreceptorError, match="no connection"):
        model.preflight()
    once = {broken: ["429", "drop", "500"]}  # what passes, passes
    with serving(Script(faults=once)) as (model, _):
        assert None not in (model.preflight().chat, model.preflight().text)


@pytest.mark.parametrize("echoes", [True, False])
def test_completions(echoes: bool) -> None:
    with serving(Script(votes=(" one", " two"), echoes=echoes)) as (model, server):
        requests = [
            CompleteRequest(ASKED, 5, prefill="Answer:"),
            CompleteRequest("Which? Answer:", 1),
            CompleteRequest(ASKED, 3, temperature=0.7, top_k=7, stop=("\n",), seed=1),
        ]
        greedy, cut, sampled = in_order(model.complete(requests), 3)
        assert greedy == Completion(" 1", True, Usage(prompt_tokens=21, completion_tokens=2))
        assert isinstance(cut, Completion)
        assert (cut.text, cut.finished) == (" 1", False)
        assert isinstance(sampled, Completion)
        assert sampled.text == " two"
        body = next(body for body in server.asked if body.get("stop"))
        assert (body["temperature"], body["top_k"], body["stop"], body["seed"]) == (0.7, 7, ["\n"], 1)
        server.script.faults["Which?"] = ["silent"]
        assert failure(in_order(model.complete([CompleteRequest(ASKED, 5)]), 1)[0]).reason == "no_answer"


# ---- What can go wrong


def test_what_passes_is_tried_again_and_nothing_is_lost() -> None:
    with serving(timeout_s=1.0) as (model, server):
        model.preflight()
        before = len(server.asked)
        server.script.faults = {f"<{i}>": [fault] for i, fault in enumerate(TRANSIENT)}
        for result in choose(model, *questions(12)):  # in_order sees to it that each is answered once
            assert probabilities(result) == pytest.approx([0.06, 0.04])
        assert len(server.asked) - before == 12 + len(TRANSIENT)


def test_what_does_not_pass_is_a_failure_of_its_own() -> None:
    with serving(retries=1, timeout_s=1.0) as (model, server):
        model.preflight()
        before = len(server.asked)
        server.script.faults = {f"<{i}>": [fault] * 9 for i, fault in enumerate(TRANSIENT)}
        results = choose(model, *questions(12))
        assert {failure(result).reason for result in results[: len(TRANSIENT)]} == {"backend_error"}
        for result in results[len(TRANSIENT) :]:
            assert probabilities(result) == pytest.approx([0.06, 0.04])
        assert len(server.asked) - before == 12 + len(TRANSIENT)


def test_the_server_says_how_long_to_wait() -> None:
    with serving(first_wait_s=100.0) as (model, server):
        model.preflight()
        before = len(server.asked)
        server.script.faults = {"<0>": ["429", "429"], "<1>": ["tomorrow"] * 9}  # 429 asks for 0.01 s
        fine, failed = choose(model, *questions(2))
        assert probabilities(fine) == pytest.approx([0.06, 0.04])
        assert failure(failed).reason == "backend_error"
        assert "asks to wait 86400 s" in failure(failed).detail
        assert len(server.asked) - before == 4


def test_a_refusal_is_not_tried_again() -> None:
    with serving() as (model, server):
        model.preflight()
        before = len(server.asked)
        server.script.faults = {f"<{i}>": [fault] * 9 for i, fault in enumerate(("400", "422", "too_long", "413"))}
        *failed, fine = choose(model, *questions(5))
        assert [failure(result).reason for result in failed] == ["refused"] * 2 + ["prompt_too_long"] * 2
        assert isinstance(fine, ChoiceLogProbs)
        assert len(server.asked) - before == 5


def test_log_probs_that_are_impossible_missing_or_too_few_are_failures() -> None:
    with serving() as (model, server):
        model.preflight()
        for fault in ("nan", "positive", "text", "too much", "missing", "fewer"):
            server.script.faults = {"Which?": [fault]}
            assert failure(choose(model, PREFILLED)[0]).reason == "invalid_log_probs"


@pytest.mark.parametrize("status", ["401", "403", "404", "quota"])
def test_a_key_or_model_that_is_gone_ends_the_run_at_once(status: str) -> None:
    with serving(concurrency=1) as (model, server):
        model.preflight()
        before = len(server.asked)
        server.script.faults = {"<1>": [status] * 9}
        answered: list[int] = []
        with pytest.raises(PreceptorError):
            for batch in model.choose(questions(5)):
                answered += [index for index, _ in batch]
        assert answered == [0]
        assert len(server.asked) - before == 2


def test_a_server_that_dies_leaves_failures_and_no_numbers() -> None:
    with serving(retries=1, concurrency=2) as (model, server):
        model.preflight()
        server.script.dies_after = len(server.asked) + 4
        results = choose(model, *questions(10))
        answered = [result for result in results if isinstance(result, ChoiceLogProbs)]
        assert 3 <= len(answered) <= 4
        assert all(probabilities(result) == pytest.approx([0.06, 0.04]) for result in answered)
        assert {failure(r).reason for r in results if isinstance(r, JudgeFailure)} == {"backend_error"}


def test_a_server_that_is_gone_is_not_waited_for_by_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(random, "uniform", lambda *_: waits.append(0.0) or 1.0)  # type: ignore[func-returns-value]
    with serving(retries=3, concurrency=2) as (model, server):
        model.preflight()
        server.script.dies_after = len(server.asked)
        details = {failure(result).detail for result in choose(model, *questions(50))}
        assert len(waits) <= (4 + 1) * 3  # four in a row; another one may be on its way
        assert len({detail for detail in details if "no connection" in detail}) == 1


def test_a_server_that_drops_connections_is_not_given_up() -> None:
    with serving(retries=0, concurrency=1) as (model, server):
        model.preflight()
        server.script.faults = {f"<{i}>": ["drop"] for i in range(9)}  # these have a connection, and lose it
        *dropped, fine = choose(model, *questions(10))
        assert all(failure(result).reason == "backend_error" for result in dropped)
        assert isinstance(fine, ChoiceLogProbs)


def test_what_a_failure_has_taken_is_counted() -> None:
    with serving(Script(most_listed=0, votes=("well", "no")), votes=3, retries=0) as (model, server):
        voted = failure(choose(model, ChooseRequest(ASKED, ("1", "2")))[0])
        assert (voted.reason, voted.usage) == ("no_answer", Usage(prompt_tokens=42, completion_tokens=3))
        server.script.faults = {"Which?": ["", "500"]}
        halfway = failure(choose(model, ChooseRequest(ASKED, ("1", "2")))[0])
        assert (halfway.reason, halfway.usage) == ("backend_error", Usage(prompt_tokens=14, completion_tokens=1))
    with serving() as (model, server):
        model.preflight()
        server.script.faults = {"Which?": ["nan"]}
        assert failure(choose(model, PREFILLED)[0]).usage.prompt_tokens == 21


# ---- How many at once


def test_no_more_than_the_concurrency_at_once() -> None:
    with serving(concurrency=3) as (model, server):
        model.preflight()
        server.most_in_flight, server.script.gathers = 0, 3
        assert len(choose(model, *questions(12))) == 12
        assert server.most_in_flight == 3


def test_who_stops_taking_results_stops_the_spending() -> None:
    with serving(concurrency=2) as (model, server):
        model.preflight()
        before = len(server.asked)
        results = model.choose(questions(50))
        assert len(server.asked) == before
        taken = 0
        for _ in range(3):
            taken += len(next(results))
            assert len(server.asked) - before <= taken + 2
        results.close()  # type: ignore[attr-defined]
        assert len(server.asked) - before <= taken + 2


def test_what_is_answered_while_the_caller_is_busy_is_one_batch() -> None:
    with serving(concurrency=8) as (model, _):
        taken: list[list[int]] = []
        for batch in model.choose(questions(32)):
            taken.append([index for index, _ in batch])
            choose(model, PREFILLED)
        assert len(taken) < 32
        assert sorted(index for batch in taken for index in batch) == list(range(32))


def test_rate_limits_are_passed_through() -> None:
    with serving(requests_per_minute=60_000, tokens_per_minute=100_000) as (model, _):
        assert len(choose(model, *questions(20))) == 20


# ---- What a person is told


def test_no_server() -> None:
    with FaultServer(Script()) as server:
        url = server.url
    model = open_model(f"openai:tiny@{url}")
    with pytest.raises(PreceptorError, match=r"no model server answers at http://127.0.0.1:\d+/v1: no connection"):
        list(model.choose([PREFILLED]))


def test_no_such_model_and_no_list_of_models() -> None:
    with (
        serving(Script(models=({"id": "tiny-2"}, {"id": "other"}))) as (model, _),
        pytest.raises(PreceptorError, match='has no model "tiny"; did you mean "tiny-2"'),
    ):
        model.preflight()
    with serving(Script(models_status=404)) as (model, _):
        assert model.context_window is None
    with (
        serving(Script(has_chat=False, has_text=False)) as (model, _),
        pytest.raises(PreceptorError, match=r"takes neither .* end in /v1"),
    ):
        model.preflight()


def test_the_key_is_sent_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    with (
        serving(Script(key=KEY)) as (keyless, _),
        pytest.raises(PreceptorError, match="set the environment variable PRECEPTOR_API_KEY"),
    ):
        keyless.preflight()
    monkeypatch.setenv("PRECEPTOR_API_KEY", KEY)
    with serving(Script(key=KEY), retries=0) as (model, server):
        texts = [model.identity, repr(model), str(model.preflight())]
        for fault in ("500", "400", "429"):  # the server's words quote the key
            server.script.faults = {"Which?": [fault]}
            texts.append(failure(choose(model, PREFILLED)[0]).detail)
        for fault in ("401", "403"):
            server.script.faults = {"Which?": [fault]}
            with pytest.raises(PreceptorError) as error:
                choose(model, PREFILLED)
            texts.append(str(error.value))
    with serving(Script(key="another")) as (wrong, _):
        with pytest.raises(PreceptorError, match="check the environment variable PRECEPTOR_API_KEY") as error:
            wrong.preflight()
        texts.append(str(error.value))
    shown = "\n".join([*texts, caplog.text, *capsys.readouterr()])
    assert KEY not in shown
    assert "***" in shown


# ---- Where it runs


def test_inside_a_running_event_loop() -> None:
    async def notebook(model: OpenAIModel) -> list[float]:
        return probabilities(choose(model, PREFILLED)[0])

    with serving() as (model, _):
        assert asyncio.run(notebook(model)) == pytest.approx([0.55, 0.33])


def test_a_process_that_does_not_close_the_model_ends_without_a_word() -> None:
    script = (
        "import sys; from preceptor.backends.resolve import open_model; from preceptor.backends.base import *\n"
        "results = open_model(sys.argv[1]).choose([ChooseRequest(f'{i} Answer:', (' 1', ' 2')) for i in range(9)])\n"
        "next(results)\n"
        "print('done')"
    )
    with FaultServer(Script()) as server:
        arguments = [sys.executable, "-X", "dev", "-c", script, f"openai:tiny@{server.url}"]
        ended = subprocess.run(arguments, capture_output=True, text=True, timeout=20, check=True)
    words = [line for line in ended.stderr.splitlines() if not line.startswith("Executing <")]  # of a busy machine
    assert (ended.stdout, words) == ("done\n", [])
