import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.store.rows import Malformed
from preceptor.store.training_pairs import TrainingPair, combine, hard, read_training_pairs, split

ASKED = {"role": "user", "content": "Why?"}
SAID = {"role": "assistant", "content": "Because."}
DENIED = {"role": "assistant", "content": "No."}
OURS = {
    "id": "7",
    "prompt": [ASKED],
    "chosen": [SAID],
    "rejected": [DENIED],
    "p_chosen": 0.75,
    "constitution_hash": "h",
}
PAIR = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
RATED = {"prompt": "Why?", "response_a": "No.", "response_b": "Because."}


def read(tmp_path: Path, *rows: Any, **settings: Any) -> tuple[list[TrainingPair], list[Malformed]]:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return read_training_pairs(path, **settings)


def read_one(tmp_path: Path, row: dict[str, Any], **settings: Any) -> TrainingPair:
    pairs, left_out = read(tmp_path, row, **settings)
    assert left_out == []
    return pairs[0]


def facts(pair: TrainingPair) -> tuple[str, str, float, str]:
    return pair.chosen.text, pair.rejected.text, pair.p_chosen, pair.source


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (OURS, ("Because.", "No.", 0.75, "ai")),
        (OURS | {"human_p_chosen": 0.0}, ("Because.", "No.", 0.75, "ai")),
        (OURS | {"p_chosen": 0.25}, ("No.", "Because.", 0.75, "ai")),
        (OURS | {"p_chosen": None}, ("Because.", "No.", 1.0, "ai")),  # made by revision: nobody judged
        (PAIR | {"origin": "constructed"}, ("Because.", "No.", 1.0, "ai")),
        (PAIR | {"origin": "constructed", "human_p_chosen": 0.0}, ("Because.", "No.", 1.0, "ai")),
        (PAIR | {"origin": "a forum"}, ("Because.", "No.", 1.0, "human")),
        (PAIR, ("Because.", "No.", 1.0, "human")),
        ({"chosen": [ASKED, SAID], "rejected": [ASKED, DENIED]}, ("Because.", "No.", 1.0, "human")),
        ({"prompt": "Why?", "chosen": "Because.", "rejected": "No.", "p_chosen": 0.6}, ("Because.", "No.", 0.6, "ai")),
        (RATED | {"label": "b"}, ("Because.", "No.", 1.0, "human")),
        (RATED | {"label": 0.25}, ("Because.", "No.", 0.75, "human")),
        (RATED | {"ratings": ["b", "b", "a", "tie"]}, ("Because.", "No.", 0.625, "human")),
    ],
)
def test_the_likelier_response_is_chosen(
    tmp_path: Path, row: dict[str, Any], expected: tuple[str, str, float, str]
) -> None:
    assert facts(read_one(tmp_path, row)) == expected


def test_whose_labels(tmp_path: Path) -> None:
    both = OURS | {"human_p_chosen": 0.25}
    assert facts(read_one(tmp_path, both, labels="human")) == ("No.", "Because.", 0.75, "human")
    assert facts(read_one(tmp_path, both, labels="ai")) == ("Because.", "No.", 0.75, "ai")
    assert read_one(tmp_path, both, weight=0.5).weight == 0.5
    pairs, left_out = read(tmp_path, OURS, RATED | {"label": "a"}, labels="human")
    assert [pair.source for pair in pairs] == ["human"]
    assert left_out == [
        Malformed(
            0, f"{tmp_path / 'pairs.jsonl'}:1", 'no label of people; expected "label", "ratings" or "human_p_chosen"'
        )
    ]
    assert len(read(tmp_path, OURS, RATED | {"label": "a"}, labels="ai")[0]) == 1


def test_a_row_that_teaches_nothing_is_left_out_with_the_reason(tmp_path: Path) -> None:
    same = {"prompt": "Why?", "chosen": "No.", "rejected": "No."}
    pairs, left_out = read(tmp_path, OURS | {"p_chosen": 0.5}, same, RATED, OURS | {"p_chosen": 1.5}, "{")
    assert [pair.p_chosen for pair in pairs] == [0.5]  # a tie is a soft label
    reasons = [f"{row.place.removeprefix(f'{tmp_path}/pairs.jsonl:')}: {row.reason}" for row in left_out]
    assert reasons[0] == "2: both responses are the same"
    assert reasons[1] == '3: no label; expected "p_chosen", "label" or "ratings"'
    assert reasons[2] == "4: p_chosen: expected a probability in [0, 1], got '1.5'"
    assert reasons[3].startswith("5: not a line of JSON")
    assert read(tmp_path) == ([], [])
    with pytest.raises(UsageError, match="cannot be read"):
        read_training_pairs(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="positive"):
        read(tmp_path, OURS, weight=0.0)


def test_an_empty_response_and_a_trajectory_are_responses(tmp_path: Path) -> None:
    assert read_one(tmp_path, {"prompt": "Why?", "chosen": "Because.", "rejected": ""}).rejected.text == ""
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    agent = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "42"}, DENIED]
    pair = read_one(tmp_path, {"prompt": [ASKED], "chosen": agent, "rejected": [DENIED]})
    assert len(pair.chosen.trajectory) == 3
    assert pair.chosen.text == pair.rejected.text


def test_people_replace_the_judge(tmp_path: Path) -> None:
    judged = read(tmp_path, OURS, OURS | {"p_chosen": 0.9}, OURS | {"prompt": [ASKED | {"content": "How?"}]})[0]
    rated = read(tmp_path, RATED | {"label": "a"})[0]
    assert [facts(pair) for pair in combine([judged, rated])] == [
        ("Because.", "No.", 0.75, "ai"),
        ("No.", "Because.", 1.0, "human"),
    ]
    assert combine([judged, []]) == judged


def test_hard_labels(tmp_path: Path) -> None:
    pairs = read(tmp_path, OURS, OURS | {"p_chosen": 0.5}, OURS | {"p_chosen": 0.51})[0]
    assert [pair.p_chosen for pair in hard(pairs)] == [1.0, 1.0]


def test_all_pairs_of_a_prompt_are_on_one_side(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{i % 200}", "chosen": f"a{i}", "rejected": "b"} for i in range(400)]
    pairs = read(tmp_path, *rows)[0]
    training, held_out = split(pairs, 0.25)
    assert len(training) + len(held_out) == 400
    assert 60 <= len(held_out) <= 140
    assert not {pair.prompt.text for pair in training} & {pair.prompt.text for pair in held_out}
    assert split(pairs[:200], 0.25)[1] == held_out[: len(held_out) // 2]
    assert split(pairs, 0.0) == (pairs, [])


def test_a_row_has_a_weight_of_its_own(tmp_path: Path) -> None:
    assert read_one(tmp_path, {**OURS, "weight": 3}, weight=0.5).weight == 1.5
    pairs, left_out = read(tmp_path, {**OURS, "weight": 0}, {**OURS, "weight": "much"})
    assert not pairs
    assert len(left_out) == 2
    assert all("weight: expected a number above 0" in row.reason for row in left_out)
