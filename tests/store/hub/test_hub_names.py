from pathlib import Path

import pytest

from hub_server import Hub
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.store.hub.names import HubDataset, is_on_hub, with_commit


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("hf:Org/rows", HubDataset("Org/rows")),
        ("hf:Org/rows:test", HubDataset("Org/rows", split="test")),
        ("hf:Org/rows/v1.1:test", HubDataset("Org/rows", config="v1.1", split="test")),
        ("hf:Org/rows@main/v1", HubDataset("Org/rows", "main", "v1")),
    ],
)
def test_a_name_says_repository_revision_configuration_and_split(name: str, dataset: HubDataset) -> None:
    assert HubDataset.parse(name) == dataset
    assert str(dataset) == name


@pytest.mark.parametrize("name", ["hf:rows", "hf:a/b/c/d", "hf:a/b:", "hf:a/b c", "hf:"])
def test_another_form_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="SPLIT"):
        HubDataset.parse(name)


def test_a_file_of_such_a_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_on_hub("hf:a/b")
    (tmp_path / "hf:a").mkdir()
    (tmp_path / "hf:a" / "b").touch()
    assert not is_on_hub("hf:a/b")
    assert not is_on_hub("rows.jsonl")


def test_the_commit_is_that_of_the_revision(hub: Hub) -> None:
    first = hub.add("datasets/org/rows", {"rows.jsonl": b"{}\n"})
    second = hub.repositories["datasets/org/rows"].commit({"rows.jsonl": b"{}\n{}\n"})
    assert with_commit("hf:org/rows:train") == f"hf:org/rows@{second}:train"
    assert with_commit(f"hf:org/rows@{first}") == f"hf:org/rows@{first}"
    assert with_commit("rows.jsonl") == "rows.jsonl"


def test_a_commit_needs_no_hub(hub: Hub) -> None:
    name = f"hf:org/rows@{'0' * 40}"
    assert with_commit(name) == name
    assert not hub.requests


@pytest.mark.parametrize(("name", "word"), [("hf:org/none", "HF_TOKEN"), ("hf:org/rows@v9", "revision")])
def test_what_the_hub_lacks_is_said(hub: Hub, name: str, word: str) -> None:
    hub.add("datasets/org/rows", {"rows.jsonl": b"{}\n"})
    with pytest.raises(UsageError, match=word) as error:
        with_commit(name)
    assert "\n" not in str(error.value)


def test_a_hub_that_cannot_be_reached_is_said(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PreceptorError, match=r"127\.0\.0\.1:9 cannot be reached"):
        with_commit("hf:org/rows")


def test_a_refusal_is_said_with_its_status(hub: Hub) -> None:
    hub.refuses = 400
    with pytest.raises(PreceptorError, match="status 400"):
        with_commit("hf:org/rows")
