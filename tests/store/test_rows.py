import json
import tracemalloc
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preceptor.core.errors import UsageError
from preceptor.store.rows import Malformed, json_lines, read_raw_rows

ROWS = [{"prompt": f"p{i}", "n": i} for i in range(150)]


def read(path: Path) -> list[dict[str, Any] | Malformed]:
    return [row for _, row in read_raw_rows(path)]


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_same_rows_from_every_kind_of_source(tmp_path: Path) -> None:
    dataset = datasets.Dataset.from_list(ROWS)
    dataset.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"test": dataset}).save_to_disk(tmp_path / "one_split")
    datasets.DatasetDict({"train": dataset, "test": dataset.select([0])}).save_to_disk(tmp_path / "splits")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "f.parquet")
    write_lines(tmp_path / "f.jsonl", ROWS)
    (tmp_path / "parts").mkdir()
    write_lines(tmp_path / "parts" / "2.jsonl", ROWS[70:])
    write_lines(tmp_path / "parts" / "1.jsonl", ROWS[:70])
    for name in ("f.jsonl", "f.parquet", "saved", "one_split", "splits", "parts"):
        assert read(tmp_path / name) == ROWS, name


def test_places(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "f.jsonl", ROWS[:2])
    path.write_text("\n" + path.read_text())
    assert [place for place, _ in read_raw_rows(path)] == [f"{path}:2", f"{path}:3"]
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "f.parquet")
    assert [place for place, _ in read_raw_rows(tmp_path / "f.parquet")][149].endswith("f.parquet: row 150")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": ', "not a line of JSON"),
        (b"[1]", "expected a JSON object, got list"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": "\xff"}', "it is not text in UTF-8"),
        (b'{"a": "\\ud83d"}', "half of a surrogate pair"),
        (b"[" * 100_000, "not a line of JSON"),
    ],
)
def test_a_bad_line_keeps_its_place(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n' + line + b'\n{"a": "\\ud83d\\ude00 \xe2\x80\xa8"}')
    first, bad, last = read(path)
    assert (first, last) == ({"a": 1}, {"a": "😀 \u2028"})
    assert isinstance(bad, Malformed)
    assert (bad.number, bad.place) == (1, f"{path}:2")
    assert reason in bad.reason
    assert "\n" not in bad.reason


def test_a_line_without_end_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"a":1}\n{"a":"xxxxxxxxxxxxxxxxxxxxx"}\n{"a":2}')
    (_, first), (_, bad), (_, last) = json_lines(path, longest=8)
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert "a line of more than 8 bytes" in str(bad)


def test_a_missing_path_is_said_to_be_missing_whatever_its_ending(tmp_path: Path) -> None:
    for name in ("nowhere", "nowhere.csv", "nowhere.jsonl"):
        with pytest.raises(UsageError, match="No such file"):
            list(read_raw_rows(tmp_path / name))


def test_what_cannot_be_read_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "both").mkdir()
    write_lines(tmp_path / "both" / "f.jsonl", ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "both" / "f.parquet")
    dataset = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"test": dataset, "dev": dataset}).save_to_disk(tmp_path / "splits")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "state.json").write_text("{")
    for name, reason in {
        "none.jsonl": "cannot be read: No such file",
        "f.csv": r"f\.csv: cannot be read: expected a \.jsonl or \.parquet file",
        "empty": "this folder holds no data",
        "both": "both .jsonl and .parquet files; name one file",
        "splits": 'one named "train"; this dataset has "test", "dev"',
        "damaged": "this saved dataset cannot be read",
    }.items():
        with pytest.raises(UsageError, match=reason):
            read_raw_rows(tmp_path / name)
    (tmp_path / "f.parquet").write_text("no Parquet")
    with pytest.raises(UsageError, match=r"f\.parquet: cannot be read as Parquet"):
        read(tmp_path / "f.parquet")


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i:06}" * 300} for i in range(6000)]  # 11 MB
    write_lines(tmp_path / "f.jsonl", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "f.parquet", compression="none", use_dictionary=False)
    tracemalloc.start()
    before, most = pa.total_allocated_bytes(), 0
    try:
        for name in ("f.jsonl", "f.parquet"):
            for _ in read_raw_rows(tmp_path / name):
                most = max(most, pa.total_allocated_bytes() - before)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2e6
    assert most < 4e6
