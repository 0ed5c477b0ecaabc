"""What a person sees of an audit in the terminal; the report has the rest."""

import re
from pathlib import Path
from typing import Any

from preceptor.core.numbers import p_equals, percent, points, points_interval
from preceptor.display.table import Column, Table
from preceptor.evaluation.judge_audit import Audit, JudgeAudit
from preceptor.judging.warnings import judge_warnings
from preceptor.reports.audit.page import headline, sample, with_short_labels

_HASH = re.compile(r"#[0-9a-f]{8,}:\w+")
"""Version and precision in a model's identity: in the report, too long for a table of 80 columns."""
_SHARES = ("aligned", "95%", "1 order", "bias", "first", "longer", "failed")
_LEGEND = (
    "1 order: aligned when a stands first; bias: the same position wins after the swap; first, longer: the response "
    "shown first, or the longer one, wins"
)


def audit_text(result: dict[str, Any], out: Path) -> str:
    """The judges' table, shares in per cent."""
    return f"{audit_table(Audit.model_validate(result))}\nreport {out / 'report.html'}"


def audit_table(audit: Audit) -> Table:
    """The judges beside each other, shares in per cent."""
    audit = with_short_labels(audit)
    names = {judge.label: _HASH.sub("", judge.label) for judge in audit.judges}
    if len(set(names.values())) < len(names):  # the same model's name with other weights
        names = {label: label for label in names}
    doubts = [f"{warning.sentence}." for j in audit.judges for warning in judge_warnings(j.conduct, names[j.label])]
    return Table(
        (Column("judge"), Column("n", "right"), *(Column(name, "right") for name in _SHARES)),
        [(names[judge.label], str(judge.n), *_shares(judge)) for judge in audit.judges],
        title="Judges against people, in %",
        warnings=[*sample(audit), *doubts],
        headline=headline(audit),
        notes=[_LEGEND, _baseline(audit.judges[0]), *_apart(audit, names)],
    )


def _shares(judge: JudgeAudit) -> list[str]:
    low_and_high = judge.alignment_ci
    interval = "" if low_and_high is None else points_interval(*low_and_high)
    shares = (judge.single_order_alignment, judge.position_bias, judge.first_position_rate)
    others = (*shares, judge.longer_preferred_rate, judge.failure_rate)
    return [_share(judge.alignment), interval, *map(_share, others)]


def _baseline(judge: JudgeAudit) -> str:
    people = "" if judge.human_agreement is None else f"; two people agree on {percent(judge.human_agreement)}"
    return f"Always the longer response: {percent(judge.longer_baseline)}{people}"


def _apart(audit: Audit, names: dict[str, str]) -> list[str]:
    """The pairs of judges that differ by more than chance."""
    apart = [pair for pair in audit.comparisons if pair.significant]
    if len(audit.judges) > 1 and not apart:
        return ["No two judges differ by more than chance."]
    return [
        f"{names[pair.judge_1]} against {names[pair.judge_2]}: {points(pair.difference, signed=True)} points, "
        f"{p_equals(pair.p_holm)}"
        for pair in apart
    ]


def _share(value: float | None) -> str:
    return "" if value is None else points(value)
