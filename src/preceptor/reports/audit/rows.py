"""An audit's pairs as rows for reading: what people preferred, and what each judge did."""

from collections.abc import Sequence

from preceptor.core.numbers import percent
from preceptor.core.types import Comparison, HumanLabel, Preference
from preceptor.evaluation.judges.judge_audit import Judged, JudgeRun
from preceptor.judging.trajectory import response_text
from preceptor.reports.responses import Row, Side


def rows_of(labels: Sequence[str], runs: Sequence[JudgeRun]) -> list[Row]:
    """A row for each pair.

    Args:
        labels: names of the judges.
        runs: their answers for the same pairs, in the same order.
    """
    return [_row(labels, same) for same in zip(*(run.rows for run in runs), strict=True)]


def _row(labels: Sequence[str], same: Sequence[Judged]) -> Row:
    pair, human, category = same[0].comparison, same[0].human, same[0].category
    return Row(
        tag=category or "",
        prompt=pair.prompt.text,
        sides=tuple(_side(name, pair, human) for name in ("a", "b")),
        notes=(_said(human), *(_judged(label, each) for label, each in zip(labels, same, strict=True))),
    )


def _side(name: str, pair: Comparison, human: HumanLabel) -> Side:
    response = pair.a if name == "a" else pair.b
    return Side(f"response {name}", response_text(response), preferred=human.majority == name)


def _said(human: HumanLabel) -> str:
    people = f" ({', '.join(human.ratings)})" if len(human.ratings) > 1 else ""
    majority = "no majority" if human.majority == "tie" else f"response {human.majority}"
    return f"People: {majority}{people}."


def _judged(label: str, judged: Judged) -> str:
    if not isinstance(judged.outcome, Preference):
        return f"{label}: failed ({judged.outcome.reason.replace('_', ' ')})."
    p_a, majority = judged.outcome.p_a, judged.human.majority
    if p_a == 0.5:
        return f"{label}: undecided."
    choice = "a" if p_a > 0.5 else "b"
    beside = "" if majority == "tie" else ", as people" if choice == majority else ", unlike people"
    return f"{label}: response {choice} by {percent(max(p_a, 1 - p_a))}{beside}."
