"""The report of an evaluation, as one HTML file that opens offline and as Markdown."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.core.numbers import number, percent, points_interval, share_parts
from preceptor.evaluation.judges.audit_words import doubts as audit_doubts
from preceptor.evaluation.policies.result import Evaluation, Example
from preceptor.evaluation.policies.standings import PolicyPair, Standing, against_baseline, all_pairs, failures, judges
from preceptor.evaluation.policies.words import MEANING_OF, headline, judge_doubts, warnings
from preceptor.reports.evaluation import figures
from preceptor.reports.evaluation.rows import picked, rows_of
from preceptor.reports.evaluation.view import cohort_wins, examples_by_kind, matrix, rate_rows
from preceptor.reports.headlines import of_evaluation
from preceptor.reports.responses import fitting
from preceptor.reports.templates import markdown, page

STANDINGS: dict[Standing, str] = {"better": "preferred", "worse": "not preferred", "open": "within chance"}
MEANINGS = {
    "Preferred": "Win rate. A win counts 1, a tie one half, a loss 0; these are averaged over the comparisons of each "
    "prompt, then over prompts. Comparisons that the judge failed on are left out and counted separately.",
    "Mean probability": "The same average of the judge's probabilities instead of its choices.",
    "At equal length": "The win rate that is left when neither response is longer. If prompts have several "
    "comparisons with different lengths, the effect of length is estimated together with the difficulty of each "
    "prompt (after Dubois et al. 2024; AlpacaEval fits probabilities, with difficulties known beforehand). With one "
    "comparison per prompt the two cannot be separated, so a rate is given only if lengths are about equal, and its "
    "interval allows for both. Length enters as the difference.",
    "By ratio": "The same, with length entering as the logarithm of the ratio (after Lee et al. 2023, who do not model "
    "difficulty). If the two rates disagree, the form of the length effect matters and neither is certain.",
    "p": "Two-sided, from flipping the signs of the prompts' differences; corrected by Holm's method for all tests "
    "in a table.",
    "Rating": "Bradley-Terry strength in log-odds; the first policy has 0.",
    "Same position after a swap": "Share of comparisons shown in both orders in which the same position wins both "
    "times: position bias (Lee et al. 2023).",
    "Disagreement": "Share of comparisons on which the training judge and the judge that took no part in training "
    "prefer different responses; comparisons on which either is undecided are left out.",
    "Intervals": "95%, over prompts, since several responses to one prompt are not independent. For rates: Clopper and "
    "Pearson's interval for the effective number of trials, with at least three prompts. For means: Student's t, "
    "corrected for skewness, with at least ten prompts.",
}


@dataclass(frozen=True)
class Card:
    """A number to be seen at a glance."""

    title: str
    big: str
    lines: tuple[str, ...]
    standing: Standing = "open"


def render_evaluation(evaluation: Evaluation, every: Sequence[Example] = ()) -> str:
    """The report as HTML. All text is escaped; the page loads nothing and runs only its own script.

    Args:
        every: all comparisons, for searching.
    """
    return page(
        "evaluation/evaluation.html.jinja",
        short=of_evaluation(evaluation),
        picked=picked(evaluation),
        every=fitting(rows_of(every)),
        **_whole(evaluation),
        **sections(evaluation),
    )


def render_markdown(evaluation: Evaluation) -> str:
    """The report as Markdown, without figures. All text is escaped or fenced."""
    examples = examples_by_kind(evaluation)
    return markdown("evaluation/evaluation.md.jinja", examples=examples, **_whole(evaluation), **_tables(evaluation))


def sections(evaluation: Evaluation) -> dict[str, object]:
    """The values that `_evaluation.html.jinja` needs, for any page that includes it."""
    return _tables(evaluation) | {"figures": _figures(evaluation), "in_run": False}


def cards(evaluation: Evaluation) -> list[Card]:
    """The main numbers: with one policy, its win rate, also at equal length and by the training judge; with several,
    the win rate of each.
    """
    pairs = against_baseline(evaluation)
    if len(pairs) == 1:
        return [*_cards_of(pairs[0]), *_cards_of_judges(evaluation)]
    return [*(_win_card(pair, pair.win.policy) for pair in pairs), *_cards_of_judges(evaluation)]


def _cards_of(pair: PolicyPair) -> list[Card]:
    shown = [_win_card(pair, "Preferred")]
    if (rate := pair.at_equal_length) is not None and pair.length is not None:
        value, ends = share_parts(rate)
        times = pair.length.length_ratio
        longer = () if times is None else (f"its responses are {number(times)} times as long",)
        shown.append(Card("At equal length", value, (ends, *longer)))
    if pair.training is not None:
        value, ends = share_parts(pair.training.rate)
        shown.append(Card("Training judge", value, (ends,)))
    return shown


def _win_card(pair: PolicyPair, title: str) -> Card:
    value, ends = share_parts(pair.win.rate)
    won = f"{pair.win.wins} won, {pair.win.ties} tied, {pair.win.losses} lost"
    return Card(title, value, (f"{ends} against {pair.win.against}".strip(), won), pair.standing)


def _cards_of_judges(evaluation: Evaluation) -> list[Card]:
    failed, asked = failures(evaluation.judge)
    share_failed = percent(failed / asked, 1) if asked else "none"
    shown = [Card("Judge failures", share_failed, (f"{failed} of {asked} comparisons",))]
    for policy, judged_twice in list(evaluation.disagreement.items())[:1]:
        if (overall := judged_twice.overall) is not None and len(evaluation.disagreement) == 1:
            ends = points_interval(overall.low, overall.high)
            shown.insert(0, Card("Judges disagree", percent(overall.value), (f"{ends} about {policy}",)))
    return shown


def _whole(evaluation: Evaluation) -> dict[str, object]:
    return {
        "headline": headline(evaluation),
        "doubts": (doubts := judge_doubts(evaluation)),
        "warnings": warnings(evaluation)[len(doubts) :],
        "shown_cards": cards(evaluation),
        "rates": rate_rows(evaluation),
        "meanings": MEANINGS,
    }


def _tables(evaluation: Evaluation) -> dict[str, object]:
    return {
        "evaluation": evaluation,
        "pairs": all_pairs(evaluation),
        "cohort_wins": cohort_wins(evaluation),
        "has_length": bool(evaluation.length_control),
        "has_training": bool(evaluation.training_win_rates),
        "matrix": matrix(evaluation),
        "standings": STANDINGS,
        "meaning_of": MEANING_OF,
        "verdicts": dict(Counter(change.verdict for change in evaluation.changes)),
        "judges": judges(evaluation),
        "audit_doubts": audit_doubts(evaluation.audit) if evaluation.audit else [],
    }


def _figures(evaluation: Evaluation) -> dict[str, object]:
    controls = {(control.policy, control.against): control for control in evaluation.length_control}
    base = evaluation.policies[0].name
    return {
        "win_rates": figures.win_rates(evaluation),
        "ratings": figures.ratings(evaluation),
        "changes": figures.changes(evaluation),
        "lengths": [
            figures.length_scatter(points, controls.get((policy, base)), policy, base)
            for policy, points in evaluation.lengths.items()
            if points
        ],
        "trends": figures.trends(evaluation),
        "disagreement": figures.disagreement(evaluation),
        "position_bias": figures.position_bias(evaluation),
        "calibration": figures.calibration(evaluation.audit) if evaluation.audit else None,
    }
