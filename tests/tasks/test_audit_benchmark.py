"""`preceptor audit` on the files of benchmarks, with scripted judges."""

import json
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

import published
from preceptor.cli.app import app
from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.results.audit import AuditResult
from preceptor.store.benchmarks.read import BenchmarkName
from preceptor.tasks.audit import audit


@pytest.mark.parametrize("name", get_args(BenchmarkName))
def test_every_benchmark_is_audited_and_scored(name: BenchmarkName, tmp_path: Path) -> None:
    path = published.write_all(tmp_path)[name]
    result = audit(path, judges="scripted:first", format=name, out=tmp_path / "audit", progress=Silence())
    benchmark = result.benchmark
    assert benchmark is not None
    assert benchmark.format == name
    [judge] = benchmark.judges
    assert judge.judge == result.judges[0].label
    main = [score for score in judge.scores if score.level in ("overall", "section")]
    assert main
    assert all(score.estimate is not None and score.failed == 0 for score in main)
    assert AuditResult.load(result.path) == result
    page = result.report.read_text()
    assert 'id="benchmark"' in page
    assert all(score.name in page for score in main)
    notes = " ".join(result.table().notes)
    assert benchmark.rule in notes
    assert all(score.name in notes for score in main)


def test_the_judge_that_takes_the_first_is_undecided_on_every_item(tmp_path: Path) -> None:
    path = published.write_lines(tmp_path / "filtered.jsonl", published.REWARDBENCH)
    result = audit(path, judges="scripted:first", format="rewardbench", progress=Silence())
    assert result.benchmark is not None
    total = result.benchmark.judges[0]["total"]
    assert total.estimate is not None
    assert total.estimate.value == pytest.approx(0.5)
    assert result["scripted:first"].undecided == 6
    with pytest.raises(KeyError, match="Chat"):
        result.benchmark.judges[0]["Safety"]


def test_a_limit_counts_items(tmp_path: Path) -> None:
    path = published.write_lines(tmp_path / "rb2.jsonl", published.REWARDBENCH2)
    result = audit(path, judges="scripted:random", format="rewardbench2", limit=2, progress=Silence())
    assert result.judges[0].rows == 6
    rows = audit(published.REWARDBENCH2, judges="scripted:random", format="rewardbench2", limit=2, progress=Silence())
    assert rows.benchmark == result.benchmark


def test_rows_that_are_not_read_as_a_benchmark_have_no_score(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{i}", "response_a": "x", "response_b": "y", "label": "a"} for i in range(3)]
    result = audit(rows, judges="scripted:first", out=tmp_path / "audit", progress=Silence())
    assert result.benchmark is None
    assert 'id="benchmark"' not in result.report.read_text()
    with pytest.raises(UsageError, match="audit_steps"):
        audit(rows, judges="scripted:first", format="prm800k", progress=Silence())  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match='no "id"'):
        audit(rows, judges="scripted:first", format="rewardbench", progress=Silence())


def test_the_command_takes_the_name_of_a_benchmark(tmp_path: Path) -> None:
    path = published.write_lines(tmp_path / "jb.jsonl", published.JUDGEBENCH)
    command = ["audit", str(path), "--judge", "scripted:random", "--out", str(tmp_path / "out"), "--format"]
    done = CliRunner().invoke(app, [*command, "judgebench", "--json"])
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert written["benchmark"]["format"] == "judgebench"
    wrong = CliRunner().invoke(app, [*command, "judgebanch"])
    assert wrong.exit_code != 0


def test_ratings_of_a_model_give_no_licence(tmp_path: Path) -> None:
    path = published.write_all(tmp_path)["ultrafeedback"]
    with pytest.raises(UsageError, match="a model gave its ratings"):
        audit(path, judges="scripted:random", format="ultrafeedback", licence=tmp_path / "l.toml", progress=Silence())
