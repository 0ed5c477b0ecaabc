"""Writing rubrics with a language model: criteria for one prompt, and each of them in other words.

The model reads the prompt, a reference answer where there is one, and two responses where there are two: a better and
a worse one where people said so. It answers with JSON. What it writes is a proposal; `keeping` says what stays.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from pydantic_core import from_json

from preceptor.backends.base import CompleteRequest, Completion, LanguageModel, in_order
from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject, JudgeFailure, Message, Prompt, Rater, Response
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.render import prompt_text, tagged, visible
from preceptor.judging.rubrics.keeping import normalised
from preceptor.judging.trajectory import response_text
from preceptor.store.ledger import Ledger

MOST_POINTS = 10
"""Largest number of points of an item, for a merit or against a fault."""
LONGEST_CRITERION = 400
"""Characters; a longer text is not one criterion."""
TOKENS_PER_ITEM = 64
REPHRASING_TOKENS = 96
Source: TypeAlias = Literal["prompt", "reference", "contrast", "responses"]
"""What the model read: the prompt alone, a reference answer, a better and a worse response, or two responses that
nobody compared. A tag of each item."""


@dataclass(frozen=True)
class Proposal:
    """A criterion that a model wrote."""

    criterion: str
    points: int


@dataclass(frozen=True)
class Written:
    """What a model wrote for one prompt."""

    proposals: tuple[Proposal, ...]
    malformed: int
    """Items of the answer that are no criterion with points."""


@dataclass(frozen=True)
class Material:
    """What a rubric is written from."""

    prompt: Prompt
    responses: tuple[Response, Response] | None = None
    compared: bool = False
    """Whether the first of the two responses is known to be the better one."""

    @property
    def source(self) -> Source:
        """What the model reads beside the prompt; of several, what says most."""
        if self.responses is not None:
            return "contrast" if self.compared else "responses"
        return "prompt" if self.prompt.reference is None else "reference"


class RubricWriter:
    """A language model that writes criteria.

    Raises: UsageError when the model takes no conversations.
    """

    def __init__(self, model: LanguageModel, ledger: Ledger, items: int) -> None:
        if not model.chat:
            raise UsageError(f"{model.identity} continues plain text only; rubrics are written by a model that chats")
        self.items = items
        rater = Rater(
            model=model.identity,
            constitution="none",
            constitution_hash="none",
            settings={"role": "rubric writer", "items": items},
        )
        self.model = RecordedModel(model, ledger, rater)

    def write(self, materials: Sequence[Material]) -> list[Written | JudgeFailure]:
        """Proposals for each prompt, in order; a failure where the answer holds none."""
        requests = [self.request(material) for material in materials]
        return [_read(answer, self.items) for answer in in_order(self.model.complete(requests), len(requests))]

    def rephrase(self, criteria: Sequence[str]) -> list[str | JudgeFailure]:
        """Each criterion in other words, in order; a failure where the words are the same, or no single sentence."""
        requests = [self.rephrasing(criterion) for criterion in criteria]
        answers = in_order(self.model.complete(requests), len(requests))
        return [_rephrased(c, answer) for c, answer in zip(criteria, answers, strict=True)]

    def request(self, material: Material) -> CompleteRequest:
        """The request for a prompt's criteria."""
        text = f"{_OPENING}\n\n{_shown(material)}\n\n{_DEMAND.replace('{items}', str(self.items))}\n{json.dumps(_FORM)}"
        return CompleteRequest(
            (Message(role="user", content=text),),
            max_new_tokens=TOKENS_PER_ITEM * (self.items + 1),
            schema=_SCHEMA,
        )

    def rephrasing(self, criterion: str) -> CompleteRequest:
        """The request for a criterion in other words."""
        text = f"{_REPHRASE}\n\n{tagged('step', criterion)}\n\nAnswer with the new sentence and nothing else."
        return CompleteRequest((Message(role="user", content=text),), max_new_tokens=REPHRASING_TOKENS)


_OPENING = "You write the criteria by which responses to one prompt are graded."
_DEMAND = (
    "Write up to {items} criteria for grading any response to this prompt: most of them merits of a good response, the "
    "others faults that a poor response may well have. Each criterion is one sentence that says what the response "
    "does, and is either true or false of it. It asks for one thing that matters for this very prompt: a fact, a part "
    "of the content, a requirement of the prompt, or the form. It can be decided by reading the prompt and the "
    "response only, and no two criteria ask for the same thing. Its points, from 1 to 10, say how much it matters.\n"
    "Answer with one JSON object of this form and nothing else:"
)
_FORM = {
    "merits": [{"criterion": "The response says why ...", "points": 5}],
    "faults": [{"criterion": "The response claims that ...", "points": 4}],
}
_KINDS = {"merits": 1, "faults": -1}
"""The lists of an answer, and the sign of their points."""
_LIST: JsonObject = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "criterion": {"type": "string"},
            "points": {"type": "integer", "enum": list(range(1, MOST_POINTS + 1))},
        },
        "required": ["criterion", "points"],
        "additionalProperties": False,
    },
}
_SCHEMA: JsonObject = {
    "type": "object",
    "properties": dict.fromkeys(_KINDS, _LIST),
    "required": list(_KINDS),
    "additionalProperties": False,
}
_REPHRASE = (
    "Say this criterion in other words. The new sentence must be true of exactly the same responses: keep every "
    "number, name and negation."
)


def _shown(material: Material) -> str:
    parts = [tagged("prompt", prompt_text(material.prompt.conversation))]
    if material.prompt.reference is not None:
        parts += ["A good answer, for reference:", tagged("response", material.prompt.reference)]
    if material.responses is not None:
        first, second = (tagged("response", response_text(response)) for response in material.responses)
        if material.compared:
            parts += ["People prefer this response:", first, "to this one:", second]
            parts += ["Some of the criteria must tell why, without mentioning the two."]
        else:
            parts += ["Two responses that were given:", first, second]
    return "\n".join(parts)


def _read(answer: Completion | JudgeFailure, most: int) -> Written | JudgeFailure:
    """The items of an answer. Of an answer that was cut off, those before the cut count."""
    if isinstance(answer, JudgeFailure):
        return answer
    begun = answer.text[max(0, answer.text.find("{")) :].removesuffix("```")
    try:
        given: Any = from_json(begun, allow_partial=True)
    except ValueError:
        return _failure("not JSON", answer)
    lists = (
        [(cast("dict[str, Any]", given).get(kind), sign) for kind, sign in _KINDS.items()]
        if isinstance(given, dict)
        else []
    )
    items = [(item, sign) for listed, sign in lists if isinstance(listed, list) for item in cast("list[Any]", listed)]
    proposals = [_proposal(item, sign) for item, sign in items]
    usable = tuple(proposal for proposal in proposals if proposal is not None)
    return Written(usable[:most], len(items) - len(usable)) if usable else _failure("no criterion with points", answer)


def _proposal(item: Any, sign: int) -> Proposal | None:
    if not isinstance(item, dict):
        return None
    fields = cast("dict[str, Any]", item)
    criterion, points = fields.get("criterion"), fields.get("points")
    if not isinstance(criterion, str) or isinstance(points, bool) or not isinstance(points, int):
        return None
    text = " ".join(visible(criterion).split())
    usable = normalised(text) and len(text) <= LONGEST_CRITERION and "..." not in text
    return Proposal(text, sign * points) if usable and 0 < points <= MOST_POINTS else None


def _rephrased(criterion: str, answer: Completion | JudgeFailure) -> str | JudgeFailure:
    if isinstance(answer, JudgeFailure):
        return answer
    text = " ".join(visible(answer.text).split()).strip('"')
    if not answer.finished or not normalised(text) or len(text) > LONGEST_CRITERION:
        return _failure("no single sentence", answer)
    return text if normalised(text) != normalised(criterion) else _failure("the same words", answer)


def _failure(what: str, answer: Completion) -> JudgeFailure:
    detail = f"the writer's answer is unusable ({what}): {answer.text[:80]!r}"
    return JudgeFailure(reason="no_answer", detail=detail, usage=answer.usage)
