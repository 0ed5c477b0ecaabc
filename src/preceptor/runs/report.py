"""Writing the report of a run."""

from dataclasses import replace
from typing import Any

from preceptor.evaluation.result import Evaluation
from preceptor.reports.run.page import ReportData, render_report, render_run_markdown
from preceptor.runs.directory import RunDirectory
from preceptor.runs.evaluation import evaluate_run
from preceptor.store.files import write_json, write_text


def evaluated(directory: RunDirectory, summary: dict[str, Any]) -> tuple[ReportData, Evaluation]:
    """All that the report shows, from what the run directory holds; what the run was worth is a part of it."""
    data = directory.report_data(summary)
    evaluation = evaluate_run(data.before, data.after, summary)
    return replace(data, evaluation=evaluation), evaluation


def write_report(directory: RunDirectory, data: ReportData, evaluation: Evaluation) -> None:
    """Writes `evaluation.json`, `report.html` and `report.md`."""
    write_json(directory.path / "evaluation.json", evaluation.model_dump(mode="json"))
    write_text(directory.report, render_report(data))
    write_text(directory.report.with_suffix(".md"), render_run_markdown(data))
