"""Writing the report of a run."""

from typing import Any

from preceptor.recipes.run_directory import RunDirectory
from preceptor.reports.html import render_report
from preceptor.store.files import write_text


def write_report(directory: RunDirectory, summary: dict[str, Any]) -> None:
    """Writes `report.html` from what the run directory holds."""
    write_text(directory.report, render_report(directory.report_data(summary)))
