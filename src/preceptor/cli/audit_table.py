"""What a person sees of an audit in the terminal; the report has the rest."""

import re
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from preceptor.core.numbers import p_equals, percent, points, points_interval
from preceptor.display.terminal import Terminal
from preceptor.evaluation.judge_audit import Audit
from preceptor.judging.warnings import judge_warnings
from preceptor.reports.audit.page import headline, sample, with_short_labels

_HASH = re.compile(r"#[0-9a-f]{8,}:\w+")
"""Version and precision in a model's identity: in the report, too long for a table of 80 columns."""


def show_audit(result: dict[str, Any], out: Path) -> None:
    """Prints the judges' table, shares in per cent."""
    audit = with_short_labels(Audit.model_validate(result))
    names = {judge.label: _HASH.sub("", judge.label) for judge in audit.judges}
    if len(set(names.values())) < len(names):  # the same model's name with other weights
        names = {label: label for label in names}
    table = Table(title="Judges against people, in %", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("judge", overflow="fold")
    for name in ("n", "aligned", "95%", "1 order", "bias", "first", "longer", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    for judge in audit.judges:
        shares = (judge.single_order_alignment, judge.position_bias, judge.first_position_rate)
        interval = "" if judge.alignment_ci is None else points_interval(*judge.alignment_ci)
        table.add_row(
            names[judge.label],
            str(judge.n),
            _share(judge.alignment),
            interval,
            *(_share(share) for share in shares),
            _share(judge.longer_preferred_rate),
            _share(judge.failure_rate),
        )
    console = Terminal()
    for sentence in sample(audit):
        console.print(f"! {sentence}", highlight=False)
    for judge in audit.judges:
        for warning in judge_warnings(judge.conduct, names[judge.label]):
            console.print(f"! {warning.sentence}.", highlight=False)
    console.print(headline(audit), highlight=False)
    console.print(table)
    for legend in (
        "1 order: aligned when a stands first; bias: the same position wins after the swap;",
        "first, longer: the response shown first, or the longer one, wins",
    ):
        console.print(legend, highlight=False)
    first = audit.judges[0]
    people = "" if first.human_agreement is None else f"; two people agree on {percent(first.human_agreement)}"
    console.print(f"Always the longer response: {percent(first.longer_baseline)}{people}", highlight=False)
    apart = [pair for pair in audit.comparisons if pair.significant]
    for pair in apart:
        by = f"{points(pair.difference, signed=True)} points, {p_equals(pair.p_holm)}"
        console.print(f"{names[pair.judge_1]} against {names[pair.judge_2]}: {by}", highlight=False, soft_wrap=True)
    if len(audit.judges) > 1 and not apart:
        console.print("No two judges differ by more than chance.", highlight=False)
    console.print(f"report {out / 'report.html'}", highlight=False, soft_wrap=True)


def _share(value: float | None) -> str:
    return "" if value is None else points(value)
