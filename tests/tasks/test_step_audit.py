"""Auditing step judges, from a file to the table and the page."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import published
from preceptor.cli.app import app
from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.results.step_audit import StepAuditResult
from preceptor.tasks.step_audit import audit_steps


def test_judges_are_scored_on_the_first_wrong_step(tmp_path: Path) -> None:
    path = published.write_list(tmp_path / "gsm8k.json", published.PROCESSBENCH)
    judges = ["scripted:first", "scripted:random"]
    result = audit_steps(path, judges=judges, format="processbench", out=tmp_path / "out", progress=Silence())
    first, random = result.judges
    assert (first.judge, random.judge) == ("scripted:first", "scripted:random")
    assert (first.solutions, first.steps, first.failed) == (3, 6, 0)
    assert StepAuditResult.load(tmp_path / "out") == result
    assert "first error found" in str(result.table())
    page = result.report.read_text()
    assert "scripted:first" in page
    assert "gsm8k, first error found" in page
    again = audit_steps(path, judges=judges, format="processbench", out=tmp_path / "out", progress=Silence())
    assert again == result
    with pytest.raises(KeyError, match="scripted:random"):
        result["gpt"]


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    result = audit_steps(published.PRM800K, judges="scripted:first", format="prm800k", progress=Silence())
    assert result.unusable == 1
    assert result.judges[0].solutions == 2
    with pytest.raises(UsageError, match="give_up"):
        audit_steps(published.PRM800K, judges="scripted:first", format="prm800k", strict=True, progress=Silence())


def test_the_command_audits_step_judges_and_refuses_what_is_for_pairs(tmp_path: Path) -> None:
    path = published.write_list(tmp_path / "gsm8k.json", published.PROCESSBENCH)
    command = ["audit", str(path), "--judge", "scripted:first", "--format", "processbench", "--out"]
    done = CliRunner().invoke(app, [*command, str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "out" / "step_audit.json").read_text())
    assert written["format"] == "processbench"
    for option in (["--cascade"], ["--attack-search", "4"], ["--save-bias", str(tmp_path / "bias.json")]):
        refused = CliRunner().invoke(app, [*command, str(tmp_path / "no"), *option])
        assert refused.exit_code != 0
