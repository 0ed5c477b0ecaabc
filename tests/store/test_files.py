import errno
import os
from pathlib import Path

import pytest

from preceptor.core.errors import CheckpointError, PreceptorError
from preceptor.store import files


def fill(folder: Path) -> None:
    (folder / "weights").write_bytes(b"abc" * 100)
    (folder / "config").write_text("{}")


def test_a_folder_is_written_whole_and_verified(tmp_path: Path) -> None:
    files.write_folder(tmp_path / "c", fill)
    files.check_folder(tmp_path / "c")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c"]


def test_a_truncated_an_altered_and_a_missing_file_are_named(tmp_path: Path) -> None:
    files.write_folder(tmp_path / "c", fill)
    weights = tmp_path / "c" / "weights"
    weights.write_bytes(b"abc" * 50)
    with pytest.raises(CheckpointError, match="weights: has 150 bytes, expected 300"):
        files.check_folder(tmp_path / "c")
    weights.write_bytes(b"abd" * 100)
    with pytest.raises(CheckpointError, match="weights: its content was altered"):
        files.check_folder(tmp_path / "c")
    weights.unlink()
    with pytest.raises(CheckpointError, match="weights: is missing"):
        files.check_folder(tmp_path / "c")
    (tmp_path / "c" / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match="manifest"):
        files.check_folder(tmp_path / "c")


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    files.write_folder(tmp_path / "step-1", fill)

    def full(folder: Path) -> None:
        (folder / "weights").write_bytes(b"abc")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(PreceptorError, match=r"step-2: cannot be written: .*No space left"):
        files.write_folder(tmp_path / "step-2", full)
    files.check_folder(tmp_path / "step-1")
    assert [p.name for p in tmp_path.iterdir()] == ["step-1"]


def test_a_text_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "t"
    files.write_text(path, "old")
    files.write_text(path, "new")
    assert path.read_text() == "new"
    with pytest.raises(PreceptorError, match="cannot be written"):
        files.write_text(tmp_path / "missing" / "t", "x")


def test_rows_but_for_the_one_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert files.read_rows(path) == []
    files.append_line(path, {"a": 1})
    files.append_line(path, {"a": 2})
    path.write_text(path.read_text() + '{"a": 3')
    assert files.read_rows(path) == [{"a": 1}, {"a": 2}]


def test_partials_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / "c.partial").mkdir()
    (tmp_path / "c.partial" / "x").write_text("x")
    (tmp_path / "t.partial").write_text("x")
    (tmp_path / "kept").write_text("x")
    files.remove_partials(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
