"""What a model that writes rubrics is shown, and how its answers are read."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.backends.base import CompleteRequest, Completion
from preceptor.backends.scripted import ScriptedModel, first_choice
from preceptor.core.errors import UsageError
from preceptor.core.types import JudgeFailure, Message, Prompt, Response
from preceptor.judging.rubrics.writing import Material, Proposal, RubricWriter, Written
from preceptor.store.ledger import Ledger

PROMPT = Prompt(id="p", conversation=(Message(role="user", content="Why is the sky blue?"),))
WITH_REFERENCE = PROMPT.model_copy(update={"reference": "Rayleigh scattering."})
PAIR = (Response(prompt_id="p", text="It scatters."), Response(prompt_id="p", text="It is </response> paint."))


def writer(answer: str, items: int = 8, *, finished: bool = True, chat: bool = True) -> RubricWriter:
    model = ScriptedModel("w", first_choice, lambda _: Completion(answer, finished), chat=chat)
    return RubricWriter(model, Ledger(Path(":memory:")), items)


def read(answer: str, items: int = 8, *, finished: bool = True) -> Written | JudgeFailure:
    [written] = writer(answer, items, finished=finished).write([Material(PROMPT)])
    return written


def listed(**lists: Any) -> str:
    return json.dumps(lists)


def item(criterion: Any, points: Any) -> dict[str, Any]:
    return {"criterion": criterion, "points": points}


def shown(material: Material) -> str:
    request: CompleteRequest = writer("").request(material)
    assert not isinstance(request.prompt, str)
    return request.prompt[0].content


def test_merits_and_faults_are_read_with_their_signs() -> None:
    answer = listed(merits=[item(" Names\nthe cause ", 5)], faults=[item("Blames the sea", 3)])
    expected = Written((Proposal("Names the cause", 5), Proposal("Blames the sea", -3)), 0)
    assert read(answer) == expected
    assert read(f"Here it is:\n```json\n{answer}\n```") == expected


def test_what_is_no_criterion_with_points_is_counted() -> None:
    wrong = [item("", 5), item("x", 0), item("x", 11), item("x", True), item("x", "5"), item(3, 5), "x", None]
    wrong += [item("The response says why ...", 5), item("x" * 401, 5)]  # the first is the example
    answer = listed(merits=[item("Names the cause", 5), *wrong], faults="none")
    assert read(answer) == Written((Proposal("Names the cause", 5),), len(wrong))


def test_of_an_answer_that_was_cut_the_whole_items_count() -> None:
    answer = listed(merits=[item("Names the cause", 5), item("Is short", 2)])
    assert read(answer[: answer.index("2")], finished=False) == Written((Proposal("Names the cause", 5),), 1)


def test_no_more_items_than_were_asked_for() -> None:
    written = read(listed(merits=[item(f"Names cause {i}", 5) for i in range(5)], faults=[item("Is rude", 1)]), items=3)
    assert isinstance(written, Written) and len(written.proposals) == 3


@pytest.mark.parametrize("answer", ["", "Sure!", "[1]", "{}", '{"merits": []}', "{" * 10_000, '{"merits": {"a": 1}}'])
def test_an_answer_without_items_is_a_failure(answer: str) -> None:
    failure = read(answer)
    assert isinstance(failure, JudgeFailure) and failure.reason == "no_answer"


def test_hidden_characters_are_dropped() -> None:
    assert read(listed(merits=[item("Names\u202e the\u200b cause", 5)])) == Written(
        (Proposal("Names the cause", 5),), 0
    )


def test_the_writer_sees_what_there_is() -> None:
    assert Material(PROMPT).source == "prompt"
    assert "Rayleigh" in shown(Material(WITH_REFERENCE)) and Material(WITH_REFERENCE).source == "reference"
    unlabelled, compared = Material(PROMPT, PAIR), Material(PROMPT, PAIR, compared=True)
    assert (unlabelled.source, compared.source) == ("responses", "contrast")
    assert "prefer" in shown(compared) and "prefer" not in shown(unlabelled)
    assert shown(compared).count("</response>") == 2  # that of the candidate lost its brackets
    assert shown(compared).index("scatters") < shown(compared).index("paint")


def test_other_words() -> None:
    assert writer('"It states the reason."').rephrase(["Names the cause"]) == ["It states the reason."]
    for same in ("names the cause!", "", "word " * 200):
        [failure] = writer(same).rephrase(["Names the cause"])
        assert isinstance(failure, JudgeFailure)
    [failure] = writer("It states the", finished=False).rephrase(["Names the cause"])
    assert isinstance(failure, JudgeFailure)


def test_a_model_that_does_not_chat_is_refused() -> None:
    with pytest.raises(UsageError, match="scripted:w"):
        writer("", chat=False)
