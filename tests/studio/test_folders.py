"""What is read from files is remembered until they change."""

import os
from pathlib import Path

import pytest

from preceptor.core.errors import PreceptorError
from preceptor.studio.folders import Library


def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    file, library, reads = tmp_path / "a.json", Library([tmp_path]), list[str]()

    def read() -> str:
        reads.append(file.read_text())
        if reads[-1] == "damaged":
            raise PreceptorError("damaged")
        return reads[-1]

    file.write_text("one")
    assert [library.remembered("text", file, read) for _ in range(3)] == ["one"] * 3
    assert library.remembered("length", file, lambda: len(file.read_text())) == 3
    assert reads == ["one"]
    file.write_text("two")  # as long as before
    os.utime(file, ns=(1, 1))
    assert library.remembered("text", file, read) == "two"
    file.write_text("damaged")
    for _ in range(2):
        with pytest.raises(PreceptorError, match="damaged"):
            library.remembered("text", file, read)
    assert reads == ["one", "two", "damaged", "damaged"]
    file.unlink()
    with pytest.raises(PreceptorError, match=r"a\.json"):
        library.remembered("text", file, read)
