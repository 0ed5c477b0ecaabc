"""The table of arms in the terminal."""

from pathlib import Path

from preceptor.core.numbers import estimate, number
from preceptor.display.table import Column, Table
from preceptor.evaluation.snapshot import Measure
from preceptor.reports.arms.page import headline, warnings
from preceptor.results.arms import ArmRecord, ArmsSummary

_COLUMNS = ("held-out score", "gain", "judge", "KL", "perplexity", "calls", "seconds")


def arms_text(summary: ArmsSummary, path: Path) -> str:
    """The arms' results."""
    return f"{arms_table(summary)}\nreport {path / 'report.html'}"


def arms_table(summary: ArmsSummary) -> Table:
    """The arms beside each other, and the policy before training."""
    before = summary.arms[0].summary.evaluation.before
    first = (
        "before training",
        estimate(before.heldout_score.overall),
        "",
        _value(before.judge_score),
        "",
        "",
        "",
        "",
    )
    return Table(
        (Column("arm"), *(Column(name, "right") for name in _COLUMNS)),
        [first, *map(_row, summary.arms)],
        title=f"{summary.prompts.measured} test prompts, 95% intervals",
        notes=[headline(summary), *warnings(summary)],
    )


def _row(arm: ArmRecord) -> tuple[str, ...]:
    run, after = arm.summary, arm.summary.evaluation.after
    return (
        arm.name,
        estimate(after.heldout_score.overall),
        estimate(arm.gain),
        _value(after.judge_score),
        _value(after.kl, 1),
        number(arm.perplexity_ratio) + ("" if arm.perplexity_ratio is None else "×"),
        str(run.judge_calls),
        number(run.wall_s, 0),
    )


def _value(measure: Measure, digits: int = 2) -> str:
    return number(measure.overall and measure.overall.value, digits)
