"""Publishing labels and runs, by the real client of the hub against a small hub on this machine."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from hub_server import Hub
from killing import ONE_THREAD
from preceptor.cli.app import app
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.progress import Silence
from preceptor.methods.run import run
from preceptor.recipes.load import load_recipe
from preceptor.results.label import LabelResult
from preceptor.results.publication import Publication
from preceptor.runs.result import RunResult
from preceptor.store.prompts import read_prompts
from preceptor.tasks.label import label
from preceptor.tasks.publish import publish
from small import settings

TOKEN = "hf_" + "aB3dE5gH7jK9" * 3
ROWS = [{"prompt": f"Question {n}?", "response_a": f"{n}", "response_b": "Perhaps."} for n in range(6)]
OF_LABELS = ["README.md", "label.json", "preferences.parquet", "summary.json"]


@pytest.fixture
def labels(tmp_path: Path) -> LabelResult:
    return _labelled(tmp_path / "labels", ROWS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> RunResult:
    folder = tmp_path_factory.mktemp("run")
    return run(load_recipe("quickstart", settings(folder, tiny_folder)), out=folder / "run", progress=Silence())


@pytest.fixture(autouse=True)
def token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def _labelled(out: Path, rows: list[dict[str, Any]]) -> LabelResult:
    return label(rows, judges="scripted:random", out=out, progress=Silence())


def _publish(folder: Any, name: str = "org/prefs", **settings: Any) -> Publication:
    return publish(folder, name, progress=Silence(), **settings)


def _names(published: Publication) -> list[str]:
    return [file.name for file in published.files if not file.name.startswith("constitutions/")]


def test_without_being_asked_nothing_is_sent(hub: Hub, labels: LabelResult) -> None:
    planned = _publish(labels)
    assert _names(planned) == OF_LABELS
    assert (planned.sent, planned.commit) == (False, None)
    assert "Nothing was sent" in str(planned)
    assert hub.requests == []
    assert {"ledger.sqlite", ".lock", "log.txt", "failures.jsonl", "preferences.jsonl"} <= set(planned.left_out)


def test_labels_become_a_private_dataset_that_can_be_read_back(hub: Hub, labels: LabelResult) -> None:
    published = _publish(labels, send=True)
    repository = hub.repositories["datasets/org/prefs"]
    assert repository.private
    assert sorted(repository.files) == [file.name for file in published.files]
    assert published.commit in repository.commits
    assert repository.files["preferences.parquet"] == (labels.path / "preferences.parquet").read_bytes()
    assert b'load_dataset("org/prefs"' in repository.files["README.md"]
    assert [each.text for each in read_prompts("hf:org/prefs")] == [row["prompt"] for row in ROWS]


def test_a_run_becomes_a_model(hub: Hub, finished: RunResult) -> None:
    assert not _publish(finished, "org/model").sent
    assert hub.requests == []
    published = _publish(finished, "org/model", send=True)
    files = hub.repositories["models/org/model"].files
    assert {"README.md", "adapter_model.safetensors", "summary.json", "report.html", "report.md"} <= set(files)
    assert not {"ledger.sqlite", "manifest.json", "recipe.toml", "state"} & set(files)
    assert files["adapter_model.safetensors"] == (finished.directory.best / "adapter_model.safetensors").read_bytes()
    assert published.url == f"{hub.url}/org/model"


def test_publishing_again_changes_nothing(hub: Hub, labels: LabelResult) -> None:
    first = _publish(labels, send=True)
    sent = len(hub.objects)
    again = _publish(labels, send=True)
    assert (again.commit, again.unchanged) == (first.commit, True)
    assert len(hub.repositories["datasets/org/prefs"].commits) == 1
    assert len(hub.objects) == sent == 1
    assert "nothing changed" in str(again)


def test_a_changed_file_is_sent_alone(hub: Hub, labels: LabelResult) -> None:
    _publish(labels, send=True)
    (labels.path / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    again = _publish(labels, send=True)
    assert not again.unchanged
    assert len(hub.repositories["datasets/org/prefs"].commits) == 2
    assert [path for method, path in hub.requests if method == "PUT"] == [f"objects/{next(iter(hub.objects))}"]


@pytest.mark.parametrize("at", ["/commit/", "info/lfs/objects/batch", "repos/create"])
def test_a_killed_publication_is_repeated(hub: Hub, labels: LabelResult, at: str) -> None:
    command = "import sys; from preceptor.cli.app import main; sys.argv[0] = 'preceptor'; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "publish", str(labels.path), "org/prefs", "--send"],
        env={**ONE_THREAD, "HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    hub.heard = lambda method, path: os.kill(process.pid, signal.SIGKILL) if at in f"{path}/" else None
    assert process.wait() == -signal.SIGKILL
    hub.heard = lambda method, path: None
    published = _publish(labels, send=True)
    repository = hub.repositories["datasets/org/prefs"]
    assert list(repository.commits)[-1] == published.commit
    assert sorted(repository.files) == [file.name for file in published.files]
    assert len([path for method, path in hub.requests if method == "PUT"]) == 1


def test_more_is_sent_only_when_named(hub: Hub, labels: LabelResult) -> None:
    published = _publish(labels, also=["failures.jsonl", "ledger.sqlite"], send=True)
    assert {"failures.jsonl", "ledger.sqlite"} <= set(hub.repositories["datasets/org/prefs"].files)
    assert any("ledger.sqlite" in warning and "not checked" in warning for warning in published.warnings)


@pytest.mark.parametrize("name", ["nothing.txt", "../outside.txt", "link.txt", "/etc/hostname", "../HERE/summary.json"])
def test_nothing_outside_the_folder_is_sent(labels: LabelResult, name: str) -> None:
    name = name.replace("HERE", labels.path.name)
    (labels.path.parent / "outside.txt").write_text("mine")
    (labels.path / "link.txt").symlink_to(labels.path.parent / "outside.txt")
    with pytest.raises(UsageError, match=r"no .* in it"):
        _publish(labels, also=[name])


def test_a_secret_in_a_row_is_named_and_not_sent(hub: Hub, tmp_path: Path) -> None:
    rows = [*ROWS, {"prompt": f"Is {TOKEN} a good token?", "response_a": "yes", "response_b": "no"}]
    labels = _labelled(tmp_path / "labels", rows)
    with pytest.raises(UsageError, match=r"preferences\.parquet: row 7: .*KEY") as error:
        _publish(labels, send=True)
    assert TOKEN not in str(error.value)
    assert hub.requests == []


def test_what_is_masked_is_masked_in_all_that_is_sent(hub: Hub, tmp_path: Path) -> None:
    rows = [*ROWS, {"prompt": f"Is {TOKEN} of ann@example.com good?", "response_a": "yes", "response_b": "no"}]
    labels = _labelled(tmp_path / "labels", rows)
    published = _publish(labels, mask=True, send=True)
    assert published.found == {"KEY": 1, "EMAIL": 1}
    sent = hub.repositories["datasets/org/prefs"].files
    assert not any(TOKEN.encode() in data or b"ann@example.com" in data for data in sent.values())
    (tmp_path / "sent.parquet").write_bytes(sent["preferences.parquet"])
    prompts = [row["prompt"][0]["content"] for row in pq.read_table(tmp_path / "sent.parquet").to_pylist()]
    assert prompts == [*(row["prompt"] for row in ROWS), "Is [KEY 1] of [EMAIL 1] good?"]
    assert TOKEN in (labels.path / "preferences.jsonl").read_text()


def test_personal_data_is_said_and_sent_as_it_is(hub: Hub, tmp_path: Path) -> None:
    rows = [*ROWS, {"prompt": "Write to ann@example.com", "response_a": "yes", "response_b": "no"}]
    planned = _publish(_labelled(tmp_path / "labels", rows))
    assert planned.found == {"EMAIL": 1}
    assert any("1 EMAIL" in warning and "row 7" in warning for warning in planned.warnings)


def test_a_secret_in_the_card_or_the_report_is_found(labels: LabelResult, finished: RunResult) -> None:
    for path in (labels.path / "README.md", finished.path / "report.html"):
        text = path.read_text()
        path.write_text(text.replace("</p>", f" {TOKEN}</p>", 1) if path.suffix == ".html" else text + TOKEN)
        with pytest.raises(UsageError, match=rf"{path.name}.*KEY"):
            _publish(path.parent)
        path.write_text(text)


def test_the_home_folder_is_not_named(
    hub: Hub, finished: RunResult, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tiny_folder.parent))
    monkeypatch.setenv("USERPROFILE", str(tiny_folder.parent))
    _publish(finished, "org/model", send=True)
    files = hub.repositories["models/org/model"].files
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "~/tiny"
    assert not any(str(tiny_folder.parent).encode() in data for data in files.values())


def test_a_public_repository_is_written_to_only_when_asked(hub: Hub, labels: LabelResult) -> None:
    hub.add("datasets/org/prefs", {"README.md": b"mine"})
    with pytest.raises(UsageError, match="everybody can read"):
        _publish(labels, send=True)
    assert len(hub.repositories["datasets/org/prefs"].commits) == 1
    assert not _publish(labels, send=True, public=True).private
    assert len(hub.repositories["datasets/org/prefs"].commits) == 2


def test_a_new_repository_is_public_only_when_asked(hub: Hub, labels: LabelResult) -> None:
    _publish(labels, send=True, public=True)
    assert not hub.repositories["datasets/org/prefs"].private


def test_a_repository_of_something_else_is_left_alone(hub: Hub, labels: LabelResult) -> None:
    hub.add("datasets/org/prefs", {"train.csv": b"mine"})
    with pytest.raises(UsageError, match=r"other files \(train\.csv"):
        _publish(labels, send=True, public=True)
    assert len(hub.repositories["datasets/org/prefs"].commits) == 1


def test_without_a_token_it_says_how_to_get_one(hub: Hub, labels: LabelResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert not _publish(labels).sent
    with pytest.raises(UsageError, match="HF_TOKEN"):
        _publish(labels, send=True)
    assert hub.requests == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_does_not_show_the_token(hub: Hub, labels: LabelResult, status: int) -> None:
    hub.refuses, hub.words = status, f"{TOKEN} may not"
    with pytest.raises(PreceptorError, match=rf"(?s)org/prefs.*{status}") as error:
        _publish(labels, send=True)
    assert TOKEN not in str(error.value)
    assert error.value.__cause__ is None


def test_a_hub_that_cannot_be_reached_is_named(labels: LabelResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PreceptorError, match=r"127\.0\.0\.1:9 cannot be reached"):
        _publish(labels, send=True)


def test_only_finished_labels_and_runs_are_published(
    hub: Hub, labels: LabelResult, finished: RunResult, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        _publish(tmp_path / "missing")
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match="not a folder of labels or of a run"):
        _publish(tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
    with pytest.raises(UsageError, match="ORG/NAME"):
        _publish(labels, "prefs")
    with (labels.path / "preferences.jsonl").open("a") as rows:
        rows.write((labels.path / "preferences.jsonl").read_text().splitlines()[0] + "\n")
    with pytest.raises(UsageError, match="not finished"):
        _publish(labels)
    (labels.path / "summary.json").unlink()
    with pytest.raises(UsageError, match="not finished"):
        _publish(labels.path)
    summary = (finished.path / "summary.json").read_text()
    (finished.path / "summary.json").write_text('{"status": "running", "stage": "rl"}')
    with pytest.raises(PreceptorError):
        _publish(finished.path)
    (finished.path / "summary.json").write_text(summary)


def test_a_missing_package_is_named(labels: LabelResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "huggingface_hub", raising=False)
    with pytest.raises(UsageError, match=r"huggingface_hub: pip install \"preceptor\[hub\]\""):
        _publish(labels, send=True)


def test_the_command_shows_no_token(hub: Hub, labels: LabelResult) -> None:
    told = CliRunner().invoke(app, ["publish", str(labels.path), "org/prefs", "--send", "--json"])
    assert told.exit_code == 0
    assert json.loads(told.stdout)["sent"] is True
    assert TOKEN not in told.output
    assert hub.tokens - {None} == {f"Bearer {TOKEN}"}  # large files go to signed addresses, without a token
