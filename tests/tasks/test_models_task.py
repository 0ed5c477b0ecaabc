"""The forms of a model string, and the embedded model."""

from pathlib import Path

import pytest

import preceptor as pc


def test_the_embedded_model_is_in_the_cache_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = pc.models(fetch=True)
    assert known.embedded.cached
    assert Path(known.embedded.path, "config.json").is_file()
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tmp_path))
    empty = pc.models()
    assert not empty.embedded.cached
    assert "not fetched" in str(empty)
    assert empty.forms == known.forms
