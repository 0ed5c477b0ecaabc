"""Rows of one prompt become one row."""

from pathlib import Path
from typing import Any

from hub_server import Hub, json_lines
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.hub.joined import joined
from preceptor.store.prompts import read_prompts
from preceptor.store.traces import read_traces


def rated(prompt: str, response: str, helpfulness: int) -> dict[str, Any]:
    return {"prompt": prompt, "response": response, "helpfulness": helpfulness, "correctness": 4}


def message(name: str, parent: str | None, text: str, rank: int | None = None) -> dict[str, Any]:
    role = "prompter" if parent is None or name.startswith("p") else "assistant"
    return {"message_id": name, "parent_id": parent, "message_tree_id": "t", "role": role, "text": text, "rank": rank}


TREE = [
    message("root", None, "q"),
    message("a", "root", "worst", 2),
    message("p1", "a", "why?"),
    message("b", "p1", "because", 0),
    message("c", "root", "best", 0),
    message("d", "root", "middling", 1),
    message("e", "root", "unranked"),
]


def test_two_rated_responses_are_a_comparison(hub: Hub) -> None:
    rows = [rated("p", "x", 4), rated("p", "y", 2), rated("q", "x", 1), rated("q", "y", 3), rated("r", "x", 3)]
    hub.add("datasets/org/rows", {"train.jsonl": json_lines(*rows, rated("r", "y", 3))})
    found = [row for row in read_comparisons(Path("hf:org/rows")) if isinstance(row, ComparisonRow)]
    assert [row.comparison.prompt.text for row in found] == ["p", "q", "r"]
    assert [row.comparison.a.text for row in found] == ["x", "x", "x"]
    assert [row.human.p_a for row in found if row.human] == [1.0, 0.0, 0.5]
    assert found[1].place == "hf:org/rows: row 3"


def test_a_single_rated_response_is_a_prompt_and_other_rows_stay() -> None:
    rows = [("1", rated("p", "x", 4)), ("2", {"prompt": "p", "response": "x"}), ("3", "not JSON")]
    assert list(joined(rows)) == [("1", {"prompt": "p"}), *rows[1:]]


def test_the_best_and_the_worst_answer_of_a_tree_are_a_pair() -> None:
    [(place, row)] = joined([(str(number), each) for number, each in enumerate(TREE)])
    assert place == "0"
    assert row == {"prompt": "q", "chosen": "best", "rejected": "worst", "metadata": {"message_id": "root"}}
    [(_, unranked)] = joined([("0", TREE[0]), ("1", TREE[-1])])
    assert unranked == {"prompt": "q", "metadata": {"message_id": "root"}}


def test_trees_give_prompts(hub: Hub) -> None:
    hub.add("datasets/org/rows", {"train.jsonl": json_lines(*TREE)})
    assert [prompt.text for prompt in read_prompts("hf:org/rows")] == ["q"]


def test_chats_on_the_hub_are_traces(hub: Hub) -> None:
    asked, said = {"role": "user", "content": "q"}, {"role": "assistant", "content": "x"}
    rows = [
        {"conversation": [asked, said]},
        {"messages": [asked | {"content": "p"}, said]},
        {"question": "r", "answer": "y"},
    ]
    hub.add("datasets/org/chats", {"train.jsonl": json_lines(*rows)})
    [first, second, third] = read_traces([Path("hf:org/chats")]).chats
    assert [chat.conversation[-1].content for chat in (first, second, third)] == ["q", "p", "r"]
    assert [chat.answered for chat in (first, second, third)] == ["x", "x", "y"]
    assert first.source == "hf:org/chats"
