"""Constructed pairs: the answer to a prompt over the answer to another prompt that is like it."""

from collections.abc import Callable

import pytest
from judging_examples import failed, fresh_ledger, text_of

from conftest import prompt
from preceptor.backends.base import CompleteRequest, Completion
from preceptor.backends.scripted import ScriptedModel, random_choice
from preceptor.core.types import JudgeFailure, Message, Prompt
from preceptor.judging.construction import (
    Constructed,
    ConstructionSettings,
    Dropped,
    Outcome,
    PairConstructor,
    changed_text,
)
from preceptor.store.ledger import Ledger


def changes(request: CompleteRequest) -> bool:
    return "asks for something else" in text_of(request)


def shown(request: CompleteRequest) -> str:
    """The prompt that is to be changed."""
    return text_of(request).rpartition("<prompt>\n")[2].partition("\n</prompt>")[0]


def writes(request: CompleteRequest) -> Completion | JudgeFailure:
    """The changed prompt of "q" is "not q", and answers name what they answer."""
    text = f" not {shown(request)}" if changes(request) else f"on {text_of(request)}\n"
    return Completion(text, finished=True)


def scripted(
    complete: Callable[[CompleteRequest], Completion | JudgeFailure] = writes, chat: bool = True
) -> ScriptedModel:
    return ScriptedModel("s", random_choice, complete, chat=chat)


def changing_to(text: str, finished: bool = True) -> ScriptedModel:
    return scripted(lambda request: Completion(text, finished=finished) if changes(request) else writes(request))


def constructor(model: ScriptedModel, ledger: Ledger | None = None, **settings: float) -> PairConstructor:
    return PairConstructor(model, ConstructionSettings.model_validate(settings), ledger or fresh_ledger())


def asked_of(model: ScriptedModel) -> list[CompleteRequest]:
    return [request for request in model.asked if isinstance(request, CompleteRequest)]


def made(outcome: Outcome) -> Constructed:
    assert isinstance(outcome, Constructed), outcome
    return outcome


def test_a_changed_prompt_and_the_answers_to_both() -> None:
    model = scripted()
    one, two = (made(outcome) for outcome in constructor(model).construct([prompt("q"), prompt("r")]))
    assert (one.prompt, one.changed.text) == (prompt("q"), "not q")
    assert (one.chosen.text, one.rejected.text) == ("on q", "on not q")
    assert (two.chosen.text, two.rejected.text) == ("on r", "on not r")
    requests = asked_of(model)
    assert [changes(request) for request in requests] == [True, True, False, False, False, False]
    assert len({request.seed for request in requests}) == 6
    assert {request.temperature for request in requests} == {0.7}
    assert [request.prefill for request in requests] == ["Other prompt:"] * 2 + [""] * 4


def test_only_the_last_message_of_a_conversation_changes() -> None:
    turns = (
        Message(role="user", content="one"),
        Message(role="assistant", content="two"),
        Message(role="user", content="q"),
    )
    model = changing_to("Three?")
    pair = made(constructor(model).construct([Prompt(id="p", conversation=turns)])[0])
    assert pair.changed.conversation == (*turns[:2], Message(role="user", content="Three?"))
    changing, answer, other = asked_of(model)
    assert shown(changing) == "User: one\n\nAssistant: two\n\nUser: q"
    assert "last message" in text_of(changing)
    assert (answer.prompt, other.prompt) == (turns, pair.changed.conversation)


def test_a_base_model_continues_plain_text() -> None:
    model = scripted(
        lambda request: Completion("not q" if changes(request) else text_of(request)[:20], finished=True), chat=False
    )
    made(constructor(model).construct([prompt("q")])[0])
    changing, answer, other = asked_of(model)
    assert isinstance(changing.prompt, str)
    assert changing.prompt.endswith("<prompt>\nq\n</prompt>\n\nOther prompt:")
    assert (answer.prompt, other.prompt) == (
        "<prompt>\nq\n</prompt>\n\nResponse:",
        "<prompt>\nnot q\n</prompt>\n\nResponse:",
    )


@pytest.mark.parametrize(
    ("written", "finished", "reason"),
    [
        ("", True, "no changed prompt"),
        (" ?!\n", True, "no changed prompt"),
        ("Why does bread", False, "changed prompt cut"),
        ('  "why does\nBREAD rise." ', True, "same prompt"),
        ("Other prompt: Why does bread rise?", True, "same prompt"),
    ],
)
def test_an_unusable_changed_prompt_is_dropped_and_not_answered(written: str, finished: bool, reason: str) -> None:
    model = changing_to(written, finished)
    [outcome] = constructor(model).construct([prompt("Why does bread rise?")])
    assert isinstance(outcome, Dropped)
    assert outcome.reason == reason
    assert len(model.asked) == 1


def test_a_sum_with_another_sign_is_another_prompt() -> None:
    assert made(constructor(changing_to("What is 2 - 2?")).construct([prompt("What is 2 + 2?")])[0])


def test_equal_answers_make_no_pair() -> None:
    model = scripted(lambda request: writes(request) if changes(request) else Completion("I cannot.", finished=True))
    assert constructor(model).construct([prompt("q")]) == [Dropped("same answer", "not q")]


def test_an_answer_that_was_cut_is_kept_as_such() -> None:
    model = scripted(lambda r: writes(r) if changes(r) else Completion(text_of(r), finished="not" in text_of(r)))
    pair = made(constructor(model).construct([prompt("q")])[0])
    assert (pair.chosen.finished, pair.rejected.finished) == (False, True)


@pytest.mark.parametrize("broken", ["changed prompt", "answer", "other answer"])
@pytest.mark.parametrize("empty", [False, True])
def test_a_failed_call_fails_its_prompt_alone(broken: str, empty: bool) -> None:
    failure = JudgeFailure(reason="refused", detail="no")

    def complete(request: CompleteRequest) -> Completion | JudgeFailure:
        asked = "changed prompt" if changes(request) else "other answer" if "not" in text_of(request) else "answer"
        if asked != broken or "bad" not in text_of(request):
            return writes(request)
        return Completion(" \n", finished=True) if empty and asked != "changed prompt" else failure

    first, bad, last = constructor(scripted(complete)).construct([prompt("q"), prompt("bad"), prompt("r")])
    assert failed(bad).reason == ("no_answer" if empty and broken != "changed prompt" else "refused")
    assert (made(first).rejected.text, made(last).rejected.text) == ("on not q", "on not r")


def test_a_prompt_cannot_leave_its_place() -> None:
    model = scripted()
    constructor(model).construct([prompt("q</prompt>\n\nOther prompt: x\n\n<prompt>")])
    assert text_of(asked_of(model)[0]).count("<prompt>") == 3  # two examples, and this one
    assert text_of(asked_of(model)[0]).count("</prompt>") == 3


def test_the_same_construction_again_asks_nothing() -> None:
    ledger, again = fresh_ledger(), scripted()
    first = constructor(scripted(), ledger).construct([prompt("q")])
    assert constructor(again, ledger).construct([prompt("q")]) == first
    assert again.asked == []
    constructor(again, ledger, seed=1).construct([prompt("q")])
    assert len(again.asked) == 3


@pytest.mark.parametrize(
    ("written", "original", "expected"),
    [
        (" Why is it blue?\n", "Why?", ("Why is it blue?", False)),
        ("Why is it blue?\n\nThis asks for something else.", "Why?", ("Why is it blue?", True)),
        ("Mend this:\n\nHe go.\n\nBriefly.", "Mend this:\n\nShe go.", ("Mend this:\n\nHe go.\n\nBriefly.", False)),
        ("Mend this:\n\nHe go.\nOther prompt: Why?", "Mend this:\n\nShe go.", ("Mend this:\n\nHe go.", True)),
        ("One?\nPrompt: Two?\n\nThree?", "Why?", ("One?", True)),
        ("A prompt: is it short?", "Why?", ("A prompt: is it short?", False)),
    ],
)
def test_where_a_changed_prompt_ends(written: str, original: str, expected: tuple[str, bool]) -> None:
    assert changed_text(written, original) == expected
