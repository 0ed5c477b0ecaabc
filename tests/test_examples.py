"""The programs in `examples/` run as they are."""

import json
import runpy
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from serve_small import service_process

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_judge_a_pair(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("judge_a_pair.py", monkeypatch)
    out = capsys.readouterr().out
    assert "probability 0." in out
    assert "5 calls" in out  # two orders, and three criteria of the score


def test_label_and_audit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("label_and_audit.py", monkeypatch, "scripted:random")
    out = capsys.readouterr().out
    assert "preferences" in out
    assert "Use none of these" in out
    assert "12 + 12" in out  # prompts that people labelled, and that the judge alone did


def test_trl_reward(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("trl_reward.py", monkeypatch, str(tiny_folder))
    out = capsys.readouterr().out
    assert "step 2: mean reward" in out
    assert "calls of the judge" in out


def test_verl_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "train.parquet"
    run("verl_rows.py", monkeypatch, str(EXAMPLES / "prompts.jsonl"), str(rows))
    first = pq.read_table(rows).to_pylist()[0]
    asked = json.loads((EXAMPLES / "prompts.jsonl").read_text().splitlines()[0])["prompt"]
    assert first["extra_info"]["question"] == first["prompt"] == [{"role": "user", "content": asked}]
    assert "rows in" in capsys.readouterr().out


def test_verifiers_judge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("verifiers.v1", reason="verifiers 0.4 is not installed")
    run("verifiers_judge.py", monkeypatch)
    assert "reward 0.9" in capsys.readouterr().out


def test_trl_reward_from_a_service(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with service_process(tmp_path, "scripted:random:warm_tone") as url:
        run("trl_reward.py", monkeypatch, str(tiny_folder), url)
    assert "step 2: mean reward" in capsys.readouterr().out


def test_benchmark_files(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run("benchmark_files.py", monkeypatch, "scripted:random")
    out = capsys.readouterr().out
    assert '"alpacaeval-easy": ' in out
    assert '"preference": 1.' in out
