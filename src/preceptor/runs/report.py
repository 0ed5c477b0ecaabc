"""Writing the report of a run."""

from dataclasses import replace

from preceptor.evaluation.policies.result import Evaluation
from preceptor.reports.run.page import render_report, render_run_markdown
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.store.files import write_json, write_text


def write_report(directory: RunDirectory, summary: RunSummary, evaluation: Evaluation) -> None:
    """Writes `evaluation.json`, `report.html` and `report.md`."""
    data = replace(directory.report_data(summary), evaluation=evaluation)
    write_json(directory.path / "evaluation.json", evaluation.model_dump(mode="json"))
    write_text(directory.report, render_report(data))
    write_text(directory.report.with_suffix(".md"), render_run_markdown(data))
