"""Describes findings about trajectories in sentences: the headline, and the reasons to doubt the judge."""

from preceptor.core.numbers import number, percent, share
from preceptor.evaluation.policies.trajectories import Misled, TrajectoryFindings

BIASED = 0.3
"""Position bias above which the judge is doubted."""


def headline(findings: TrajectoryFindings) -> str:
    """Whether the judge prefers the trajectories that succeeded, in a sentence."""
    compared = next((rule.share for rule in findings.agreement if rule.by == "the comparison"), None)
    if compared is None:
        return (
            f"{findings.pairs} pairs of trajectories were judged, but for none of them is it known that exactly one "
            "succeeded, so nothing shows whether the judge is right."
        )
    low, high = compared.interval or (0.0, 1.0)
    beyond = low > 0.5 or high < 0.5
    chance = "" if beyond else ", which is not beyond chance"
    return (
        f"The judge prefers the trajectory that succeeded in {share(compared)} of {compared.n} pairs in which "
        f"exactly one did{chance}."
    )


def warnings(findings: TrajectoryFindings) -> list[str]:
    """Reasons to doubt the judge, the gravest first."""
    reasons: list[str] = []
    if findings.disputed:
        reasons.append(
            f"{findings.disputed} comparisons were chosen because judges dispute them: a judge does worst on those, "
            "and these numbers say nothing about others."
        )
    shares = {rule.by: rule.share for rule in findings.agreement}
    compared, length = shares.get("the comparison"), shares.get("more characters")
    if compared is not None and length is not None:
        by_length = max(length.value, 1.0 - length.value)
        if by_length >= compared.value:
            rule = "longer" if length.value > 0.5 else "shorter"
            reasons.append(
                f"Always preferring the {rule} trajectory would be right in {percent(by_length)}: the judge is no "
                "better than that rule."
            )
    if findings.position_bias is not None and findings.position_bias > BIASED:
        reasons.append(
            f"In {percent(findings.position_bias)} of the pairs shown in both orders the same position wins, whichever "
            "trajectory is shown there."
        )
    if findings.misled:
        reasons.append(
            f"{len(findings.misled)} of {findings.all_steps_good} trajectories whose every step scores at least "
            f"{findings.good_step:g} failed as a whole: step scores alone would have passed them."
        )
    if failed := sum(findings.failures.values()):
        by_reason = ", ".join(f"{count} {reason}" for reason, count in findings.failures.items())
        reasons.append(f"The judge failed on {failed} pairs ({by_reason}); they are left out of all numbers.")
    if findings.unscored:
        reasons.append(f"{findings.unscored} trajectories lack a score, of a step or of the whole, that was asked for.")
    if not findings.scores:
        reasons.append("No trajectory was scored: label them with `steps` to score each trajectory and its steps.")
    return reasons


def why_failed(misled: Misled) -> str:
    """Why a trajectory counts as failed."""
    score = "" if misled.score is None else f" The whole scores {number(misled.score, 1)}."
    return f"It is known to have failed.{score}" if misled.succeeded is False else score.strip()
