"""Writing the report of a run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from preceptor.evaluation.policies.result import Evaluation
from preceptor.reports.run.page import render_report, render_run_markdown
from preceptor.reports.run.words import Words
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.store.files import write_json, write_text


class Describer(Protocol):
    """Describes a run in words: its method (`preceptor.methods.base.Method`)."""

    def what_was_done(self, recipe: Any, summary: RunSummary) -> Sequence[str]:
        """A whole finished run in sentences."""
        ...

    def results(self, recipe: Any, summary: RunSummary) -> dict[str, str]:
        """The results of its stages, by title."""
        ...


def words_of(directory: RunDirectory, method: Describer, summary: RunSummary) -> Words:
    """A method's description of a finished run."""
    recipe = directory.recipe
    return Words(tuple(method.what_was_done(recipe, summary)), method.results(recipe, summary))


def write_report(directory: RunDirectory, method: Describer, summary: RunSummary, evaluation: Evaluation) -> None:
    """Writes `evaluation.json`, `report.html` and `report.md`."""
    words = words_of(directory, method, summary)
    data = replace(directory.report_data(summary), evaluation=evaluation, words=words)
    write_json(directory.path / "evaluation.json", evaluation.model_dump(mode="json"))
    write_text(directory.report, render_report(data))
    write_text(directory.report.with_suffix(".md"), render_run_markdown(data))
