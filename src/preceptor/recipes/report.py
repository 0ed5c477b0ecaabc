"""Writing the report of a run."""

from dataclasses import replace
from typing import Any

from preceptor.evaluation.result import Evaluation
from preceptor.recipes.run_directory import RunDirectory
from preceptor.recipes.run_evaluation import evaluate_run
from preceptor.reports.html import render_report, render_run_markdown
from preceptor.store.files import write_json, write_text


def write_report(directory: RunDirectory, summary: dict[str, Any]) -> Evaluation:
    """Writes `evaluation.json`, `report.html` and `report.md` from what the run directory holds.

    Returns: what the run was worth.
    """
    data = directory.report_data(summary)
    evaluation = evaluate_run(data.before, data.after, summary)
    data = replace(data, evaluation=evaluation)
    write_json(directory.path / "evaluation.json", evaluation.model_dump(mode="json"))
    write_text(directory.report, render_report(data))
    write_text(directory.report.with_suffix(".md"), render_run_markdown(data))
    return evaluation
