import json
import tracemalloc
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trl.data_utils import apply_chat_template, is_conversational, unpair_preference_dataset

from conftest import make_tokenizer
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.raters import ConstitutionFacts
from preceptor.core.types import (
    Comparison,
    FunctionCall,
    HumanLabel,
    JudgeFailure,
    Message,
    Preference,
    Presentation,
    Prompt,
    Rater,
    Response,
    Score,
    ToolCall,
    TrajectoryScore,
    Verdict,
)
from preceptor.store.comparisons import ComparisonRow, Unanswered
from preceptor.store.outcomes import Outcomes
from preceptor.store.preference_row import FailureRow, PreferenceRow
from preceptor.store.preferences import DatasetCard, write_card, write_parquet
from preceptor.store.rows import Malformed

RATER = Rater(model="m", constitution="c", constitution_hash="h", settings={"samples": 1, "orders": "both"})
AGENT = (
    Message(role="assistant", tool_calls=(ToolCall(id="1", function=FunctionCall(name="look", arguments="{}")),)),
    Message(role="tool", content="42", tool_call_id="1", name="look"),
    Message(role="assistant", content="It is 42."),
)
CARD = DatasetCard(
    version="0.1",
    judges=("m",),
    constitutions=(ConstitutionFacts(name="c", version="1", hash="h", summary="Be kind."),),
    preferences=2,
    failures=1,
    malformed=0,
)


def comparison_row(human: HumanLabel | None = None, agent: bool = False, number: int = 0) -> ComparisonRow:
    prompt = Prompt(id="p", conversation=(Message(role="user", content="Why?"),), cohort="x")
    a = Response(prompt_id="p", text="A")
    b = Response(prompt_id="p", text="B", trajectory=AGENT if agent else ())
    return ComparisonRow(number, "f:1", Comparison(id="i", prompt=prompt, a=a, b=b), human, "chat")


def showing(order: Any, p_a: float, rationale: str = "") -> Presentation:
    verdict = Verdict(probabilities={"A": p_a, "B": 1 - p_a}, choice_mass=0.9, rationale=rationale)
    return Presentation(order=order, p_a=p_a, verdict=verdict)


def preference(row: ComparisonRow, p_a: float) -> Preference:
    shown = (showing("ab", p_a), showing("ba", p_a, "Because."))
    return Preference(comparison=row.comparison, p_a=p_a, p_tie=0.1, rater=RATER, presentations=shown)


def labelled(number: int, p_a: float, human: HumanLabel | None = None, agent: bool = False) -> dict[str, Any]:
    return labelled_row(number, p_a, human, agent).wire()


def labelled_row(number: int, p_a: float, human: HumanLabel | None = None, agent: bool = False) -> PreferenceRow:
    row = comparison_row(human, agent, number)
    return PreferenceRow.of(row, preference(row, p_a))


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def test_a_row_holds_the_label_and_how_it_came_about() -> None:
    assert labelled(3, 0.25, HumanLabel(p_a=0.0)) == {
        "row": 3,
        "id": "i",
        "prompt_id": "p",
        "cohort": "x",
        "category": "chat",
        "prompt": [{"role": "user", "content": "Why?"}],
        "chosen": [{"role": "assistant", "content": "B"}],
        "rejected": [{"role": "assistant", "content": "A"}],
        "chosen_finished": True,
        "rejected_finished": True,
        "chosen_policy": "unknown",
        "rejected_policy": "unknown",
        "chosen_is": "b",
        "p_chosen": 0.75,
        "p_tie": 0.1,
        "likeliest": "b",
        "uncalibrated_p_chosen": None,
        "disagreement": 0.0,
        "rationale": "Because.",
        "human_p_chosen": 1.0,
        "selection": None,
        "selection_probability": None,
        "judge": "m",
        "constitution": "c",
        "constitution_hash": "h",
        "settings": '{"orders":"both","samples":1}',
        "chosen_score": None,
        "rejected_score": None,
        "chosen_steps": None,
        "rejected_steps": None,
        "verdicts": [
            {
                "judge": "m",
                "constitution_hash": "h",
                "order": order,
                "p_a": 0.25,
                "p_tie": 0.0,
                "sample": 0,
                "principles": [],
                "choice_mass": 0.9,
            }
            | {"votes": None, "rationale": rationale}
            for order, rationale in (("ab", ""), ("ba", "Because."))
        ],
    }


def test_no_preference_chooses_a() -> None:
    row = labelled(0, 0.5)
    assert (row["chosen_is"], row["p_chosen"], row["human_p_chosen"]) == ("a", 0.5, None)


def test_a_trajectory_is_several_messages() -> None:
    row = labelled(0, 0.1, agent=True)
    call = {"id": "1", "function": {"name": "look", "arguments": "{}"}}
    assert [message["role"] for message in row["chosen"]] == ["assistant", "tool", "assistant"]
    assert call.items() <= row["chosen"][0]["tool_calls"][0].items()
    assert row["chosen"][1] == {"role": "tool", "content": "42", "tool_call_id": "1", "name": "look"}


def test_failures_say_why() -> None:
    failure = JudgeFailure(reason="no_answer", detail="d")
    found = {"row": 1, "place": "f:1", "id": "i", "reason": "no_answer", "detail": "d"}
    assert FailureRow.of(comparison_row(number=1), failure).wire().items() >= found.items()
    assert FailureRow.of(Unanswered(1, "f:1", "i", failure)).wire() == found
    malformed = FailureRow.of(Malformed(2, "f:3", "bad")).wire()
    assert malformed == {"row": 2, "place": "f:3", "id": None, "reason": "malformed", "detail": "bad"}


def test_trajectories_keep_their_scores_beside_the_response_that_has_them() -> None:
    def score(value: float) -> Score:
        high = (value - 1.0) / 9.0
        verdict = Verdict(probabilities={"1": 1.0 - high, "10": high}, choice_mass=1.0)
        return Score(verdict=verdict, values={"1": 1.0, "10": 10.0}, rater=RATER)

    failed = JudgeFailure(reason="no_answer", detail="d")
    scores = (TrajectoryScore(whole=score(4), steps=(score(2), failed)), TrajectoryScore(whole=failed, steps=()))
    row = comparison_row()
    found = PreferenceRow.of(row, preference(row, 0.2), scores).wire()
    assert (found["rejected_score"], found["chosen_score"]) == (pytest.approx(4), None)
    assert (found["rejected_steps"], found["chosen_steps"]) == ([pytest.approx(2), None], [])


def test_an_ensemble_s_verdicts_say_whose_they_are() -> None:
    row = comparison_row()
    members = tuple(
        preference(row, 0.3).model_copy(update={"rater": RATER.model_copy(update={"model": name})}) for name in "xy"
    )
    both = preference(row, 0.3).model_copy(update={"members": members})
    assert [verdict["judge"] for verdict in PreferenceRow.of(row, both).wire()["verdicts"]] == ["x", "x", "y", "y"]


@pytest.mark.parametrize("agent", [False, True])
def test_json_lines_and_parquet_hold_the_same_and_trl_takes_both(tmp_path: Path, agent: bool) -> None:
    outcomes = Outcomes(tmp_path)
    kept = [labelled_row(0, 0.25, HumanLabel.of(["a", "tie"])), labelled_row(1, 0.9, agent=agent)]
    rows = [row.wire() for row in kept]
    outcomes.append(kept, [])
    write_parquet(outcomes.preferences, tmp_path / "preferences.parquet")
    write_card(tmp_path, CARD)
    cache = str(tmp_path / "cache")
    from_json: Any = datasets.load_dataset("json", data_files=str(outcomes.preferences), split="train", cache_dir=cache)
    from_card: Any = datasets.load_dataset(str(tmp_path), split="train", cache_dir=cache)
    assert from_card.column_names == list(rows[0])
    assert without_nulls(from_json.to_list()) == without_nulls(from_card.to_list()) == without_nulls(rows)
    if not agent:
        assert from_card.to_list() == rows
    for dataset in (from_json, from_card):
        assert all(is_conversational(row) for row in dataset)
        texts = [apply_chat_template(row, make_tokenizer()) for row in dataset]
        assert texts[0]["prompt"] == "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
        assert (texts[0]["chosen"], texts[0]["rejected"]) == ("B<|im_end|>\n", "A<|im_end|>\n")
        columns = dataset.select_columns(["prompt", "chosen", "rejected"])
        assert unpair_preference_dataset(columns)["label"] == [True, True, False, False]


@pytest.mark.parametrize("agent", [False, True])
def test_rows_of_any_length_come_through_as_they_are(tmp_path: Path, agent: bool) -> None:
    said = '\x00\n\r\u2028\ufeff\\ 🎉 "name": "tool_calls" {"role": 1} '
    rows = [labelled(0, 0.1 + 0.2), labelled(1, 1.0, HumanLabel(p_a=0.0)), labelled(2, 1 / 3, agent=agent)]
    rows[0] |= {"chosen_steps": [0.1, None], "rejected_steps": [], "chosen_score": 5e-324, "category": None}
    rows[1] |= {"p_tie": 0, "chosen": [{"role": "assistant", "content": said * 1000}], "rationale": said}
    jsonl, parquet = tmp_path / "p.jsonl", tmp_path / "p.parquet"
    lines = [json.dumps(row | {"row": i}, ensure_ascii=False) for i, row in enumerate(rows * 20)]
    jsonl.write_text("\n".join(lines), encoding="utf-8", newline="\n")
    write_parquet(jsonl, parquet, block_bytes=5000)
    table = pq.read_table(parquet)
    assert table == pa.Table.from_pylist([json.loads(line) for line in lines], schema=table.schema)
    fields = {field.name for field in table.schema.field("chosen").type.value_type}
    assert fields == {"role", "content", *(("tool_calls", "tool_call_id", "name") if agent else ())}
    assert pq.ParquetFile(parquet).num_row_groups > 3


def test_parquet_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    jsonl, parquet = tmp_path / "p.jsonl", tmp_path / "p.parquet"
    jsonl.write_text(json.dumps(labelled(0, 0.5)) + "\n" + json.dumps(labelled(1, 0.5) | {"p_chosen": "x"}) + "\n")
    parquet.write_text("old")
    with pytest.raises(PreceptorError, match=r"p\.jsonl: a row does not fit the columns"):
        write_parquet(jsonl, parquet)
    jsonl.write_text(json.dumps(labelled(0, 0.5) | {"p_other": 0.5}))
    with pytest.raises(PreceptorError, match=r"p\.jsonl: a row does not fit the columns"):
        write_parquet(jsonl, parquet)
    jsonl.write_text("{")
    with pytest.raises(PreceptorError, match=r"p\.jsonl:1: not a line of JSON"):
        write_parquet(jsonl, parquet)
    with pytest.raises(UsageError, match=r"q\.jsonl: cannot be read: No such file"):
        write_parquet(tmp_path / "q.jsonl", parquet)
    assert parquet.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.jsonl", "p.parquet"]


def test_no_preferences_at_all(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("")
    write_parquet(tmp_path / "p.jsonl", tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    assert (table.num_rows, table.column_names) == (0, list(labelled(0, 0.5)))


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    jsonl, parquet = tmp_path / "p.jsonl", tmp_path / "p.parquet"
    peaks: list[int] = []
    for count in (700, 2800):
        jsonl.write_text("".join(json.dumps(labelled(number, 0.9)) + "\n" for number in range(count)))
        tracemalloc.start()
        try:
            write_parquet(jsonl, parquet, block_bytes=1 << 18)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert pq.read_table(parquet, columns=["row"])["row"].to_pylist() == list(range(count))
    assert peaks[1] < 1.2 * peaks[0]


def test_the_card_says_whose_opinions_these_are(tmp_path: Path) -> None:
    write_card(tmp_path, CARD)
    text = (tmp_path / "README.md").read_text()
    assert "a model's opinions, not people's" in text
    assert "- Judge: `m`" in text
    assert "hash `h`. Be kind." in text
    assert "- Preferences: 2\n" in text
    for column in labelled(0, 0.5):
        assert f"`{column}`" in text
