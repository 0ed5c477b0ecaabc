"""Comparisons that a judge has judged, for tests of what is computed from them."""

from collections.abc import Sequence
from typing import Literal

from preceptor.core.types import (
    Comparison,
    HumanLabel,
    JudgeFailure,
    Message,
    Preference,
    Presentation,
    Prompt,
    Rater,
    Response,
    Verdict,
)
from preceptor.evaluation.judges.judge_audit import Judged

RATER = Rater(model="m", constitution="c 1", constitution_hash="h")
_ORDERS: tuple[Literal["ab", "ba"], ...] = ("ab", "ba")


def judged(
    name: str,
    human: HumanLabel,
    p_a: Sequence[float] | None,
    *,
    prompt: str | None = None,
    texts: tuple[str, str] = ("x", "y"),
    category: str | None = None,
) -> Judged:
    """A comparison with people's label and p_a in one order or in both; None for a failure."""
    prompt = prompt or f"prompt {name}"
    shown = Comparison(
        id=name,
        prompt=Prompt(id=prompt, conversation=(Message(role="user", content="q"),)),
        a=Response(prompt_id=prompt, text=texts[0]),
        b=Response(prompt_id=prompt, text=texts[1]),
    )
    if p_a is None:
        return Judged(shown, human, JudgeFailure(reason="no_answer", detail="d"), category)
    presentations = tuple(
        Presentation(order=order, p_a=p, verdict=Verdict(probabilities={"1": p, "2": 1 - p}, choice_mass=1))
        for order, p in zip(_ORDERS, p_a, strict=False)
    )
    preference = Preference(comparison=shown, p_a=sum(p_a) / len(p_a), rater=RATER, presentations=presentations)
    return Judged(shown, human, preference, category)
