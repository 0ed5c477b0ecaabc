"""Tools in rows: as a list or as JSON text, kept in labels and demonstrations, refused where they are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.store.comparisons import ComparisonRow, Malformed, comparisons_in
from preceptor.store.demonstrations import read_demonstrations
from preceptor.store.preference_row import PreferenceRow
from preceptor.store.tools import WrongToolsError, read_tools, tools_text

ADD: dict[str, Any] = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
ROW: dict[str, Any] = {"prompt": "2 + 2?", "response_a": "4", "response_b": "5"}


@pytest.mark.parametrize("given", [[ADD], json.dumps([ADD]), [{**ADD, "strict": None}], [ADD["function"]]])
def test_tools_are_read_from_a_list_or_its_text(given: Any) -> None:
    [row] = comparisons_in("here", ROW | {"tools": given})
    assert isinstance(row, ComparisonRow)
    assert [tool.get("function", tool) for tool in row.comparison.prompt.tools] == [ADD["function"]]
    assert read_tools(tools_text(row.comparison.prompt.tools)) == row.comparison.prompt.tools


@pytest.mark.parametrize("given", ["search", '["search"]', {"name": "add"}, [{"function": {}}], 3, [[]]])
def test_what_is_no_tool_is_told(given: Any) -> None:
    [row] = comparisons_in("here", ROW | {"tools": given})
    assert isinstance(row, Malformed)
    assert row.reason.startswith("tools: expected")
    with pytest.raises(WrongToolsError):
        read_tools(given)


def test_a_row_without_tools_is_as_it_was() -> None:
    [row, empty] = [comparisons_in("here", ROW | more)[0] for more in ({}, {"tools": []})]
    assert isinstance(row, ComparisonRow) and isinstance(empty, ComparisonRow)
    assert row.comparison == empty.comparison
    assert "tools" not in row.comparison.prompt.model_dump(mode="json")
    columns = {
        "id": "r", "prompt_id": "p", "prompt": [{"role": "user", "content": "2 + 2?"}], "chosen_is": "a",
        "chosen": [{"role": "assistant", "content": "4"}], "rejected": [{"role": "assistant", "content": "5"}],
        "p_chosen": 0.9,
    }  # fmt: skip
    assert "tools" not in PreferenceRow.read(columns, "here").wire()
    offered = PreferenceRow.read(columns | {"tools": [ADD]}, "here")
    assert json.loads(str(offered.wire()["tools"])) == [ADD]
    assert offered.comparison().prompt.tools == (ADD,)


def test_demonstrations_have_tools(tmp_path: Path) -> None:
    file = tmp_path / "shown.jsonl"
    rows = [{"prompt": "2 + 2?", "completion": "4", "tools": given} for given in ([ADD], "no JSON")]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    [shown], [left_out] = read_demonstrations(file)
    assert shown.prompt.tools == (ADD,)
    assert "tools: expected" in left_out
