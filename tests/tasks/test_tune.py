"""Rewording a constitution: a planted wrong principle is found, and no gain is claimed where there is none."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, CompleteRequest, Completion
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.judging.constitution import load_constitution
from preceptor.judging.rewording import Rewriter, parts_of, with_parts
from preceptor.judging.specs import JudgeSpec
from preceptor.results.tuning import TuneResult
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.ledger import Ledger
from preceptor.store.output import output_folder
from preceptor.tasks.tune.tune import Tuning, split_rows, tune
from small import known

pytest.importorskip("gepa")

WRONG = """
name = "brief"
version = "1"
summary = "Responses should be brief."
instruction = "You compare two responses."
principles = ["Prefer the longer response.", "Prefer the polite response."]
"""
ROWS: list[dict[str, Any]] = [
    {
        "prompt": f"question {i}",
        "response_a": "yes" if i % 2 else f"yes, and there is more to say about {i}",
        "response_b": f"no, and there is more to say about {i}" if i % 2 else "no",
        "label": "a" if i % 2 else "b",
    }
    for i in range(60)
]


def obedient(request: ChooseRequest) -> ChoiceLogProbs:
    """Prefers the longer response where the first principle says so, and the shorter one where it says that."""
    assert not isinstance(request.prompt, str)
    text = request.prompt[-1].content
    one, two = (len(text.split(f"<response_{i}>")[-1].split(f"</response_{i}>")[0]) for i in (1, 2))
    longer = "Prefer the longer" in text
    first = (one > two) == longer
    return ChoiceLogProbs((math.log(0.9), math.log(0.1)) if first else (math.log(0.1), math.log(0.9)))


def writes(text: str) -> Any:
    """A rewriter that answers this, with the part that it is asked about."""

    def answer(request: CompleteRequest) -> str:
        assert not isinstance(request.prompt, str)
        part = known(re.search(r"The part to improve is the (\w+)", request.prompt[-1].content))[1]
        return text.format(part=part)

    return answer


@pytest.fixture
def rows(tmp_path: Path) -> list[ComparisonRow]:
    path = tmp_path / "people.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return [row for row in read_comparisons(path) if isinstance(row, ComparisonRow)]


@pytest.fixture
def tuned(tmp_path: Path, rows: list[ComparisonRow]) -> Callable[[str], TuneResult]:
    """Tunes with a scripted judge that also writes, and answers this."""
    constitution = tmp_path / "brief.toml"
    constitution.write_text(WRONG)
    folder = tmp_path / "out"
    folder.mkdir()

    def run(answer: str) -> TuneResult:
        write = writes(answer)
        model = ScriptedModel("obedient", obedient, lambda request: Completion(write(request), finished=True))
        spec = JudgeSpec(model="scripted:random", constitution=str(constitution))
        with Ledger(folder / "ledger.sqlite") as ledger:
            tuning = Tuning(load_constitution(str(constitution)), spec, model, ledger, Rewriter(model, ledger))
            result = tuning.tuned(split_rows(rows, 0), comparisons=300, seed=0, log=Silence(), folder=folder)
        return result.save(output_folder(folder))

    return run


def test_a_wrong_principle_is_found_and_the_gain_is_measured_on_rows_never_used(
    tuned: Callable[[str], TuneResult],
) -> None:
    result = tuned("<new>Prefer the short {part}.</new>")
    assert (known(result.before).value, known(result.after).value) == (0.0, 1.0)
    assert known(result.gain).value == 1.0
    assert result.gain_shown
    assert result.best.hash != result.original.hash
    best = load_constitution(str(result.file))
    assert best.principles[0] == "Prefer the short principle."
    assert best.version == "1, reworded"
    assert (result.learning_rows, result.validation_rows, result.test_rows) == (21, 18, 21)
    assert result.wordings[0].parent is None
    assert all((result.path / "constitutions" / f"{w.constitution.hash}.toml").exists() for w in result.wordings)
    assert TuneResult.load(result.path) == result
    assert "agrees more with people" in str(result)


def test_words_that_change_nothing_show_no_gain(tuned: Callable[[str], TuneResult]) -> None:
    result = tuned("<new>Prefer the longer response, {part}.</new>")
    assert result.best.hash == result.original.hash
    assert known(result.gain).value == 0.0
    assert not result.gain_shown
    assert result.headline.startswith("No gain shown")


def test_answers_without_a_text_are_counted_and_change_nothing(tuned: Callable[[str], TuneResult]) -> None:
    result = tuned("I would rather not.")
    assert result.malformed > 0
    assert len(result.wordings) == 1
    assert result.best == result.original


def test_a_second_call_asks_nothing(tuned: Callable[[str], TuneResult]) -> None:
    first = tuned("<new>Prefer the short {part}.</new>")
    again = tuned("<new>Prefer the short {part}.</new>")
    assert again.ledger.calls == first.ledger.calls
    assert again == first


def test_a_constitution_is_taken_apart_and_put_together() -> None:
    helpful = load_constitution("helpful")
    parts = parts_of(helpful)
    assert with_parts(helpful, parts) is helpful
    changed = with_parts(helpful, parts | {"principle 2": "Be kind."})
    assert changed.principles[1] == "Be kind."
    assert changed.principles[0] == helpful.principles[0]
    assert changed.hash != helpful.hash
    assert changed.score == helpful.score


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"judge": JudgeSpec(model="scripted:random", variant="scored")}, "detailed"),
        ({"judge": ["scripted:random", "scripted:first"]}, "one judge"),
        ({"judge": "scripted:random", "limit": 5}, "at least 20"),
        ({"judge": "scripted:random", "comparisons": 0}, "comparisons"),
        ({"judge": "scripted:random", "comparisons": 18}, "no other wording"),
    ],
)
def test_what_cannot_be_tuned_is_refused(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        tune(ROWS, progress=Silence(), **settings)


def test_a_judge_without_opinion_is_tuned_without_a_gain(tmp_path: Path) -> None:
    result = tune(ROWS, judge="scripted:random", comparisons=60, out=tmp_path / "out", progress=Silence())
    assert not result.gain_shown
    assert TuneResult.load(tmp_path / "out") == result
