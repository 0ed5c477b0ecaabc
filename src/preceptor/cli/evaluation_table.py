"""What a person sees of an evaluation in the terminal; the report has the rest."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from preceptor.core.numbers import estimate, p_equals, points, points_interval
from preceptor.display.terminal import Terminal
from preceptor.evaluation.cohorts import Change
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.result import Evaluation
from preceptor.evaluation.words import headline, judge_doubts, warnings


def show_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Prints the headline, reasons to doubt it, win rates, and what changed in which cohort."""
    console = Terminal()
    doubts = judge_doubts(evaluation)
    for doubt in doubts:
        console.print(f"! {doubt}", highlight=False)
    console.print(headline(evaluation), highlight=False)
    for warning in warnings(evaluation)[len(doubts) :]:
        console.print(f"! {warning}", highlight=False)
    table = Table(title="Win rates in %, 95% intervals", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("policy", "against"):
        table.add_column(name, overflow="fold")
    for name in ("wins", "ties", "losses", "win rate", "at equal length"):
        table.add_column(name, justify="right")
    controlled = {(each.policy, each.against): each for each in evaluation.length_control}
    for each in evaluation.win_rates:
        if each.cohort is None:
            length = controlled.get((each.policy, each.against))
            shares = (
                _percent(each.rate),
                "not known" if length and length.unknown else _percent(length and length.by_difference),
            )
            table.add_row(each.policy, each.against, str(each.wins), str(each.ties), str(each.losses), *shares)
    console.print(table)
    changed = [change for change in evaluation.changes if change.verdict in ("improved", "regressed")]
    for change in changed:
        console.print(_sentence(change), highlight=False)
    few = sum(change.verdict == "too few prompts" for change in evaluation.changes)
    if len(evaluation.changes) > few and not changed:
        console.print(f"No change beyond chance in any of {len(evaluation.changes) - few} cohorts and measures.")
    if few:
        console.print(f"Too few prompts to see a change in {few} of {len(evaluation.changes)} cohorts and measures.")
    console.print(f"report {out / 'report.html'}", highlight=False, soft_wrap=True)


def regressions(evaluation: Evaluation) -> list[Change]:
    """The changes for the worse."""
    return [change for change in evaluation.changes if change.verdict == "regressed"]


def _sentence(change: Change) -> str:
    p = "" if change.p_holm is None else f", {p_equals(change.p_holm)} after correction"
    by = f"{change.verdict} by {estimate(change.change, signed=True)}{p}"
    return f"{change.policy}, {change.cohort}: {change.measure} {by}"


def _percent(rate: Estimate | None) -> str:
    return "" if rate is None else f"{points(rate.value)} {points_interval(rate.low, rate.high)}".rstrip()
