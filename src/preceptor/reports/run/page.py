"""The report of a run: one self-contained HTML file that opens offline, and the same numbers as Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from preceptor.core.numbers import estimate, number, percent
from preceptor.core.progress import Facts
from preceptor.core.types import JsonObject
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, MeasureName, Snapshot
from preceptor.evaluation.policies import words as evaluation_words
from preceptor.evaluation.policies.cost import HUMAN_USD_PER_LABEL
from preceptor.evaluation.policies.result import Evaluation
from preceptor.evaluation.policies.standings import Standing, is_capability, regressions
from preceptor.evaluation.verdict import verdict_on
from preceptor.reports.evaluation.page import Card, cards, sections
from preceptor.reports.headlines import of_run
from preceptor.reports.measured import Scores, row_of, rows_of
from preceptor.reports.responses import Row, fitting
from preceptor.reports.run import figures, rounds, words
from preceptor.reports.run.agents import agents_view
from preceptor.reports.run.rewards import groups_in_words, sources
from preceptor.reports.run.words import Words
from preceptor.reports.templates import markdown, page
from preceptor.results.run import RunSummary

EXAMPLES_PER_KIND = 3
MAIN: tuple[MeasureName, str] = ("heldout_score", "Held-out score")
CUT_BOUND = 0.5
"""If more than this share of responses is cut at the token limit, the headline says so."""
MEASURES: tuple[tuple[MeasureName, str | None, int], ...] = (
    ("heldout_score", "Held-out score", 2),
    ("judge_score", None, 2),
    ("kl", "KL, nats", 1),
    ("tokens_mean", "Tokens per response", 1),
    ("length_limit_share", "Share cut at the token limit", 2),
    ("distinct_2", "Distinct-2", 2),
    ("reference_perplexity", "Perplexity on references", 1),
)
"""Key in a snapshot's summary, its name (None: the run's name for it), and the number of decimals."""


@dataclass(frozen=True)
class ReportData:
    """Everything that the report shows."""

    summary: RunSummary
    metrics: Sequence[Facts]
    """Numbers of each training step."""
    before: Snapshot
    after: Snapshot
    evaluation: Evaluation | None = None
    """The policy after training compared with the one before, on the held-out prompts; None if there is none."""
    words: Words = field(default_factory=Words)
    """The description of the run by its method."""


@dataclass(frozen=True)
class Example:
    """One prompt with a response from before and from after training."""

    kind: str
    before: MeasuredResponse
    after: MeasuredResponse


def render_report(data: ReportData) -> str:
    """The report as HTML. Text from models and prompts is escaped."""
    summary = data.summary
    score = MAIN if summary.heldout_score_is is not None else ("kl", "KL to the reference, nats per response")
    compared = {} if data.evaluation is None else sections(data.evaluation) | {"in_run": True}
    return page(
        "run/report.html.jinja",
        **_shared(data),
        **({"evaluation": None} | compared),
        done=data.words.done,
        results=data.words.results,
        position=words.position(summary),
        tables=settings_tables(summary.recipe),
        short=of_run(summary, data.evaluation),
        shown_cards=shown_cards(summary, data.evaluation),
        curves=figures.curves(data.metrics, summary),
        against_kl=figures.against_kl(data.metrics, summary),
        cohorts=figures.cohorts(summary.evaluation, *score),
        picked=_picked(data),
        every=fitting(rows_of({"before": data.before, "after": data.after}, Scores.of_run(summary))),
        abstained=sum(row.get("abstained") or 0 for row in data.metrics),
        groups=list(groups_in_words(data.metrics)),
        sources=sources(data.metrics),
        human_price=HUMAN_USD_PER_LABEL,
        agents=agents_view(summary.agents, data.before, data.after, data.metrics, summary),
    )


def render_run_markdown(data: ReportData) -> str:
    """The numbers of a run as Markdown: headline, reasons to doubt it, measures, what changed where. Escaped."""
    changes = data.evaluation.changes if data.evaluation else ()
    meaning_of = evaluation_words.MEANING_OF
    return markdown(
        "run/report.md.jinja", **_shared(data), done=data.words.done, changes=changes, meaning_of=meaning_of
    )


def _shared(data: ReportData) -> dict[str, Any]:
    """The values that the page and the Markdown both show."""
    summary, score = data.summary, words.score_title(data.summary)
    return {
        "s": summary,
        "before": summary.evaluation.before,
        "after": summary.evaluation.after,
        "headline": headline(summary, data.evaluation),
        "doubts": (doubts := judge_doubts(summary, data.evaluation)),
        "warnings": warnings(summary, data.evaluation)[len(doubts) :],
        "test_prompts": summary.prompts.measured,
        "looked_at": words.looked_at(summary),
        "kl_of_training": any(look.kl.overall is not None and not look.kl.by_cohort for look in summary.curve),
        "score_is": score,
        "rounds": [] if summary.rounds is None else rounds.rows(summary.rounds),
        "measures": [
            (key, name or score, digits)
            for key, name, digits in MEASURES
            if (name or score) and (key != MAIN[0] or summary.heldout_score_is is not None)
        ],
    }


def headline(summary: RunSummary, compared: Evaluation | None = None) -> str:
    """The result in a few sentences with intervals: first the reasons to doubt it, then the change of the score and the
    win rate.
    """
    if summary.kept_untrained:
        return " ".join([*_alarms(summary, None), _unchanged(summary)])
    if summary.heldout_score_is is None:
        return " ".join([_NOT_MEASURED, *_alarms(summary, compared), *_changes(summary)])
    preferred = [] if compared is None else [evaluation_words.preference(compared, _called(compared))]
    said = [sentence[0].upper() + sentence[1:] for sentence in preferred]
    return " ".join([*_alarms(summary, compared), _change(summary), *said])


def _called(compared: Evaluation) -> dict[str, str]:
    """The names of the policies before and after training in sentences."""
    before, after = compared.policies
    return {before.name: "the one before", after.name: "the policy after training"}


_NOT_MEASURED = (
    "Nothing independent measured this run: it names no held-out judge, and its constitution names no measure. "
    "Name a judge that trains nothing with evaluation.judge.model."
)


def _alarms(summary: RunSummary, compared: Evaluation | None) -> Iterator[str]:
    """Problems that make every number below nearly worthless."""
    if summary.rounds is not None and summary.rounds.self_rewarding:
        yield rounds.SELF_REWARDING
    if summary.heldout_judge_trained:
        yield "Nothing independent measured this run: the held-out judge is also the training judge."
    if summary.kept_breaks_bound:
        yield f"The kept checkpoint breaks a bound on the test prompts: {summary.kept_breaks_bound}."
    cut = summary.evaluation.after.length_limit_share.overall
    if cut is not None and cut.value > CUT_BOUND:
        yield _cut(summary, percent(cut.value))
    if unreadable := summary.too_unreadable:
        yield f"{unreadable}."
    lost = [] if compared is None else [change for change in regressions(compared) if is_capability(change)]
    if lost:
        first = lost[0]
        where = "" if first.cohort == "capability" else f" in {first.cohort}"
        yield f"A capability regressed: {first.measure}{where}, {estimate(first.change, signed=True)}."


def _cut(summary: RunSummary, share: str) -> str:
    """What cut so many responses."""
    unfinished = summary.evaluation.after.unfinished_thoughts
    if summary.agents is not None:
        return f"{share} of the episodes after training ended before the agent answered."
    if unfinished:
        return (
            f"{share} of the responses after training were cut at a limit; {unfinished} of them in their thought, so "
            "that they have no answer."
        )
    limit = summary.answering.max_new_tokens
    return f"{share} of the responses after training were cut at the limit of {limit} tokens."


def _changes(summary: RunSummary) -> Iterator[str]:
    """What is known about a run without an independent measure."""
    before, after = summary.evaluation.before, summary.evaluation.after
    if after.kl.overall is not None:
        yield f"The policy moved by a KL of {number(after.kl.overall.value, 1)} nats."
    if (ratio := summary.evaluation.perplexity_ratio) is not None:
        yield f"Its perplexity on reference answers is {number(ratio)} times what it was."
    was, now = before.judge_score.overall, after.judge_score.overall
    if was is not None and now is not None:
        title, change = words.score_title(summary), f"{number(was.value)} before and {number(now.value)} after"
        if words.feedback_is_used(summary):
            yield f"{title}, which training optimises, was {change}. That proves nothing else."
        else:
            yield f"{title}, which took no part in training, was {change}."


def _unchanged(summary: RunSummary) -> str:
    """What is known of a run that kept the policy from before training."""
    score = summary.evaluation.after.heldout_score.overall
    known = (
        "" if score is None else f" Its held-out score on {summary.prompts.measured} test prompts is {estimate(score)}."
    )
    return f"Nothing changed: the policy from before training was kept.{known}"


def _change(summary: RunSummary) -> str:
    before, after = summary.evaluation.before, summary.evaluation.after
    was, now, gain = before.heldout_score.overall, after.heldout_score.overall, summary.heldout_change
    if gain is None or was is None or now is None:
        return "No test prompt has a held-out score both before and after training, so the change is unknown."
    if gain.low is None or gain.high is None:
        return (
            f"On {summary.prompts.measured} test prompts the held-out score changed by "
            f"{number(gain.value, signed=True)}. They are too few or too alike for an interval, so the change may be "
            "chance."
        )
    effect = "rose" if gain.low > 0 else "fell" if gain.high < 0 else "did not change beyond chance"
    apart = "" if summary.prompts.test is None else " and that did not choose the checkpoint"
    at = "" if after.kl.overall is None else f", at a KL of {number(after.kl.overall.value, 1)} nats"
    return (
        f"On {summary.prompts.measured} prompts it never trained on{apart}, the policy's held-out score {effect}: "
        f"{number(was.value)} before, {number(now.value)} after ({estimate(gain, signed=True)}){at}."
    )


def judge_doubts(summary: RunSummary, compared: Evaluation | None = None) -> list[str]:
    """Reasons to doubt the judges; the report shows them before the judges' numbers."""
    unlicensed = [] if summary.unlicensed is None else [f"{summary.unlicensed}."]
    own = [*unlicensed, *(f"{warning.sentence}." for warning in summary.doubts)]
    return own + (evaluation_words.judge_doubts(compared) if compared is not None else [])


def warnings(summary: RunSummary, compared: Evaluation | None = None) -> list[str]:
    """Reasons to doubt the result, those to doubt the judges first, the gravest first."""
    compared = None if summary.kept_untrained else compared
    of_evaluation = evaluation_words.warnings(compared, _called(compared)) if compared is not None else []
    of_judges = judge_doubts(summary, compared)
    return [
        *of_judges,
        *(_of_measuring(summary) if compared is None else ()),
        *_of_training(summary),
        *_of_judging(summary),
        *(warning for warning in of_evaluation if warning not in of_judges),
    ]


def _of_measuring(summary: RunSummary) -> Iterator[str]:
    """Warnings about the held-out measure."""
    if summary.heldout_judge_trained:
        yield (
            f"The held-out measure ({summary.heldout_score_is}) is the training judge: training first teaches the "
            "policy to please its own judge."
        )
    if failures := summary.evaluation.after.heldout_failures:
        yield f"The held-out measure failed on {failures} responses after training."


def _of_training(summary: RunSummary) -> Iterator[str]:
    if summary.rounds is not None:
        yield from rounds.round_warnings(summary.rounds)
    over = summary.over_optimisation
    if over.detected:
        kept = f"The kept checkpoint is step {summary.best_step}."
        yield f"Over-optimisation from step {over.step} on: {'; '.join(over.reasons)}. {kept}"
    if summary.kept_untrained:
        beat = "was" if summary.heldout_score_is is None else "beat the policy before training"
        what = "checkpoint" if summary.rounds is None else "round"
        yield f"No {what} {beat} within the bounds, so the untrained policy was kept."
    if below_chance := words.poor_reward_model(summary):
        yield below_chance
    if (agreement := summary.hardly_agree) is not None:
        whose = "the reward model" if summary.by_reward_model else "the judge"
        yield (
            f"After training, {whose}'s ranking of responses hardly agrees with the held-out score "
            f"(Spearman {number(agreement)})."
        )


def _of_judging(summary: RunSummary) -> Iterator[str]:
    if summary.judge_is_policy and not any(warning.kind == "related" for warning in summary.doubts):
        yield (
            "Judge and policy have the same weights. Judges favour responses like their own, so the judge's reward "
            "below says little by itself" + ("." if summary.heldout_score_is is None else "; read the held-out score.")
        )
    if summary.prompts.skipped:
        yield f"{summary.prompts.skipped} prompts did not fit the context window and were skipped."


def shown_cards(summary: RunSummary, compared: Evaluation | None) -> list[Card]:
    """The win rate, the held-out score, and what was paid for it."""
    verdict = verdict_on(summary.heldout_change)
    score = "better" if verdict == "better" else "worse" if verdict == "worse" else "open"
    measures: list[tuple[MeasureName, str, int, Standing]] = [
        ("kl", "KL to the base, nats", 1, "open"),
        ("reference_perplexity", "Perplexity on references", 1, "open"),
        ("distinct_2", "Distinct-2", 2, "open"),
    ]
    if summary.heldout_score_is is not None:
        measures.insert(0, ("heldout_score", f"Held-out score ({summary.heldout_score_is})", 2, score))
    return [*(cards(compared)[:1] if compared else []), *(_card(summary, *measure) for measure in measures)]


def _card(summary: RunSummary, key: MeasureName, title: str, digits: int, standing: Standing) -> Card:
    before, after = (m.measure(key).overall for m in (summary.evaluation.before, summary.evaluation.after))
    lines = (f"before {estimate(before, digits)}", f"after {estimate(after, digits)}")
    return Card(title, number(after and after.value, digits), lines, standing)


def _picked(data: ReportData) -> list[tuple[str, list[Row]]]:
    """The chosen examples, each with its kind as a tag."""
    chosen, scores = examples(data.before, data.after), Scores.of_run(data.summary)
    return [("", [row_of({"before": e.before, "after": e.after}, scores, e.kind) for e in chosen])]


_NOT_OF_RUBRICS = ("constitution", "variant", "design")
"""Settings that a judge by rubrics does not use."""


def settings_tables(recipe: JsonObject) -> dict[str, JsonObject]:
    """The tables of a recipe, by name, without what is nested deeper, not set, or not used."""
    tables = {name: value for name, value in recipe.items() if isinstance(value, dict)}
    return {
        name: {
            key: value
            for key, value in table.items()
            if value is not None
            and not isinstance(value, dict)
            and not (table.get("mode") == "rubric" and key in _NOT_OF_RUBRICS)
        }
        for name, table in tables.items()
    }


def examples(before: Snapshot, after: Snapshot) -> list[Example]:
    """First samples of some prompts before and after training: the largest gains, the median, the largest losses; the
    first prompts if there is no held-out score.
    """
    earlier = _first_by_prompt(before.responses)
    scored = [
        (now.heldout_score - was.heldout_score, was, now)
        for name, now in _first_by_prompt(after.responses).items()
        if (was := earlier.get(name)) is not None and was.heldout_score is not None and now.heldout_score is not None
    ]
    if not scored:
        firsts = [(earlier[name], now) for name, now in _first_by_prompt(after.responses).items() if name in earlier]
        return [Example("Unsorted", was, now) for was, now in firsts[: 3 * EXAMPLES_PER_KIND]]
    pairs = [(was, now) for _, was, now in sorted(scored, key=lambda row: -row[0])]
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
