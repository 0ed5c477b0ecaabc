"""All criteria of a score rubric in one call: the judge answers with a JSON object of whole scores.

A call for each criterion reads exact probabilities, and sends prompt and response once for each criterion. One call
sends them once, and its scores are single answers, not distributions: with k samples, the share of each score among k
answers. The answer's JSON schema is enforced where the server can; elsewhere the judge is asked for it in words. An
answer that lacks a criterion, or gives one something other than a score from 1 to 10, is a failure.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

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
"""Tokens of the braces and of white space; as many are allowed for each criterion beyond its name."""


def schema_of(criteria: Sequence[Criterion], *, reasoned: bool) -> JsonObject:
    """The JSON schema of an answer: a score from 1 to 10 for each criterion, by name.

    Args:
        reasoned: whether the answer begins with a rationale.
    """
    score: JsonObject = {"type": "integer", "enum": [int(value) for value in SCALE]}
    properties: JsonObject = {RATIONALE: {"type": "string"}} if reasoned else {}
    properties |= {criterion.name: dict(score) for criterion in criteria}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


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
    reasoned, way = reasoning is not None, reasoning or Reasoning(0)
    text = f"{opening}\n\n{criteria_text(criteria, prompt, response)}\n\n{_demanded(criteria, reasoned=reasoned)}"
    return CompleteRequest(
        (Message(role="user", content=text),),
        max_new_tokens=_most_tokens(criteria) + way.max_tokens,
        temperature=way.temperature,
        top_k=way.top_k,
        seed=seed if way.temperature > 0 else 0,
        schema=schema_of(criteria, reasoned=reasoned),
        thinking=replace(thinking, seed=seed) if thinking and thinking.on else thinking,
    )


def read_scores(criteria: Sequence[Criterion], answer: Completion | JudgeFailure) -> dict[str, Verdict] | JudgeFailure:
    """The verdict on each criterion, all probability on the score that was given; or why there is none.

    The usage of the call is that of the first criterion's verdict, so that it is counted once.
    """
    if isinstance(answer, JudgeFailure):
        return answer
    try:
        given = from_json(_unfenced(answer.text))
    except ValueError:
        return _failure("cut off by the token limit" if not answer.finished else "not JSON", answer)
    if not isinstance(given, dict):
        return _failure("not a JSON object", answer)
    scores: dict[str, str] = {}
    for criterion in criteria:
        score: object = given.get(criterion.name)
        if isinstance(score, bool) or str(score) not in SCALE:
            return _failure(f"no score from 1 to 10 for {criterion.name}", answer)
        scores[criterion.name] = str(score)
    rationale = str(given.get(RATIONALE) or "").strip() or shown_thought(answer)
    usages = [answer.usage, *[Usage()] * (len(criteria) - 1)]
    return {
        name: Verdict(
            probabilities={value: float(value == score) for value in SCALE},
            choice_mass=1.0,
            rationale=rationale,
            votes=1,
            usage=usage,
        )
        for (name, score), usage in zip(scores.items(), usages, strict=True)
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


def _demanded(criteria: Sequence[Criterion], *, reasoned: bool) -> str:
    """How the answer is asked for, with its form."""
    form: dict[str, object] = {RATIONALE: "two to four sentences"} if reasoned else {}
    form |= {criterion.name: "a whole number from 1 to 10" for criterion in criteria}
    return f"Answer with one JSON object of this form and nothing else:\n{json.dumps(form, ensure_ascii=False)}"


def _unfenced(text: str) -> str:
    """The text without the fence of a code block around it. No regular expression: on long runs of white space it would
    take hours.
    """
    text = text.strip()
    if len(text) < 2 * len(_FENCE) or not (text.startswith(_FENCE) and text.endswith(_FENCE)):
        return text
    return text[len(_FENCE) : -len(_FENCE)].removeprefix("json")


def _most_tokens(criteria: Sequence[Criterion]) -> int:
    """Length limit of an answer: a name's bytes are more than its tokens."""
    return _OVERHEAD + sum(len(criterion.name.encode()) + _OVERHEAD for criterion in criteria)


def _failure(what: str, answer: Completion) -> JudgeFailure:
    detail = f"the judge was asked for JSON scores, and its answer is unusable ({what}): {answer.text[:80]!r}"
    return JudgeFailure(reason="no_answer", detail=detail, usage=answer.usage)
