"""What a judge makes of whole trajectories, as Markdown."""

from preceptor.core.markdown import escaped, fenced
from preceptor.core.numbers import estimate, number, percent, share
from preceptor.evaluation.trajectories import Misled, TrajectoryFindings

BIASED = 0.3
"""Position bias from which on it is a reason to doubt."""
_SHOWN = 5
"""Trajectories to read."""


def render_trajectories(findings: TrajectoryFindings, title: str) -> str:
    """The findings in Markdown. Text of models and names from files are escaped or fenced.

    Args:
        title: of the labels, for the heading.
    """
    said = [escaped(headline(findings)), *(f"- {escaped(each)}" for each in warnings(findings))]
    parts = [f"# Trajectories: {escaped(title)}", *said]
    parts += _agreement(findings)
    parts += _win_rates(findings)
    parts += _scores(findings)
    parts += _misled(findings)
    return "\n\n".join(parts) + "\n"


def headline(findings: TrajectoryFindings) -> str:
    """Whether the judge prefers what succeeded, in a sentence."""
    compared = next((each.share for each in findings.agreement if each.by == "the comparison"), None)
    if compared is None:
        return (
            f"{findings.pairs} pairs of trajectories were judged; of none is it known that exactly one succeeded, so "
            "nothing says whether the judge is right."
        )
    beyond = compared.low > 0.5 or compared.high < 0.5
    how = "" if beyond else ", which is not beyond chance"
    return (
        f"The judge prefers the trajectory that succeeded in {share(compared)} of {compared.n} pairs in which "
        f"exactly one did{how}."
    )


def warnings(findings: TrajectoryFindings) -> list[str]:
    """Reasons to doubt the judge, the gravest first."""
    found: list[str] = []
    if findings.disputed:
        found.append(
            f"{findings.disputed} comparisons were chosen because judges dispute them: a judge is at its worst there, "
            "and these numbers say nothing of others."
        )
    shares = {each.by: each.share for each in findings.agreement}
    compared, length = shares.get("the comparison"), shares.get("more characters")
    if compared is not None and length is not None:
        by_length = max(length.value, 1.0 - length.value)
        if by_length >= compared.value:
            rule = "longer" if length.value > 0.5 else "shorter"
            found.append(
                f"Always preferring the {rule} trajectory would be right in {percent(by_length)}: the judge is no "
                "better than a rule that reads nothing."
            )
    if findings.position_bias is not None and findings.position_bias > BIASED:
        found.append(
            f"In {percent(findings.position_bias)} of the pairs shown in both orders the same position wins, whatever "
            "stands in it."
        )
    if findings.misled:
        found.append(
            f"{len(findings.misled)} of {findings.all_steps_good} trajectories whose every step scores at least "
            f"{findings.good_step:g} failed as a whole: the step scores alone would have passed them."
        )
    if failed := sum(findings.failures.values()):
        reasons = ", ".join(f"{count} {reason}" for reason, count in findings.failures.items())
        found.append(f"The judge failed on {failed} pairs ({reasons}); they are in no number here.")
    if findings.unscored:
        found.append(f"{findings.unscored} trajectories lack a score that was asked for, of a step or of the whole.")
    if not findings.scores:
        found.append("No trajectory was scored: label with --steps for scores of the whole and of each step.")
    return found


def _agreement(findings: TrajectoryFindings) -> list[str]:
    if not findings.agreement:
        return []
    rows = [(each.by, share(each.share), str(each.share.n)) for each in findings.agreement]
    rows += [
        (f"the comparison, {escaped(cohort)}", share(each), str(each.n))
        for cohort, each in findings.agreement_by_cohort.items()
    ]
    return ["## What prefers the trajectory that succeeded", _table(("By", "Prefers it", "Pairs"), rows)]


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
    parts = ["## Every step scores well, and the whole fails"]
    for each in findings.misled[:_SHOWN]:
        steps = ", ".join(number(step, 1) for step in each.steps)
        parts += [
            f"### {escaped(each.prompt_id)} ({escaped(each.cohort)}, {escaped(each.policy)})",
            f"{why(each)} Steps: {steps}.",
            fenced(each.prompt),
            fenced(each.text),
        ]
    if len(findings.misled) > _SHOWN:
        parts.append(f"{len(findings.misled) - _SHOWN} more are in `trajectories.json`.")
    return parts


def why(misled: Misled) -> str:
    """Why a trajectory counts as failed."""
    score = "" if misled.score is None else f" The whole scores {number(misled.score, 1)}."
    return f"It is known to have failed.{score}" if misled.succeeded is False else score.strip()


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
