import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preceptor.core.types import HumanLabel
from preceptor.store.comparisons import ComparisonRow, Design, Malformed, read_comparisons

PAIR = {"prompt": "Why?", "response_a": "Because.", "response_b": "No."}
ASKED = {"role": "user", "content": "Why?"}
SAID = {"role": "assistant", "content": "Because."}
DENIED = {"role": "assistant", "content": "No."}
CALL = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
AGENT = [
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "42", "tool_call_id": "1", "name": "look"},
    {"role": "assistant", "content": "It is 42."},
]


def read(tmp_path: Path, *rows: Any, design: Design = "all") -> list[ComparisonRow | Malformed]:
    path = tmp_path / "c.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return list(read_comparisons(path, design=design))


def read_one(tmp_path: Path, row: dict[str, Any]) -> ComparisonRow:
    (found,) = read(tmp_path, row)
    assert isinstance(found, ComparisonRow), found
    return found


def chosen_text(row: ComparisonRow) -> str:
    assert row.human
    return row.comparison.a.text if row.human.majority == "a" else row.comparison.b.text


def test_a_comparison_with_all_its_columns(tmp_path: Path) -> None:
    row = read_one(
        tmp_path,
        PAIR
        | {"id": 7, "cohort": "x", "category": "chat", "reference": "r", "metadata": {"k": 1}, "policy_a": "m"}
        | {"ratings": ["a", "tie"], "source": "ignored"},
    )
    comparison = row.comparison
    assert (row.number, row.place.rpartition("/")[2], row.category) == (0, "c.jsonl:1", "chat")
    assert (comparison.id, comparison.prompt.cohort, comparison.prompt.reference) == ("7", "x", "r")
    assert comparison.prompt.metadata == {"k": 1}
    assert (comparison.a.text, comparison.b.text) == ("Because.", "No.")
    assert (comparison.a.policy, comparison.b.policy) == ("m", "unknown")
    assert row.human == HumanLabel(p_a=0.75, ratings=("a", "tie"))


def test_ids_come_from_the_content(tmp_path: Path) -> None:
    first, same, other = read(tmp_path, PAIR, PAIR | {"prompt": [ASKED], "response_a": [SAID]}, PAIR | {"prompt": "?"})
    assert isinstance(first, ComparisonRow)
    assert isinstance(same, ComparisonRow)
    assert isinstance(other, ComparisonRow)
    assert first.comparison == same.comparison
    assert len(first.comparison.id) == len(first.comparison.prompt.id) == 16
    assert first.comparison.id != other.comparison.id
    assert first.comparison.prompt.id != other.comparison.prompt.id


@pytest.mark.parametrize(
    ("label", "human"),
    [
        ("b", HumanLabel.of(["b"])),
        ("tie", HumanLabel.of(["tie"])),
        (0.25, HumanLabel(p_a=0.25)),
        (1, HumanLabel(p_a=1.0)),
        (None, None),
    ],
)
def test_labels(tmp_path: Path, label: Any, human: HumanLabel | None) -> None:
    assert read_one(tmp_path, PAIR | {"label": label}).human == human


def test_messages_are_an_answer_or_a_trajectory(tmp_path: Path) -> None:
    comparison = read_one(tmp_path, {"prompt": [ASKED], "response_a": [SAID], "response_b": AGENT}).comparison
    assert (comparison.a.text, comparison.a.trajectory) == ("Because.", ())
    assert comparison.b.text == "It is 42."
    assert [message.role for message in comparison.b.trajectory] == ["assistant", "tool", "assistant"]
    only_call = read_one(tmp_path, {"prompt": "q", "response_a": AGENT[:1], "response_b": "x"}).comparison.a
    assert (only_call.text, len(only_call.trajectory)) == ("", 1)


def test_arguments_may_be_an_object(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": {"at": "é"}}}
    agent = [{"role": "assistant", "tool_calls": [call]}]
    a = read_one(tmp_path, {"prompt": "q", "response_a": agent, "response_b": "x"}).comparison.a
    assert a.trajectory[0].tool_calls[0].function.arguments == '{"at": "é"}'


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "chosen": "Because.", "rejected": "No."},
        {"prompt": [ASKED], "chosen": [SAID], "rejected": [DENIED]},
        {"chosen": [ASKED, SAID], "rejected": [ASKED, DENIED]},
        {"prompt": "Why?", "chosen": [ASKED, SAID], "rejected": [ASKED, DENIED]},
        {"prompt": "Why?", "chosen": [SAID], "rejected": [DENIED], "p_chosen": 0.6},
    ],
)
def test_every_form_of_trl_gives_the_same_comparison(tmp_path: Path, row: dict[str, Any]) -> None:
    found = read_one(tmp_path, row)
    plain = read_one(tmp_path, {"prompt": "Why?", "chosen": "Because.", "rejected": "No."})
    assert found.comparison == plain.comparison
    assert chosen_text(found) == "Because."
    assert found.human is not None
    assert len(found.human.ratings) == 1


def test_an_implicit_prompt_ends_with_the_user(tmp_path: Path) -> None:
    more = {"role": "user", "content": "And?"}
    row = read_one(tmp_path, {"chosen": [ASKED, SAID, more, SAID], "rejected": [ASKED, SAID, more, DENIED]})
    assert len(row.comparison.prompt.conversation) == 3
    row = read_one(tmp_path, {"chosen": [ASKED, *AGENT], "rejected": [ASKED, *AGENT[:2], DENIED]})
    assert len(row.comparison.prompt.conversation) == 1
    assert len(row.comparison.a.trajectory) == len(row.comparison.b.trajectory) == 3
    row = read_one(tmp_path, {"chosen": [ASKED, SAID], "rejected": [ASKED, SAID]})
    assert row.comparison.a == row.comparison.b


def test_the_position_says_nothing_of_the_answer(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{i}", "chosen": "good", "rejected": "bad"} for i in range(400)]
    flipped = [{"prompt": f"p{i}", "chosen": "bad", "rejected": "good"} for i in range(400)]
    equal = [{"prompt": f"p{i}", "chosen": "same", "rejected": "same"} for i in range(400)]
    found = [row for row in read(tmp_path, *rows, *flipped, *equal) if isinstance(row, ComparisonRow)]
    humans = [row.human.majority for row in found if row.human]
    assert 160 <= humans[:400].count("a") <= 240
    assert 160 <= humans[800:].count("a") <= 240
    assert [row.comparison for row in found[:400]] == [row.comparison for row in found[400:800]]
    assert {chosen_text(row) for row in found[:400]} == {"good"}


def test_labels_of_a_model_are_not_taken_for_a_persons(tmp_path: Path) -> None:
    written = {"prompt": [ASKED], "chosen": [SAID], "rejected": [DENIED], "constitution_hash": "h", "p_chosen": 0.9}
    assert read_one(tmp_path, written).human is None
    row = read_one(tmp_path, written | {"human_p_chosen": 0.25})
    assert row.human is not None
    assert chosen_text(row) == "No."
    assert {row.human.p_a, 1 - row.human.p_a} == {0.25, 0.75}


@pytest.mark.parametrize(
    ("said", "who"),
    [
        ({}, None),
        ({"judge": "larger", "origin": "o"}, "larger"),
        ({"origin": "critique and revision", "model": "m"}, "a model (critique and revision: m)"),
        ({"origin": "constructed"}, "a model (constructed)"),
        ({"judge": {"name": "x"}, "model": "m"}, None),
    ],
)
def test_a_label_of_a_model_is_known_by_who_gave_it(tmp_path: Path, said: dict[str, Any], who: str | None) -> None:
    written = {"prompt": [ASKED], "chosen": [SAID], "rejected": [DENIED], "constitution_hash": "h"}
    row = read_one(tmp_path, written | said)
    assert (row.labelled_by, row.preferred) == (who, None)


def test_people_prefer_one_response_or_none(tmp_path: Path) -> None:
    pair = {"prompt": "q", "response_a": "yes", "response_b": "no"}
    labels = [{"label": "b"}, {"label": "tie"}, {}, {"label": 0.9}, {"ratings": ["a", "a", "b"]}]
    rows = [read_one(tmp_path, pair | {**label}) for label in labels]
    assert [row.preferred for row in rows] == ["b", None, None, "a", "a"]


def test_pairs_of_several_responses(tmp_path: Path) -> None:
    row = {"id": "q", "prompt": "Why?", "responses": ["r0", [SAID], "r2", "r3"], "policies": ["p0", "p1", "p2", None]}
    everything = [r for r in read(tmp_path, row) if isinstance(r, ComparisonRow)]
    assert [r.comparison.id for r in everything] == ["q-0-1", "q-0-2", "q-0-3", "q-1-2", "q-1-3", "q-2-3"]
    assert [r.number for r in everything] == [0, 1, 2, 3, 4, 5]
    assert everything[3].comparison.a.text == "Because."
    assert (everything[2].comparison.a.policy, everything[2].comparison.b.policy) == ("p0", "unknown")
    circle = [r.comparison.id for r in read(tmp_path, row, design="circular") if isinstance(r, ComparisonRow)]
    assert circle == ["q-0-1", "q-1-2", "q-2-3", "q-3-0"]
    star = [r.comparison.id for r in read(tmp_path, row, design="anchor") if isinstance(r, ComparisonRow)]
    assert star == ["q-0-1", "q-0-2", "q-0-3"]
    assert len(read(tmp_path, {"prompt": "?", "responses": ["a", "b"]}, design="circular")) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not a line of JSON"),
        (PAIR | {"prompt": " "}, "a prompt ends with a message of the user that is not empty"),
        (PAIR | {"prompt": [SAID]}, "a prompt ends with a message of the user"),
        (PAIR | {"prompt": 3}, "conversation.0.content: expected a text, got 3"),
        (PAIR | {"response_b": None}, 'no "response_b"'),
        ({"prompt": "q", "response_a": "x", "respons_b": "y"}, 'no "response_b"; did you mean "response_b" by'),
        ({"promt": "q", "chosen": "x", "rejected": "y"}, 'no "prompt"; did you mean "prompt" by the column "promt"?'),
        ({"prompt": "q", "respones": []}, 'did you mean "responses" by the column "respones"?'),
        ({"instruction": "q", "output": "x"}, 'or "responses"; the columns are "instruction", "output"'),
        (PAIR | {"response_a": True}, "response_a: expected a text or a list of messages, got bool"),
        (PAIR | {"response_a": [ASKED, SAID]}, "response_a: expected the messages after the prompt"),
        (PAIR | {"response_a": [{"role": "bot"}]}, "response_a.0.role: expected 'system'"),
        (PAIR | {"label": 2}, 'label: expected "a", "b", "tie" or a probability in [0, 1], got'),
        (PAIR | {"label": True}, "label: expected"),
        (PAIR | {"ratings": ["a", 1]}, 'ratings: expected a list of "a", "b" and "tie"'),
        (PAIR | {"ratings": []}, "ratings: expected"),
        (PAIR | {"id": 1.5}, "id: expected a text or a whole number, got float"),
        (PAIR | {"category": ""}, "category: expected a text"),
        (PAIR | {"cohort": 3}, "cohort: expected a text, got 3"),
        (PAIR | {"metadata": "x"}, 'metadata: expected an object, got "x"'),
        ({"prompt": "q", "responses": ["x"]}, "responses: expected a list of two or more"),
        ({"prompt": "q", "responses": ["x", 3]}, "responses.1: expected a text"),
        ({"prompt": "q", "responses": ["x", "y"], "policies": ["p"]}, "policies: expected a list of 2"),
        ({"chosen": [ASKED, SAID], "rejected": [SAID]}, 'no "prompt"'),
        ({"chosen": [{"role": [], "content": ""}], "rejected": [3]}, 'no "prompt"'),
        ({"chosen": [ASKED, SAID], "rejected": [DENIED | {"role": "user"}, SAID]}, "to begin alike"),
        ({"chosen": [ASKED], "rejected": [ASKED]}, "expected chosen and rejected to begin"),
    ],
)
def test_a_bad_row_counts_as_one_outcome(tmp_path: Path, row: Any, reason: str) -> None:
    first, bad, last = read(tmp_path, PAIR, row, PAIR)
    assert isinstance(bad, Malformed)
    assert reason in bad.reason
    assert "\n" not in bad.reason
    assert (first.number, bad.number, last.number) == (0, 1, 2)
    assert bad.place.endswith("c.jsonl:2")


def test_nulls_of_a_columnar_file_are_absent(tmp_path: Path) -> None:
    rows = [
        {"prompt": [ASKED], "response_a": [SAID], "response_b": AGENT, "label": "b"},
        {"prompt": [ASKED], "chosen": [SAID], "rejected": [DENIED]},
        {"prompt": [ASKED], "responses": [[SAID], [DENIED]], "metadata": {"k": 1}},
    ]
    message = pa.struct(
        [
            *(("role", pa.string()), ("content", pa.string()), ("tool_call_id", pa.string()), ("name", pa.string())),
            ("tool_calls", pa.array([[CALL]]).type),
        ]
    )
    columns = {name: pa.list_(message) for name in ("prompt", "response_a", "response_b", "chosen", "rejected")}
    columns |= {"responses": pa.list_(pa.list_(message)), "label": pa.string()}
    columns |= {"metadata": pa.struct([("k", pa.int64())])}
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(list(columns.items()))), tmp_path / "c.parquet")
    expected = [row.comparison for row in read(tmp_path, *rows) if isinstance(row, ComparisonRow)]
    found = [row.comparison for row in read_comparisons(tmp_path / "c.parquet") if isinstance(row, ComparisonRow)]
    assert found == expected
    assert len(found) == 3
