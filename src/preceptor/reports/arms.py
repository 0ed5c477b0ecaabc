"""The report of several ways of training side by side: one HTML file that opens offline and needs nothing else."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from preceptor.reports.arms_figures import gain_against_kl


def render_arms(summary: dict[str, Any]) -> str:
    """The report as HTML. All text is escaped.

    Args:
        summary: as in `summary.json` of a run of arms: `arms` (each with name, recipe, summary, gain, against_best),
            `best`, `description`, `prompts`.
    """
    environment = Environment(
        loader=PackageLoader("preceptor.reports", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("arms.html.jinja").render(
        s=summary,
        headline=headline(summary),
        warnings=warnings(summary),
        figure=Markup(gain_against_kl(summary["arms"])),
    )


def headline(summary: dict[str, Any]) -> str:
    """The result in a sentence or two: which arm gains most by the held-out measure, and which ones it cannot be told
    from.
    """
    arms = {arm["name"]: arm for arm in summary["arms"]}
    best = arms.get(summary["best"])
    if best is None or best["gain"] is None:
        return "No arm has a held-out score, so there is nothing to compare."
    first = f"{best['name']} gains most by the held-out measure: {_estimate(best['gain'])}"
    close = [name for name, arm in arms.items() if name != best["name"] and not _behind(arm["against_best"])]
    if not close:
        return f"{first}, more than every other arm beyond chance."
    return f"{first}. It cannot be told from {_listed(close)} at the 95 % level."


def warnings(summary: dict[str, Any]) -> list[str]:
    """What a reader should know before believing the table."""
    found: list[str] = []
    for arm in summary["arms"]:
        run = arm["summary"]
        if run["over_optimisation"]["detected"]:
            reasons = "; ".join(run["over_optimisation"]["reasons"])
            found.append(f"{arm['name']}: over-optimisation from step {run['over_optimisation']['step']} on: {reasons}")
        if run["best_step"] == 0:
            found.append(f"{arm['name']}: no checkpoint was better than the policy it began with")
    if any(len(arm["summary"]["curve"]) > 2 for arm in summary["arms"]):
        found.append(
            "the arms with several checkpoints chose among them by the same held-out score, on the same prompts, that "
            "ranks the arms here; those that are fine-tuned have one checkpoint and no choice"
        )
    if len(summary["arms"]) > 2:
        found.append(
            "the arm in front is the best of several: part of its lead is luck, and another seed may change it"
        )
    return found


def _behind(difference: dict[str, Any] | None) -> bool:
    """Whether an arm gains less than the best beyond chance."""
    return difference is not None and difference["high"] is not None and difference["high"] < 0


def _estimate(estimate: dict[str, Any]) -> str:
    if estimate["low"] is None:
        return f"{estimate['value']:+.2f}"
    return f"{estimate['value']:+.2f} [{estimate['low']:+.2f}, {estimate['high']:+.2f}]"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
