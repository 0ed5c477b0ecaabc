"""The report on a judge of whole trajectories, as one HTML file that opens offline and as Markdown."""

from markupsafe import Markup

from preceptor.core.markdown import escaped, fenced
from preceptor.core.numbers import estimate, number, share
from preceptor.evaluation.policies.trajectories import Misled, TrajectoryFindings
from preceptor.evaluation.policies.trajectory_words import headline, warnings, why_failed
from preceptor.reports.figures import BLUE, Series, forest
from preceptor.reports.headlines import of_trajectories
from preceptor.reports.responses import Row, Side, fitting
from preceptor.reports.templates import page

_SHOWN = 5
"""The largest number of trajectories shown in full, in the page before the list of all."""


def render_trajectories(findings: TrajectoryFindings, title: str) -> str:
    """The report as HTML. All text is escaped.

    Args:
        title: name of the labels.
    """
    misled = [_row(one) for one in findings.misled]
    return page(
        "trajectories.html.jinja",
        f=findings,
        title=title,
        short=of_trajectories(findings),
        headline=headline(findings),
        doubts=warnings(findings),
        figure=_figure(findings) if findings.agreement else None,
        picked=[("", misled[:_SHOWN])],
        every=fitting(misled),
    )


def _row(misled: Misled) -> Row:
    steps = ", ".join(number(step, 1) for step in misled.steps)
    return Row(
        tag=misled.cohort,
        prompt=misled.prompt,
        sides=(Side(f"{misled.policy} · steps {steps}", misled.text),),
        notes=(why_failed(misled),),
    )


def _figure(findings: TrajectoryFindings) -> Markup:
    said = "; ".join(f"{rule.by} {share(rule.share)}" for rule in findings.agreement)
    return forest(
        [rule.by for rule in findings.agreement],
        [Series("prefers it", BLUE, [rule.share for rule in findings.agreement])],
        title="Prefers what succeeded",
        description=f"How often each way of judging prefers the trajectory that succeeded: {said}",
        at=0.5,
        percent=True,
    )


def render_markdown(findings: TrajectoryFindings, title: str) -> str:
    """The findings as Markdown. Texts of models and names from files are escaped or fenced.

    Args:
        title: name of the labels, for the heading.
    """
    doubts = [f"- {escaped(warning)}" for warning in warnings(findings)]
    parts = [f"# Trajectories: {escaped(title)}", escaped(headline(findings)), *doubts]
    parts += _agreement(findings)
    parts += _win_rates(findings)
    parts += _scores(findings)
    parts += _misled(findings)
    return "\n\n".join(parts) + "\n"


def _agreement(findings: TrajectoryFindings) -> list[str]:
    if not findings.agreement:
        return []
    rows = [(rule.by, share(rule.share), str(rule.share.n)) for rule in findings.agreement]
    rows += [
        (f"the comparison, {escaped(cohort)}", share(in_cohort), str(in_cohort.n))
        for cohort, in_cohort in findings.agreement_by_cohort.items()
    ]
    return ["## Who prefers the trajectory that succeeded", _table(("Judged by", "Prefers it", "Pairs"), rows)]


def _win_rates(findings: TrajectoryFindings) -> list[str]:
    rows = [
        (
            escaped(rate.policy),
            escaped(rate.against),
            escaped(rate.cohort or "all"),
            share(rate.rate),
            f"{rate.wins} / {rate.ties} / {rate.losses}",
        )
        for rate in findings.win_rates
    ]
    header = ("Policy", "Against", "Cohort", "Preferred", "Wins / ties / losses")
    return ["## Win rates on whole trajectories", _table(header, rows)] if rows else []


def _scores(findings: TrajectoryFindings) -> list[str]:
    rows = [(s.outcome, str(s.trajectories), estimate(s.whole, 1), estimate(s.steps, 1)) for s in findings.scores]
    header = ("Outcome", "Trajectories", "The whole, 1 to 10", "Mean of its steps")
    return ["## Scores of the whole and of its steps", _table(header, rows)] if rows else []


def _misled(findings: TrajectoryFindings) -> list[str]:
    if not findings.misled:
        return []
    parts = ["## Every step scores well, but the whole fails"]
    for misled in findings.misled[:_SHOWN]:
        steps = ", ".join(number(step, 1) for step in misled.steps)
        parts += [
            f"### {escaped(misled.prompt_id)} ({escaped(misled.cohort)}, {escaped(misled.policy)})",
            f"{why_failed(misled)} Steps: {steps}.",
            fenced(misled.prompt),
            fenced(misled.text),
        ]
    if len(findings.misled) > _SHOWN:
        parts.append(f"`trajectories.json` has {len(findings.misled) - _SHOWN} more.")
    return parts


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
