"""Writing the report of a finished run anew."""

from pathlib import Path

from preceptor.runs.evaluation import evaluate_run
from preceptor.runs.report import write_report
from preceptor.runs.result import RunResult


def report(run: RunResult | str | Path) -> RunResult:
    """Writes `report.html`, `report.md` and `evaluation.json` of a finished run anew, from what it measured.

    Examples:
        >>> report("runs/quickstart-1").report  # doctest: +SKIP

    Args:
        run: the run, or its directory.

    Raises: UsageError when there is no run, or it is not finished; PreceptorError when it is damaged or the files
        cannot be written.
    """
    result = RunResult.load(run.path if isinstance(run, RunResult) else run)
    data = result.directory.report_data(result.summary)
    evaluation = evaluate_run(data.before, data.after, result.summary)
    write_report(result.directory, result.summary, evaluation)
    return result
