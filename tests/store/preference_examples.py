"""Preferences of every kind, and the files that 0.1.0 wrote of them."""

from pathlib import Path
from typing import Literal

from preceptor.core.types import (
    Comparison,
    FunctionCall,
    HumanLabel,
    JudgeFailure,
    Message,
    Preference,
    Presentation,
    Prompt,
    Rater,
    Response,
    Score,
    ToolCall,
    TrajectoryScore,
    Verdict,
)
from preceptor.store.comparisons import ComparisonRow, Unanswered
from preceptor.store.rows import Malformed
from preceptor.store.selection import DISPUTED, NOT_SAID, Selection

PREFERENCES_0_1_0 = Path(__file__).parent / "preference_rows_0_1_0.jsonl"
FAILURES_0_1_0 = Path(__file__).parent / "failure_rows_0_1_0.jsonl"
RATER = Rater(model="m#1:float32", constitution="c 1", constitution_hash="h", settings={"samples": 1, "orders": "both"})
ACTED = (
    Message(role="assistant", tool_calls=(ToolCall(id="1", function=FunctionCall(name="look", arguments="{}")),)),
    Message(role="tool", content="42", tool_call_id="1", name="look"),
    Message(role="assistant", content="It is 42."),
)
Labelled = tuple[ComparisonRow, Preference, tuple[TrajectoryScore, TrajectoryScore] | None]


def comparison(number: int, a: Response | None = None) -> Comparison:
    system = (Message(role="system", content="Be brief."),) if number % 2 else ()
    prompt = Prompt(
        id=f"p{number}",
        conversation=(*system, Message(role="user", content=f"Wie heißt {number}?")),
        cohort="x",
        reference="left out",
        metadata={"left": "out"},
    )
    first = a or Response(prompt_id=prompt.id, text=f"Antwort {number}\n„ja“", policy="base@0", finished=False)
    return Comparison(id=f"i{number}", prompt=prompt, a=first, b=Response(prompt_id=prompt.id, text="nein"))


def shown(order: Literal["ab", "ba"], p_a: float, rationale: str = "", votes: int | None = None) -> Presentation:
    verdict = Verdict(probabilities={"1": p_a, "2": 1 - p_a}, choice_mass=0.9, rationale=rationale, votes=votes)
    return Presentation(order=order, p_a=p_a, p_tie=0.05, principles=(0, 2), sample=1, verdict=verdict)


def preference(of: Comparison, p_ab: float, p_ba: float, rater: Rater = RATER) -> Preference:
    presentations = (shown("ab", p_ab), shown("ba", p_ba, "Because.", votes=5))
    return Preference(comparison=of, p_a=(p_ab + p_ba) / 2, p_tie=0.1, rater=rater, presentations=presentations)


def score(value: float) -> Score:
    high = (value - 1.0) / 9.0
    verdict = Verdict(probabilities={"1": 1.0 - high, "10": high}, choice_mass=1.0)
    return Score(verdict=verdict, values={"1": 1.0, "10": 10.0}, rater=RATER)


def row(number: int, of: Comparison, human: HumanLabel | None = None, selection: Selection = NOT_SAID) -> ComparisonRow:
    return ComparisonRow(number, f"f:{number}", of, human, "chat" if number else None, None, 1.0, selection)


def labelled() -> list[Labelled]:
    """An a that wins, a b that wins, exactly one half, a calibrated one, an ensemble, and a scored trajectory."""
    zero, one, two, three, four = (comparison(number) for number in range(5))
    five = comparison(5, Response(prompt_id="p5", text="It is 42.", trajectory=ACTED))
    members = tuple(
        preference(four, p, 0.3, RATER.model_copy(update={"model": name})) for name, p in (("x", 0.1), ("y", 0.7))
    )
    ensemble = preference(four, 0.4, 0.3).model_copy(update={"members": members})
    failed = JudgeFailure(reason="no_answer", detail="d")
    scores = (TrajectoryScore(whole=score(4), steps=(score(2), failed)), TrajectoryScore(whole=failed, steps=()))
    return [
        (row(0, zero, HumanLabel.of(["a", "tie"])), preference(zero, 0.9, 0.6), None),
        (row(1, one, HumanLabel(p_a=0.3), DISPUTED), preference(one, 0.1, 0.25), None),
        (row(2, two), preference(two, 0.8, 0.2), None),
        (row(4, three), preference(three, 0.3, 0.1).model_copy(update={"uncalibrated_p_a": 0.45}), None),
        (row(5, four, None, Selection("planned", 0.125)), ensemble, None),
        (row(7, five), preference(five, 0.35, 0.05), scores),
    ]


def failed() -> list[tuple[ComparisonRow | Malformed | Unanswered, JudgeFailure | None]]:
    """A malformed row, a comparison that the judge failed on, and one that the policy gave no response to."""
    refused = JudgeFailure(reason="refused", detail="policy: 400 „nein“")
    return [
        (Malformed(3, "f:4", "bad"), None),
        (row(6, comparison(6)), JudgeFailure(reason="no_answer", detail="none of 1, 2")),
        (Unanswered(8, "f:9", "p8-0-1", refused), None),
    ]
