"""Rubrics from prompts to files and a result: what is written, tried, dropped and kept, on scripted models."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, CompleteRequest, Completion
from preceptor.backends.scripted import ChooseScript, ScriptedModel
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.progress import Silence
from preceptor.core.rubric import Rubric
from preceptor.core.types import JudgeFailure
from preceptor.results.rubrics import RubricsResult, RubricWritingSettings
from preceptor.store.ledger import Ledger
from preceptor.store.output import output_folder
from preceptor.store.own_folder import working_in
from preceptor.tasks.rubrics.cases import read_cases
from preceptor.tasks.rubrics.write import Work, plan_rubrics, write_on, write_rubrics

MERITS = (
    "Names alpha.",
    "It names alpha!",
    "Names beta.",
    "Names gamma.",
    "Names delta.",
    "Names nothing.",
    "Names omega.",
)
FAULT = "Names zeta."
MET = {
    "alpha": (1, 0),
    "beta": (1, 1),
    "gamma": (0, 0),
    "delta": (1, 0),
    "omega": (0, 1),
    "zeta": (0, 1),
    "nothing": (None, None),
}
"""Whether the good and the poor response meet a criterion; None for a failure of the judge."""
GOOD, POOR = "the good one", "the poor one"


def content(request: ChooseRequest | CompleteRequest) -> str:
    return request.prompt if isinstance(request.prompt, str) else request.prompt[-1].content


def complete(request: CompleteRequest) -> Completion | JudgeFailure:
    text = content(request)
    if "unwritable" in text:
        return Completion("I would rather not.", finished=True)
    if request.schema is not None:
        merits = [{"criterion": criterion, "points": 2} for criterion in MERITS]
        faults = [{"criterion": FAULT, "points": 1}, {"criterion": "", "points": 1}]
        return Completion(json.dumps({"merits": merits, "faults": faults}), finished=True)
    if "other words" in text:
        told = next(word for word in MET if word in text)
        return Completion("names OMEGA" if told == "omega" else f"Says {told}.", finished=True)
    return Completion(GOOD if request.seed % 2 else POOR, finished=True)


def choose(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
    """Knows `MET`, and judges the criterion on delta the other way round in other words."""
    text = content(request)
    criterion = text.rpartition("Criterion: ")[2].partition("\n")[0]
    met = MET[next(word for word in MET if word in criterion)][0 if GOOD in text else 1]
    if met is None:
        return JudgeFailure(reason="no_answer", detail="said nothing")
    turned = criterion.startswith("Says delta")
    yes = 0.89 if bool(met) != turned else 0.1
    return ChoiceLogProbs(tuple(map(math.log, (yes, 0.99 - yes, 0.01))))


def silent(_: ChooseRequest) -> JudgeFailure:
    return JudgeFailure(reason="backend_error", detail="the server is away")


def written(tmp_path: Path, rows: list[dict[str, Any]], judge: ChooseScript = choose, **settings: Any) -> RubricsResult:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model, output = ScriptedModel("m", judge, complete), output_folder(tmp_path / "out")
    with working_in(output.path, "rubrics"), Ledger(output.path / "ledger.sqlite") as ledger:
        work = Work.of(model, model, ledger, RubricWritingSettings(**settings))
        return write_on(read_cases(data, None), work, ledger, output, Silence())


def lines(result: RubricsResult) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (result.path / "rubrics.jsonl").read_text().splitlines()]


def pair(question: str, label: str | None = None) -> dict[str, Any]:
    return {"prompt": question, "response_a": GOOD, "response_b": POOR} | ({"label": label} if label else {})


def test_only_what_works_is_kept_and_what_was_dropped_says_why(tmp_path: Path) -> None:
    result = written(tmp_path, [pair("q")], items=20, candidates=2)
    outcomes = {each.item.criterion: each.outcome for each in result.items}
    assert outcomes == {
        "Names alpha.": "kept",
        "It names alpha!": "duplicate",
        "Names beta.": "met by all",
        "Names gamma.": "met by none",
        "Names delta.": "flips",
        "Names nothing.": "not judged",
        "Names omega.": "kept",
        FAULT: "kept",
    }
    assert (result.written, result.kept, result.malformed_items) == (8, 3, 1)
    assert result.dropped == {"duplicate": 1, "met by all": 1, "met by none": 1, "flips": 1, "not judged": 1}
    assert result.not_rephrased == 1  # omega, in the same words: not known to flip
    [row] = lines(result)
    rubric = Rubric.model_validate(row["rubric"])
    assert [(item.criterion, item.points) for item in rubric.items] == [
        ("Names alpha.", 2),
        ("Names omega.", 2),
        (FAULT, -1),
    ]
    assert rubric.version == 1 and rubric.items[0].tags == ("written from responses",)
    assert row["response_a"] == GOOD


def test_each_item_comes_with_what_was_seen(tmp_path: Path) -> None:
    by_words = {e.item.criterion: e for e in written(tmp_path, [pair("q")], items=20, candidates=2).items}
    delta = by_words["Names delta."]
    assert delta.met is not None and delta.met_rephrased is not None
    assert [round(p or 0, 1) for p in delta.met] == [0.9, 0.1]
    assert [round(p or 0, 1) for p in delta.met_rephrased] == [0.1, 0.9]
    assert (delta.rephrased, delta.flipped, delta.compared) == ("Says delta.", 2, 2)
    assert by_words["Names nothing."].met == (None, None)  # a failure is not "not met"
    assert by_words["It names alpha!"].repeats == "Names alpha." and by_words["It names alpha!"].met is None


def test_people_s_labels_test_items_that_were_written_without_them(tmp_path: Path) -> None:
    # Of each prompt, the writer sees the first labelled pair; the second one, of other responses, tests.
    rows = [row for i in range(6) for row in (pair(f"q{i}", "a"), {**pair(f"q{i}", "b"), "response_a": f"{GOOD}, too"})]
    result = written(tmp_path, rows, items=20, candidates=3)
    outcomes = {each.item.criterion: (each.outcome, each.people_agree, each.people_pairs) for each in result.items}
    assert outcomes["Names alpha."] == ("against people", 0, 6)  # good ones have it, and people prefer the poor one
    assert outcomes["Names omega."] == ("kept", 6, 6)
    assert outcomes[FAULT] == ("against people", 0, 6)  # a fault that the preferred response has
    assert result.not_compared_with_people == 0
    assert all(row["rubric"]["items"][0]["tags"] == ["written from contrast"] for row in lines(result))


def test_few_labels_test_nothing(tmp_path: Path) -> None:
    rows = [row for i in range(2) for row in (pair(f"q{i}", "a"), {**pair(f"q{i}", "b"), "response_a": f"{GOOD}, too"})]
    result = written(tmp_path, rows, items=20, candidates=3)
    assert "against people" not in result.dropped
    assert result.not_compared_with_people == result.kept == 6
    assert "fewer than 5 pairs" in " ".join(str(result).split())


def test_prompts_alone_are_answered_by_the_model(tmp_path: Path) -> None:
    result = written(tmp_path, [{"prompt": "q", "reference": "r"}], items=20, candidates=8)
    alpha = result.items[0]
    assert alpha.met is not None and len(alpha.met) == 8
    assert alpha.item.tags == ("written from reference",)


def test_without_candidates_nothing_is_tried_and_the_result_says_so(tmp_path: Path) -> None:
    result = written(tmp_path, [{"prompt": "q"}], items=20, candidates=0)
    assert result.dropped == {"duplicate": 1}
    assert result.not_tried == result.kept == 7
    assert "not tried" in str(result)


def test_a_rewriting_has_the_next_version_and_tries_the_old_items_too(tmp_path: Path) -> None:
    old = {
        "name": "mine",
        "version": 4,
        "items": [{"criterion": "Names beta.", "points": 3}, {"criterion": "Names alpha."}],
    }
    result = written(tmp_path, [{**pair("q"), "rubric": old}], items=20, candidates=2)
    [row] = lines(result)
    assert (row["rubric"]["version"], row["rubric"]["name"]) == (5, "mine")
    assert (row["rubric"]["items"][0]["criterion"], row["rubric"]["items"][0]["points"]) == ("Names alpha.", 1.0)
    assert result.dropped["duplicate"] == 3 and result.written == 10


def test_a_prompt_without_an_answer_keeps_its_rubric_and_is_a_failure(tmp_path: Path) -> None:
    old = [{"criterion": "Names beta."}]
    result = written(tmp_path, [pair("q"), {**pair("unwritable"), "rubric": old}], items=20, candidates=2)
    assert (result.failed, result.with_rubric) == (1, 2)
    assert [failure.reason for failure in result.failures] == ["no_answer"]
    assert lines(result)[1]["rubric"]["items"][0]["criterion"] == "Names beta."
    assert lines(result)[1]["rubric"]["version"] == 1
    with pytest.raises(PreceptorError, match="no_answer"):
        written(tmp_path / "out", [pair("unwritable")])


def test_rows_whose_prompt_keeps_no_merit_are_apart(tmp_path: Path) -> None:
    same = {"prompt": "q", "response_a": GOOD, "response_b": f"{GOOD}, too"}  # all items are met by both or by none
    result = written(tmp_path, [pair("p"), same], items=20, candidates=2)
    assert [row["prompt"] for row in lines(result)] == ["p"]
    [without] = (result.path / "without_rubric.jsonl").read_text().splitlines()
    assert json.loads(without) == same
    assert (result.prompts, result.with_rubric, result.failed) == (2, 1, 0)


def test_a_judge_that_gives_no_verdicts_is_warned_of_and_asked_again_later(tmp_path: Path) -> None:
    away = written(tmp_path, [pair("q")], judge=silent, items=20, candidates=2)
    assert away.dropped == {"not judged": 7, "duplicate": 1}
    assert (away.judged, away.without_verdict) == (2, 2)
    [warning] = away.warnings
    assert "2 of 2" in warning and warning.split(".")[0] in " ".join(str(away).split())
    back = written(tmp_path, [pair("q")], items=20, candidates=2)
    assert (back.kept, back.warnings) == (3, ())


def test_the_result_is_read_back_and_a_second_call_asks_nothing(tmp_path: Path) -> None:
    rows = [{"prompt": f"Say {word}", "response_a": "x", "response_b": "y"} for word in ("ant", "bee")]
    again = [write_rubrics(rows, model="scripted:random", out=tmp_path / "out", progress=Silence()) for _ in range(2)]
    assert again[0].ledger.calls == again[1].ledger.calls > 0
    assert RubricsResult.load(tmp_path / "out").model_dump() == again[1].model_dump()
    assert len(again[0].items) == again[0].written
    assert again[0].model_dump(mode="json") == json.loads((tmp_path / "out" / "summary.json").read_text())


def test_a_plan_calls_nothing_and_is_an_upper_bound(tmp_path: Path) -> None:
    rows = [{"prompt": f"Say {word}", "response_a": "x", "response_b": "y"} for word in ("ant", "bee")]
    settings = {"items": 3, "candidates": 4}
    plan = plan_rubrics(rows, model="scripted:random", settings=settings)
    # Each prompt: 1 writing, 2 answers, 3 rephrasings, and 3 items twice on 4 responses.
    assert (plan.prompts, plan.calls, plan.cost_usd) == (2, 2 * (1 + 2 + 3 + 24), 0.0)
    result = write_rubrics(rows, model="scripted:random", settings=settings, out=tmp_path / "out", progress=Silence())
    assert result.ledger.calls <= plan.calls


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="row 1 of the prompts given"):
        write_rubrics([{"question": "x"}], model="scripted:random", out=tmp_path / "out", progress=Silence())
    with pytest.raises(UsageError, match="words"):
        write_rubrics(
            [{"prompt": "q", "rubric": [{"criterion": "c", "check": {"verifier": "wrods"}}]}],
            model="scripted:random",
            progress=Silence(),
        )
