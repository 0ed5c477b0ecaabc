"""A constitution, comparisons and scripted judges that the tests of judging share."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from conftest import prompt
from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, CompleteRequest
from preceptor.backends.scripted import ChooseScript
from preceptor.core.types import Comparison, JudgeFailure, Message, Preference, Response, Usage
from preceptor.judging.constitution import Constitution
from preceptor.store.ledger import Ledger

PRINCIPLES = ("Be kind.", "Be brief.", "Be true.")
CONSTITUTION = Constitution.model_validate(
    {
        "name": "n",
        "version": "1",
        "summary": "s",
        "instruction": "Judge.",
        "principles": PRINCIPLES,
        "pairwise": {
            "question": "Which is better?",
            "exemplars": [
                {"prompt": "p1", "response_1": "x1", "response_2": "y1", "preferred": "2", "rationale": "why one"},
                {"prompt": "p2", "response_1": "x2", "response_2": "y2", "preferred": "1", "rationale": "why two"},
            ],
        },
    }
)
WITH_TIES = Constitution.model_validate(
    {**CONSTITUTION.model_dump(), "pairwise": {"question": "Which is better?", "tie": "tie"}}
)


def fresh_ledger() -> Ledger:
    """A ledger in memory."""
    return Ledger(Path(":memory:"))


def response(text: str, trajectory: Sequence[Message] = (), question: str = "q") -> Response:
    return Response(prompt_id=f"id-{question}", text=text, trajectory=tuple(trajectory))


def compared(a: str | Response, b: str | Response, id_: str = "c") -> Comparison:
    first, second = (r if isinstance(r, Response) else response(r) for r in (a, b))
    return Comparison(id=id_, prompt=prompt("q"), a=first, b=second)


def text_of(request: ChooseRequest | CompleteRequest) -> str:
    """All that the judge reads: every turn, and how its answer begins."""
    turns = [request.prompt] if isinstance(request.prompt, str) else [m.content for m in request.prompt]
    return "\n\n".join([*turns, request.prefill] if request.prefill else turns)


def place(text: str, tag: str) -> str:
    """What stands between the last tags of this name."""
    found: list[str] = re.findall(rf"<{tag}>\n(.*?)\n</{tag}>", text, re.DOTALL)
    return found[-1]


def gives(*probabilities: float) -> ChoiceLogProbs:
    """What a model returns that gives its choices these probabilities."""
    return ChoiceLogProbs(tuple(math.log(p) for p in probabilities), Usage(prompt_tokens=10, completion_tokens=1))


def first_with(p_first: Callable[[str, str], float]) -> ChooseScript:
    """A judge that prefers the response shown first with this probability, by both responses."""

    def choose(request: ChooseRequest) -> ChoiceLogProbs | JudgeFailure:
        text = text_of(request)
        p = p_first(place(text, "response_1"), place(text, "response_2"))
        return gives(p, 1 - p)

    return choose


def likes(liked: str, p: float = 0.9) -> ChooseScript:
    """A judge without position bias that prefers one text, with this probability."""
    return first_with(lambda first, second: 0.5 if first == second else p if first == liked else 1 - p)


def preferred(outcome: Preference | JudgeFailure) -> Preference:
    assert isinstance(outcome, Preference), outcome
    return outcome


def failed(outcome: object) -> JudgeFailure:
    assert isinstance(outcome, JudgeFailure), outcome
    return outcome
