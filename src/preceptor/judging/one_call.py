"""Several answers in one call: all criteria of a score rubric, or all items of a prompt's rubric, in a JSON object.

A call for each criterion reads exact probabilities, and sends prompt and response once for each criterion. One call
sends them once, and its scores are single answers, not distributions: with k samples, the share of each score among k
answers. The answer's JSON schema is enforced where the server can; elsewhere the judge is asked for it in words. An
answer that lacks a criterion, or gives one something other than the choices, is a failure.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic_core import from_json

from preceptor.backends.base import CompleteRequest, Completion, LanguageModel, Thinking
from preceptor.core.types import JsonObject, JudgeFailure, Message, Usage, Verdict
from preceptor.judging.ask import Demand, Reasoning
from preceptor.judging.constitution import SCALE, Criterion
from preceptor.judging.parsing import shown_thought
from preceptor.judging.render import criteria_text

RATIONALE = "rationale"
"""The key of the judge's reasoning, which comes before the scores."""
_FENCE = "```"
_OVERHEAD = 16
"""Tokens of the braces and of white space; as many are allowed for each answer beyond its name."""


@dataclass(frozen=True)
class Form:
    """The answers that one call is asked for."""

    names: tuple[str, ...]
    """Keys of the JSON object."""
    choices: tuple[str, ...]
    """What the value of each may be, as text."""
    value: JsonObject
    """JSON schema of a value."""
    described: str
    """What a value is, for the judge."""
    missing: str
    """What is missing where it is none of the choices."""

    def schema(self, *, reasoned: bool) -> JsonObject:
        """The JSON schema of an answer.

        Args:
            reasoned: whether the answer begins with a rationale.
        """
        properties: JsonObject = {RATIONALE: {"type": "string"}} if reasoned else {}
        properties |= {name: dict(self.value) for name in self.names}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


def score_form(criteria: Sequence[Criterion]) -> Form:
    """A score from 1 to 10 for each criterion, by name."""
    value: JsonObject = {"type": "integer", "enum": [int(score) for score in SCALE]}
    names = tuple(criterion.name for criterion in criteria)
    return Form(names, SCALE, value, "a whole number from 1 to 10", "score from 1 to 10")


def scores_request(
    opening: str,
    criteria: Sequence[Criterion],
    prompt: str,
    response: str,
    reasoning: Reasoning | None,
    seed: int,
    thinking: Thinking | None = None,
) -> CompleteRequest:
    """The request for all scores of a response.

    Args:
        opening: instruction and principles.
        seed: used where answers or thoughts are sampled.
    """
    text = f"{opening}\n\n{criteria_text(criteria, prompt, response)}"
    return form_request(text, score_form(criteria), reasoning, seed, thinking)


def form_request(
    text: str, form: Form, reasoning: Reasoning | None, seed: int, thinking: Thinking | None = None
) -> CompleteRequest:
    """The request for all answers of a form.

    Args:
        text: all that the judge reads before the form is asked for.
        seed: used where answers or thoughts are sampled.
    """
    reasoned, way = reasoning is not None, reasoning or Reasoning(0)
    return CompleteRequest(
        (Message(role="user", content=f"{text}\n\n{_demanded(form, reasoned=reasoned)}"),),
        max_new_tokens=_most_tokens(form) + way.max_tokens,
        temperature=way.temperature,
        top_k=way.top_k,
        seed=seed if way.temperature > 0 else 0,
        schema=form.schema(reasoned=reasoned),
        thinking=replace(thinking, seed=seed) if thinking and thinking.on else thinking,
    )


def read_scores(criteria: Sequence[Criterion], answer: Completion | JudgeFailure) -> dict[str, Verdict] | JudgeFailure:
    """The verdict on each criterion, all probability on the score that was given; or why there is none."""
    return read_form(score_form(criteria), answer)


def read_form(form: Form, answer: Completion | JudgeFailure) -> dict[str, Verdict] | JudgeFailure:
    """The verdict for each name, all probability on the choice that was given; or why there is none.

    The usage of the call is that of the first verdict, so that it is counted once.
    """
    if isinstance(answer, JudgeFailure):
        return answer
    try:
        given = from_json(unfenced(answer.text))
    except ValueError:
        return _failure("cut off by the token limit" if not answer.finished else "not JSON", answer)
    if not isinstance(given, dict):
        return _failure("not a JSON object", answer)
    chosen: dict[str, str] = {}
    for name in form.names:
        value: object = given.get(name)
        if isinstance(value, bool) or (choice := str(value).casefold()) not in form.choices:
            return _failure(f"no {form.missing} for {name}", answer)
        chosen[name] = choice
    rationale = str(given.get(RATIONALE) or "").strip() or shown_thought(answer)
    usages = [answer.usage, *[Usage()] * (len(form.names) - 1)]
    return {
        name: Verdict(
            probabilities={value: float(value == choice) for value in form.choices},
            choice_mass=1.0,
            rationale=rationale,
            votes=1,
            usage=usage,
        )
        for (name, choice), usage in zip(chosen.items(), usages, strict=True)
    }


def demand_of_requests(model: LanguageModel, requests: Sequence[CompleteRequest]) -> Demand:
    """The cost of the calls if none is on record; an answer counts at its full length."""
    return Demand(
        len(requests),
        Usage(
            prompt_tokens=sum(model.count_tokens(request.prompt) for request in requests),
            completion_tokens=sum(
                request.max_new_tokens + (request.thinking.tokens if request.thinking else 0) for request in requests
            ),
        ),
    )


def _demanded(form: Form, *, reasoned: bool) -> str:
    """How the answer is asked for, with its form."""
    shown: dict[str, object] = {RATIONALE: "two to four sentences"} if reasoned else {}
    shown |= dict.fromkeys(form.names, form.described)
    return f"Answer with one JSON object of this form and nothing else:\n{json.dumps(shown, ensure_ascii=False)}"


def unfenced(text: str) -> str:
    """The text without the fence of a code block around it. No regular expression: on long runs of white space it would
    take hours.
    """
    text = text.strip()
    if len(text) < 2 * len(_FENCE) or not (text.startswith(_FENCE) and text.endswith(_FENCE)):
        return text
    return text[len(_FENCE) : -len(_FENCE)].removeprefix("json")


def _most_tokens(form: Form) -> int:
    """Length limit of an answer: a name's bytes are more than its tokens."""
    return _OVERHEAD + sum(len(name.encode()) + _OVERHEAD for name in form.names)


def _failure(what: str, answer: Completion) -> JudgeFailure:
    detail = f"the judge was asked for JSON, and its answer is unusable ({what}): {answer.text[:80]!r}"
    return JudgeFailure(reason="no_answer", detail=detail, usage=answer.usage)
