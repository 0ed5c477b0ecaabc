"""Asking a judge: a question with a few answers, put at once or after the judge has reasoned about it.

A chat model is asked in a conversation, and the beginning of its answer is given, so that its next word is the verdict.
If a server cannot continue a given beginning, the model is asked to answer with the verdict and nothing else. A base
model continues plain text. With chain of thought, the rationale is decoded first and put between the question and the
same beginning of the answer (Lee et al. 2023, section 2.1).
"""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace

from preceptor.backends.base import (
    ChooseRequest,
    CompleteRequest,
    Completion,
    LanguageModel,
    Thinking,
    calls_of,
    in_order,
)
from preceptor.core.errors import UsageError
from preceptor.core.types import Conversation, JudgeFailure, Message, Usage, Verdict, total_usage
from preceptor.judging.parsing import parse_choice
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.render import PLAIN_STOP, without_tags

CLOSING_TOKENS = 16
"""More tokens than any template needs to open and close a thought."""
REASONING = "Reasoning:"
"""Opens a rationale in plain text."""


@dataclass(frozen=True)
class Question:
    """One question to a judge."""

    text: str
    """The whole question, up to where the answer begins."""
    ending: str
    """How the answer begins, for instance "Preferred response:"."""
    choices: tuple[str, ...]
    reason: str
    """How a rationale is asked for."""
    seed: int = 0
    """Seed of the rationale, or of the thought."""
    thinking: Thinking | None = None
    """How the model thinks before it answers; None to say nothing of it."""

    @property
    def answers(self) -> str:
        """The choices in words: 1, 2 or tie."""
        return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"


@dataclass(frozen=True)
class Reasoning:
    """How a judge reasons before it answers."""

    max_tokens: int
    temperature: float = 0.0
    """0 is greedy decoding."""
    top_k: int | None = None


@dataclass(frozen=True)
class Demand:
    """The cost of judging: calls of the model, and the tokens that they are billed for."""

    calls: int
    usage: Usage


def ask(
    model: RecordedModel, questions: Sequence[Question], reasoning: Reasoning | None = None
) -> list[Verdict | JudgeFailure]:
    """A verdict or a failure for each question, in order.

    Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
    """
    if reasoning is None:
        return _answers(model, [(q, _final_request(model.model, q, None)) for q in questions])
    requests = [_reasoning_request(model.model, q, reasoning) for q in questions]
    rationales = in_order(model.complete(requests), len(requests))
    reasoned = [(q, r) for q, r in zip(questions, rationales, strict=True) if isinstance(r, Completion)]
    verdicts = iter(_answers(model, [(q, _final_request(model.model, q, r.text)) for q, r in reasoned]))
    return [r if isinstance(r, JudgeFailure) else _with_rationale(next(verdicts), r) for r in rationales]


def taught_answer(
    model: LanguageModel, question: Question, choice: str, rationale: str | None
) -> tuple[Conversation, str]:
    """What a chat model has to answer to a question, to learn to judge: exactly as it will be asked.

    Args:
        choice: the right one of the question's choices.
        rationale: what it says first; None if it answers at once.

    Returns: the conversation, and the answer.
    Raises: UsageError when the model takes no conversations, or its answer cannot be begun for it.
    """
    request = _final_request(model, question, rationale)
    if isinstance(request.prompt, str) or not model.prefill:
        raise UsageError(f"{model.identity} cannot learn to judge: it needs a chat template")
    return request.prompt, f"{request.prefill} {choice}"


def reasoned_conversation(question: Question) -> Conversation:
    """What a chat model is asked when it is to reason before it answers."""
    return (Message(role="user", content=f"{question.text}\n\n{question.reason}"),)


def longest_request(model: LanguageModel, question: Question, reasoning: Reasoning | None) -> int:
    """Tokens of the window that the longest request of a question needs, rationale and answer included."""
    final = _final_request(model, question, None if reasoning is None else "")
    answer = final.prefill + max(final.choices, key=len)
    asked = model.count_tokens(final.prompt) + model.count_tokens(answer) + 8
    asked += question.thinking.tokens + CLOSING_TOKENS if question.thinking else 0
    return asked + (0 if reasoning is None else reasoning.max_tokens)


def demand_of(model: LanguageModel, questions: Sequence[Question], reasoning: Reasoning | None) -> Demand:
    """The cost of asking all questions if none is on record; a rationale counts at its full length."""
    usage = total_usage(request_tokens(model, question, reasoning) for question in questions)
    calls = sum(calls_of(model, question.thinking) for question in questions)
    return Demand(calls + (0 if reasoning is None else len(questions)), usage)


def request_tokens(model: LanguageModel, question: Question, reasoning: Reasoning | None) -> Usage:
    """Tokens that all calls of a question are billed for, a rationale or a thought at its full length."""
    final = _final_request(model, question, None if reasoning is None else "")
    prompt = model.count_tokens(final.prompt)
    if reasoning is None:
        calls, thought = calls_of(model, final.thinking), final.thinking.tokens if final.thinking else 0
        return Usage(prompt_tokens=calls * prompt, completion_tokens=calls * (thought + 1))
    return Usage(prompt_tokens=2 * prompt + reasoning.max_tokens, completion_tokens=reasoning.max_tokens + 1)


def _answers(model: RecordedModel, asked: Sequence[tuple[Question, ChooseRequest]]) -> list[Verdict | JudgeFailure]:
    results = in_order(model.choose([request for _, request in asked]), len(asked))
    return [parse_choice(question.choices, result) for (question, _), result in zip(asked, results, strict=True)]


def _without_verdict(rationale: str, ending: str) -> str:
    """The rationale up to where the judge begins to state its verdict, which is read from probabilities, not from
    words.
    """
    before, *verdict = re.split(re.escape(ending.rstrip(":")), rationale, maxsplit=1, flags=re.IGNORECASE)
    return before.rstrip("*#_" + string.whitespace).lstrip() if verdict else before.strip()


def _with_rationale(verdict: Verdict | JudgeFailure, rationale: Completion) -> Verdict | JudgeFailure:
    if isinstance(verdict, JudgeFailure):
        return verdict
    usage = total_usage((verdict.usage, rationale.usage))
    return verdict.model_copy(update={"rationale": rationale.text.strip(), "usage": usage})


def _reasoning_request(model: LanguageModel, question: Question, reasoning: Reasoning) -> CompleteRequest:
    prompt: str | Conversation = f"{question.text}\n\n{question.reason}\n\n{REASONING}"
    if model.chat:
        prompt = reasoned_conversation(question)
    return CompleteRequest(
        prompt,
        max_new_tokens=reasoning.max_tokens,
        temperature=reasoning.temperature,
        top_k=reasoning.top_k if reasoning.temperature > 0 else None,
        stop=() if model.chat else PLAIN_STOP,
        seed=question.seed if reasoning.temperature > 0 else 0,
        thinking=question.thinking,
    )


def _final_request(model: LanguageModel, question: Question, rationale: str | None) -> ChooseRequest:
    """The request whose answer is the verdict; `rationale` is None if none was asked for."""
    thinking = question.thinking
    if thinking is None or not thinking.on:
        return replace(_request_at_once(model, question, rationale), thinking=thinking)
    # The same for every model: a server that thinks and answers in one call takes no beginning of the answer.
    turns = (Message(role="user", content=f"{question.text}\n\n{_alone(question)}"),)
    return ChooseRequest(turns, question.choices, thinking=replace(thinking, seed=question.seed))


def _alone(question: Question) -> str:
    return f"Answer with {question.answers} and nothing else."


def _request_at_once(model: LanguageModel, question: Question, rationale: str | None) -> ChooseRequest:
    """The request whose next words are the verdict."""
    words = None if rationale is None else _without_verdict(without_tags(rationale), question.ending)
    spaced = tuple(f" {choice}" for choice in question.choices)
    request = f"Answer with {question.answers}." if words is None else question.reason
    if not model.chat:
        reasoned = "" if words is None else f"\n\n{REASONING} {words}"
        return ChooseRequest(f"{question.text}\n\n{request}{reasoned}\n\n{question.ending}", spaced)
    turns: Conversation = (Message(role="user", content=f"{question.text}\n\n{request}"),)
    if model.prefill:
        begun = question.ending if not words else f"{words}\n\n{question.ending}"
        return ChooseRequest(turns, spaced, prefill=begun)
    alone = _alone(question)
    if words is None:
        turns = (Message(role="user", content=f"{question.text}\n\n{alone}"),)
    else:
        turns = (*turns, Message(role="assistant", content=words or "."), Message(role="user", content=alone))
    return ChooseRequest(turns, question.choices)
