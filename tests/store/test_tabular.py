"""Rows in every form, as the same file."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

from preceptor.core.errors import UsageError
from preceptor.store.files import content_of
from preceptor.store.output import output_folder
from preceptor.store.tabular import rows_as_file

ROWS: list[dict[str, Any]] = [
    {"prompt": "Why?", "response_a": "because é", "response_b": "no", "label": 0.5},
    {"prompt": "How?", "response_a": "so", "response_b": "not so", "label": 1.0},
]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_path_stays_what_it_is(tmp_path: Path) -> None:
    assert rows_as_file("here.jsonl", tmp_path) == Path("here.jsonl")
    assert str(rows_as_file("package:everyday_prompts", tmp_path)) == "package:everyday_prompts"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        tuple(ROWS),
        iter(ROWS),
        pd.DataFrame(ROWS),
        datasets.Dataset.from_list(ROWS),
        datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list([])}),
        datasets.DatasetDict({"only": datasets.Dataset.from_list(ROWS)}),
        datasets.Dataset.from_list(ROWS).to_iterable_dataset(),
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_every_form_gives_the_same_bytes(tmp_path: Path, rows: Any) -> None:
    path = rows_as_file(rows, tmp_path)
    assert path == tmp_path / "rows.jsonl"
    assert path.read_text(encoding="utf-8") == "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def test_the_same_rows_again_are_the_same_file_and_others_are_refused(tmp_path: Path) -> None:
    before = content_of(rows_as_file(ROWS, tmp_path))
    assert content_of(rows_as_file(pd.DataFrame(ROWS), tmp_path)) == before
    with pytest.raises(UsageError, match="other rows"):
        rows_as_file(ROWS[:1], tmp_path)
    assert content_of(tmp_path / "rows.jsonl") == before
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
    assert read(rows_as_file(ROWS[:1], tmp_path, begun=False)) == ROWS[:1]


def test_a_generator_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[dict[str, str]]:
        yield {"prompt": "Why?"}
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match="the source is gone"):
        rows_as_file(failing(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_texts_are_prompts_where_prompts_are_wanted(tmp_path: Path) -> None:
    rows = rows_as_file(["Why?", "How?"], tmp_path, name="prompts.jsonl", text_column="prompt")
    assert read(rows) == [{"prompt": "Why?"}, {"prompt": "How?"}]
    with pytest.raises(UsageError, match="row 1 of the rows given: expected a dict, got str"):
        rows_as_file(["Why?"], tmp_path)


def test_values_of_numpy_become_plain_ones(tmp_path: Path) -> None:
    rows = [
        {
            "id": np.int64(3),
            "label": np.float32(0.5),
            "flag": np.bool_(True),
            "responses": np.array(["x", "y"]),
            "metadata": {"steps": np.array([1, 2]), "day": date(2026, 1, 2), "pair": (np.float64(0.25), None)},
        }
    ]
    [row] = read(rows_as_file(rows, tmp_path))
    assert row == {
        "id": 3,
        "label": 0.5,
        "flag": True,
        "responses": ["x", "y"],
        "metadata": {"steps": [1, 2], "day": "2026-01-02", "pair": [0.25, None]},
    }


def test_what_a_dataframe_misses_is_absent(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "prompt": ["Why?", "How?"],
            "label": [0.5, float("nan")],
            "time": [pd.NaT, pd.Timestamp("2026-01-02")],
            "count": pd.array([1, pd.NA], dtype="Int64"),
            "cohort": [None, "x"],
            "responses": [np.array(["a", "b"], dtype=object), None],
        }
    )
    first, second = read(rows_as_file(frame, tmp_path))
    assert (first["label"], first["time"], first["count"], first["cohort"]) == (0.5, None, 1, None)
    assert first["responses"] == ["a", "b"]
    assert (second["label"], second["count"], second["cohort"], second["responses"]) == (None, None, "x", None)
    assert second["time"] == "2026-01-02T00:00:00"


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ({"prompt": ["Why?"]}, "got one dict"),
        (3, "got int"),
        ([["Why?"]], "row 1 of the rows given: expected a dict, got list"),
        ([{"prompt": "x"}, {"prompt": {1, 2}}], "row 2 of the rows given: prompt: .*got set"),
        ([{"prompt": b"bytes"}], "row 1 of the rows given: prompt: .*got bytes"),
        ([{3: "x"}], "row 1 of the rows given: .*got 3"),
        ([{"metadata": {3: "x"}}], "row 1 of the rows given: metadata: .*'3'"),
        ([{"label": float("nan")}], "row 1 of the rows given: label: .*finite.*nan"),
        ([{"label": np.array([np.inf])}], "row 1 of the rows given: label: .*finite"),
        ([{"prompt": "\ud800"}], "row 1 of the rows given: prompt: half of a surrogate pair"),
        ([{"prompt": nested(100_000)}], "row 1 of the rows given: prompt: nested too deeply"),
        (datasets.DatasetDict(), "has none"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "same name"),
        (pd.DataFrame([[1]]), "row 1 of the rows given: .*got 0"),
    ],
)
def test_what_cannot_be_a_row_is_named(tmp_path: Path, rows: Any, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        rows_as_file(rows, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_neither_pandas_nor_datasets_is_imported_for_dicts(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from preceptor.store.tabular import rows_as_file;"
        "rows_as_file([{'prompt': 'Why?'}], Path(sys.argv[1]));"
        "print([name for name in ('pandas', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_temporary_folder_lives_as_long_as_what_refers_to_it(tmp_path: Path) -> None:
    assert output_folder(tmp_path).path == tmp_path
    output = output_folder(None)
    folder = output.path
    (folder / "file").write_text("x")
    assert folder.is_dir()
    del output
    assert not folder.exists()
    assert tmp_path.exists()
