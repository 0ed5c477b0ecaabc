"""What is said of trajectories in the terminal."""

from pathlib import Path

from rich.table import Table

from preceptor.core.numbers import estimate, share
from preceptor.display.terminal import Terminal
from preceptor.evaluation.trajectories import TrajectoryFindings
from preceptor.evaluation.trajectory_words import headline, warnings


def show_trajectories(findings: TrajectoryFindings, out: Path | None) -> None:
    """Prints the findings."""
    console = Terminal()
    for line in (headline(findings), *warnings(findings)):
        console.print(line, highlight=False)
    if findings.agreement:
        console.print(_agreement(findings))
    if findings.win_rates:
        console.print(_win_rates(findings))
    if findings.scores:
        console.print(_scores(findings))
    if out is not None:
        console.print(f"report {out / 'trajectories.md'}", highlight=False, soft_wrap=True)


def _agreement(findings: TrajectoryFindings) -> Table:
    table = Table("", "prefers what succeeded", "pairs", title="95% intervals over prompts", title_justify="left")
    for each in findings.agreement:
        table.add_row(each.by, share(each.share), str(each.share.n))
    for cohort, each in findings.agreement_by_cohort.items():
        table.add_row(f"the comparison, {cohort}", share(each), str(each.n))
    return table


def _win_rates(findings: TrajectoryFindings) -> Table:
    """Over all cohorts; those by cohort are in the report."""
    table = Table("policy", "against", "preferred", "wins/ties/losses")
    for rate in (each for each in findings.win_rates if each.cohort is None):
        table.add_row(rate.policy, rate.against, share(rate.rate), f"{rate.wins}/{rate.ties}/{rate.losses}")
    return table


def _scores(findings: TrajectoryFindings) -> Table:
    table = Table("", "trajectories", "whole, 1 to 10", "mean of its steps")
    for each in findings.scores:
        table.add_row(each.outcome, str(each.trajectories), estimate(each.whole, 1), estimate(each.steps, 1))
    return table
