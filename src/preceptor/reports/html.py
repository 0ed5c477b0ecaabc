"""The report of a run: one HTML file that opens offline and needs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from preceptor.evaluation.snapshot import MeasuredResponse, Snapshot
from preceptor.reports import figures, words

EXAMPLES_PER_KIND = 3


@dataclass(frozen=True)
class ReportData:
    """All that the report shows."""

    summary: dict[str, Any]
    metrics: list[dict[str, Any]]
    before: Snapshot
    after: Snapshot


@dataclass(frozen=True)
class Example:
    """One prompt with a response from before and from after training."""

    kind: str
    before: MeasuredResponse
    after: MeasuredResponse


def render_report(data: ReportData) -> str:
    """The report as HTML. Text from models and prompts is escaped."""
    evaluation = data.summary["evaluation"]
    environment = Environment(
        loader=PackageLoader("preceptor.reports", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.jinja").render(
        s=data.summary,
        headline=headline(data.summary),
        done=words.what_was_done(data.summary),
        results=words.results_of_stages(data.summary),
        score_is=words.score_title(data.summary),
        position=words.position(data.summary),
        tables=settings_tables(data.summary["recipe"]),
        warnings=warnings(data.summary),
        curves=Markup(figures.curves(data.metrics, data.summary)),
        cohorts=Markup(figures.cohorts(evaluation["before"], evaluation["after"], "heldout_score", "Held-out score")),
        examples=examples(data.before, data.after),
        abstained=sum(row.get("abstained", 0) for row in data.metrics),
    )


def headline(summary: dict[str, Any]) -> str:
    """The result in one sentence, with its interval."""
    before, after = summary["evaluation"]["before"], summary["evaluation"]["after"]
    gain = summary["heldout_change"]
    if gain is None or gain["low"] is None:
        return "There are too few held-out prompts to say what changed."
    effect = "rose" if gain["low"] > 0 else "fell" if gain["high"] < 0 else "did not change beyond chance"
    measured = f"({gain['value']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}])"
    kl = after["kl"]["overall"]["value"]
    was, now = (e["heldout_score"]["overall"]["value"] for e in (before, after))
    return (
        f"On prompts it never trained on, the policy's held-out score {effect}: {was:.2f} before, {now:.2f} after "
        f"{measured}, at a KL of {kl:.1f} nats."
    )


def warnings(summary: dict[str, Any]) -> list[str]:
    """Reasons to doubt the result, the gravest first."""
    found: list[str] = []
    over, after = summary["over_optimisation"], summary["evaluation"]["after"]
    if over["detected"]:
        kept = f"The checkpoint kept is step {summary['best_step']}."
        found.append(f"Over-optimisation from step {over['step']} on: {'; '.join(over['reasons'])}. {kept}")
    if summary["best_step"] == 0 and summary["steps"] > 0:
        found.append(
            "No checkpoint beat the policy before training within the bounds, so the untrained policy was kept."
        )
    if summary["judge_failures"]:
        share = summary["judge_failures"] / max(1, summary["judge_calls"])
        found.append(
            f"The judge failed on {summary['judge_failures']} of {summary['judge_calls']} calls ({share:.1%})."
        )
    if below_chance := words.poor_reward_model(summary):
        found.append(below_chance)
    agreement = after["judge_agreement"]
    if agreement is not None and agreement < 0.2:
        whose = "the reward model" if "reward model" in str(summary["judge_score_is"]) else "the judge"
        found.append(
            f"After training, {whose}'s ranking of responses hardly agrees with the held-out score "
            f"(Spearman {agreement:.2f})."
        )
    if summary["judge_is_policy"]:
        found.append(
            "Judge and policy have the same weights. A judge favours its own kind, so the judge's reward below says "
            "little by itself; the held-out score is the one to read."
        )
    if summary["prompts"]["skipped"]:
        found.append(f"{summary['prompts']['skipped']} prompts did not fit the context window and were skipped.")
    return found


def settings_tables(recipe: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tables of a recipe, by name, without what is nested deeper or not set."""
    tables = {name: value for name, value in recipe.items() if isinstance(value, dict)}
    return {
        name: {key: value for key, value in table.items() if value is not None and not isinstance(value, dict)}
        for name, table in tables.items()
    }


def examples(before: Snapshot, after: Snapshot) -> list[Example]:
    """First samples of some prompts before and after: the largest gains, the median, the largest falls."""
    earlier = _first_by_prompt(before.responses)
    pairs = [(earlier[i], r) for i, r in _first_by_prompt(after.responses).items() if i in earlier]
    pairs.sort(key=lambda pair: pair[0].heldout_score - pair[1].heldout_score)
    count = min(EXAMPLES_PER_KIND, len(pairs) // 3)
    middle = (len(pairs) - count) // 2
    chosen = (
        ("Largest gain", pairs[:count]),
        ("Around the median", pairs[middle : middle + count]),
        ("Largest fall", pairs[len(pairs) - count :]),
    )
    return [Example(kind, was, now) for kind, part in chosen for was, now in part]


def _first_by_prompt(responses: Sequence[MeasuredResponse]) -> dict[str, MeasuredResponse]:
    first: dict[str, MeasuredResponse] = {}
    for response in responses:
        first.setdefault(response.prompt_id, response)
    return first
