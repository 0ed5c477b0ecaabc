"""The report of an evaluation: one HTML file that opens offline and needs nothing else, and the same as Markdown."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from preceptor.core.numbers import number, percent, points_interval, share_parts
from preceptor.evaluation.result import Evaluation
from preceptor.reports.audit.page import doubts as audit_doubts
from preceptor.reports.evaluation import figures
from preceptor.reports.evaluation.view import (
    Against,
    Standing,
    against_baseline,
    all_pairs,
    cohort_wins,
    examples_by_kind,
    failures,
    judges,
    matrix,
    rate_rows,
)
from preceptor.reports.evaluation.words import headline, judge_doubts, warnings
from preceptor.reports.templates import markdown, page

STANDINGS: dict[Standing, str] = {"better": "preferred", "worse": "not preferred", "open": "within chance"}
MEANINGS = {
    "Preferred": "Win rate: the mean over prompts of the mean over a prompt's pairs, of 1 for a win, one half for a "
    "tie and 0 for a loss. Pairs that the judge failed on are left out, and counted apart.",
    "Mean probability": "The same of the judge's probabilities instead of its choices.",
    "At equal length": "What is left of the win rate when neither response is the longer one. Where prompts have "
    "several pairs of different length, the effect of length is estimated together with how hard each prompt is (after "
    "Dubois et al. 2024; AlpacaEval fits probabilities, with difficulties known beforehand). With one pair of each "
    "prompt the two cannot be told apart, and there is a rate only where lengths are about equal; its interval allows "
    "for either. Length enters by the difference.",
    "By ratio": "The same, length entering by the logarithm of the ratio (after Lee et al. 2023, who leave difficulty "
    "out). Where the two disagree, the form of the length effect matters, and neither is sure.",
    "p": "Two-sided, by flipping the signs of the prompts' differences; corrected by Holm's method for all questions "
    "in one table.",
    "Rating": "Bradley-Terry strengths in log-odds, the first policy's being 0.",
    "Same position after a swap": "Share of pairs shown in both orders in which the same position wins in both: "
    "position bias (Lee et al. 2023).",
    "Disagreement": "Share of comparisons on which the judge that trained a policy and the one that did not prefer "
    "different responses; those on which either is undecided are left out.",
    "Intervals": "95%, over prompts, since several responses to one prompt are not independent. Of rates: Clopper "
    "and Pearson's, from three prompts on, for as many trials as the prompts are worth. Of means: Student's t, "
    "corrected for skewness, from ten prompts on.",
}


@dataclass(frozen=True)
class Card:
    """A number at a glance."""

    title: str
    big: str
    lines: tuple[str, ...]
    standing: Standing = "open"


def render_evaluation(evaluation: Evaluation) -> str:
    """The report as HTML. All text is escaped; nothing is loaded from anywhere and nothing runs."""
    return page("evaluation/evaluation.html.jinja", **_whole(evaluation), **sections(evaluation))


def render_markdown(evaluation: Evaluation) -> str:
    """The report as Markdown, without figures. All text is escaped or fenced."""
    return markdown("evaluation/evaluation.md.jinja", **_whole(evaluation), **_tables(evaluation))


def sections(evaluation: Evaluation) -> dict[str, Any]:
    """What `_evaluation.html.jinja` shows, for any page that includes it."""
    return _tables(evaluation) | {"figures": _figures(evaluation), "in_run": False}


def cards(evaluation: Evaluation) -> list[Card]:
    """The main numbers: of one policy, its win rate from several sides; of several, the win rate of each."""
    pairs = against_baseline(evaluation)
    if len(pairs) == 1:
        return [*_cards_of(pairs[0]), *_cards_of_judges(evaluation)]
    return [*(_win_card(pair, pair.win.policy) for pair in pairs), *_cards_of_judges(evaluation)]


def _cards_of(pair: Against) -> list[Card]:
    found = [_win_card(pair, "Preferred")]
    if (rate := pair.at_equal_length) is not None and pair.length is not None:
        value, ends = share_parts(rate)
        times = pair.length.length_ratio
        longer = () if times is None else (f"its responses are {number(times)} times as long",)
        found.append(Card("At equal length", value, (ends, *longer)))
    if pair.training is not None:
        value, ends = share_parts(pair.training.rate)
        found.append(Card("Training judge", value, (ends,)))
    return found


def _win_card(pair: Against, title: str) -> Card:
    value, ends = share_parts(pair.win.rate)
    won = f"{pair.win.wins} won, {pair.win.ties} tied, {pair.win.losses} lost"
    return Card(title, value, (f"{ends} against {pair.win.against}".strip(), won), pair.standing)


def _cards_of_judges(evaluation: Evaluation) -> list[Card]:
    failed, asked = failures(evaluation.judge)
    found = [
        Card(
            "Judge failures",
            percent(failed / asked, 1) if asked else "none",
            (f"{failed} of {asked} comparisons",),
        )
    ]
    for policy, each in list(evaluation.disagreement.items())[:1]:
        if each.overall is not None and len(evaluation.disagreement) == 1:
            ends = points_interval(each.overall.low, each.overall.high)
            found.insert(0, Card("Judges disagree", percent(each.overall.value), (f"{ends} about {policy}",)))
    return found


def _whole(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "headline": headline(evaluation),
        "doubts": (doubts := judge_doubts(evaluation)),
        "warnings": warnings(evaluation)[len(doubts) :],
        "shown_cards": cards(evaluation),
        "rates": rate_rows(evaluation),
        "examples": examples_by_kind(evaluation),
        "meanings": MEANINGS,
    }


def _tables(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "evaluation": evaluation,
        "pairs": all_pairs(evaluation),
        "cohort_wins": cohort_wins(evaluation),
        "has_length": bool(evaluation.length_control),
        "has_training": bool(evaluation.training_win_rates),
        "matrix": matrix(evaluation),
        "standings": STANDINGS,
        "verdicts": dict(Counter(change.verdict for change in evaluation.changes)),
        "judges": judges(evaluation),
        "audit_doubts": audit_doubts(evaluation.audit) if evaluation.audit else [],
    }


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    controls = {(each.policy, each.against): each for each in evaluation.length_control}
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
