"""A language model whose calls are all recorded in the ledger before their results are used."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TypeAlias, TypeVar

from preceptor.backends.base import (
    UNWANTED,
    Admission,
    ChoiceLogProbs,
    ChooseRequest,
    CompleteRequest,
    Completion,
    Indexed,
    LanguageModel,
    Thinking,
    is_recoverable,
)
from preceptor.core.hashing import canonical_json
from preceptor.core.ticks import tick
from preceptor.core.types import JudgeFailure, Rater, Usage
from preceptor.judging.admission import BudgetedAdmission, Estimating
from preceptor.store.call_rows import JSON, Call, Sent, call_key
from preceptor.store.ledger import Ledger

CHARACTERS_PER_TOKEN = 1024
"""Most characters per token of a completion: several times the length of the longest tokens, runs of white space.
"""
MOST_CHARACTERS = 1 << 20
"""Most characters of a completion. A longer one exceeds its token limit, and would be copied into files that quote it.
"""

Result: TypeAlias = ChoiceLogProbs | Completion | JudgeFailure
Request = TypeVar("Request", ChooseRequest, CompleteRequest)
Answer = TypeVar("Answer", ChoiceLogProbs, Completion)


@dataclass(frozen=True)
class _Calls:
    """Calls that are asked of the model."""

    operation: str
    keys: Sequence[str]
    contents: Sequence[str]
    """Their requests in canonical JSON."""


class RecordedModel:
    """Answers requests from the ledger if it can, asks the model the others, and records each batch as it completes."""

    def __init__(self, model: LanguageModel, ledger: Ledger, rater: Rater) -> None:
        self.model = model
        self._ledger = ledger
        self._rater = canonical_json(rater.model_dump(mode="json"))
        self.identity = rater.model
        """The identity of the model as it is asked here. With the request, it is the key of a recorded call."""
        self.estimating = Estimating()
        """What calls have shown about the estimates of their cost."""
        self.hits = 0
        """Requests answered from the ledger, or by an identical request that was asked at the same time, in this
        process."""
        self.asked = 0
        """Requests that were sent to the model in this process."""

    def choose(self, requests: Sequence[ChooseRequest]) -> Iterator[Indexed[ChoiceLogProbs | JudgeFailure]]:
        """As `LanguageModel.choose`; identical requests are asked once.

        Raises: PreceptorError when the budget allows no further call.
        """
        return self._recorded("choose", requests, self.model.choose, _choice_from_json)

    def complete(self, requests: Sequence[CompleteRequest]) -> Iterator[Indexed[Completion | JudgeFailure]]:
        """As `LanguageModel.complete`; identical requests (with the same seed) are asked once.

        Raises: PreceptorError when the budget allows no further call.
        """
        return self._recorded("complete", requests, self.model.complete, _completion_from_json)

    def _recorded(
        self,
        operation: str,
        requests: Sequence[Request],
        ask: Callable[[Sequence[Request], Admission], Iterator[Indexed[Answer | JudgeFailure]]],
        from_json: Callable[[JSON], Answer],
    ) -> Iterator[Indexed[Answer | JudgeFailure]]:
        contents = [canonical_json(_request_json(request)) for request in requests]
        places: dict[str, list[int]] = {}
        for index, content in enumerate(contents):
            places.setdefault(call_key(operation, self.identity, content), []).append(index)
        with self._ledger.claims.take(places) as claimed:
            known = self._ledger.find(claimed.own)
            missing = [key for key in claimed.own if key not in known]
            self.hits += len(requests) - len(missing)
            found = [(key, _valid(requests[places[key][0]], _from_json(o, from_json))) for key, o in known.items()]
            if found:
                yield [(i, result) for key, result in found for i in places[key]]
            for key, result in found:
                claimed.end(key, result)
            calls = _Calls(operation, missing, [contents[places[key][0]] for key in missing])
            asked = [requests[places[key][0]] for key in missing]
            for batch in self._ask(calls, asked, ask):
                for key, result in batch:
                    if not _unwanted(result):  # others may still want it
                        claimed.end(key, result)
                yield [(index, result) for key, result in batch for index in places[key]]
        # Last, so that no thread that waits here keeps others waiting for its own calls.
        given_up: list[int] = []
        for key, waited in claimed.others.items():
            result: Answer | JudgeFailure | None = waited.result()
            if result is None:
                given_up += places[key]
            else:
                yield [(index, result) for index in places[key]]
        if given_up:
            for batch in self._recorded(operation, [requests[i] for i in given_up], ask, from_json):
                yield [(given_up[i], result) for i, result in batch]

    def _ask(
        self,
        calls: "_Calls",
        requests: Sequence[Request],
        ask: Callable[[Sequence[Request], Admission], Iterator[Indexed[Answer | JudgeFailure]]],
    ) -> Iterator[list[tuple[str, Answer | JudgeFailure]]]:
        """Asks the model. Yields batches of results by the keys of their calls, once they are on record.

        Raises: PreceptorError when the budget allows no further call.
        """
        admission = BudgetedAdmission(
            self._ledger,
            self.model.price,
            lambda i, usage, dollars: self._sent(calls.operation, calls.keys[i], usage, dollars),
            self.estimating,
            recoverable=is_recoverable(self.model),
        )
        answered = 0
        try:
            for answers in ask(requests, admission):
                batch = [(i, _valid(requests[i], result)) for i, result in answers]
                self._ledger.record(self._call(calls, i, result) for i, result in batch)
                admission.settle([(i, result.usage) for i, result in batch])
                answered += len(batch)
                self.asked += len(batch)
                tick("answers", answered, len(requests))
                yield [(calls.keys[i], result) for i, result in batch]
        finally:
            # Some are left where iteration ended early: by an error, or because the caller stopped.
            if left := admission.abandon():
                self._ledger.interrupt([calls.keys[i] for i in left])
        lacking = admission.refused if answered < len(requests) else admission.failed
        if lacking is not None:
            raise self._ledger.refuse(lacking)

    def _sent(self, operation: str, key: str, usage: Usage, dollars: float | None) -> Sent:
        tokens = (usage.prompt_tokens, usage.completion_tokens)
        return Sent(key, operation, self.identity, self._rater, *tokens, dollars)

    def _call(self, calls: "_Calls", index: int, result: Result) -> Call:
        failure, usage, price = isinstance(result, JudgeFailure) and result, result.usage, self.model.price
        return Call(
            operation=calls.operation,
            key=calls.keys[index],
            model=self.identity,
            rater=self._rater,
            request=calls.contents[index],
            outcome=_to_json(result),
            failed=bool(failure),
            transient=failure and failure.transient,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost_usd=None if price is None else price.cost(usage),
            estimated=usage.estimated,
            cached_tokens=usage.cached_tokens,
        )


def _unwanted(result: Result) -> bool:
    return isinstance(result, JudgeFailure) and result.detail == UNWANTED.detail


def _valid(request: Request, result: Answer | JudgeFailure) -> Answer | JudgeFailure:
    """A result in a form that can be recorded: lone surrogates, which no file can hold, become question marks; a
    completion or a thought that is longer than its tokens allow becomes a failure.
    """
    if isinstance(result, JudgeFailure):
        return result.model_copy(update={"detail": _unicode(result.detail)})
    thinking = request.thinking.tokens if request.thinking else 0
    too_long = _too_long(result.thought, max(thinking, 1))
    if isinstance(result, Completion) and isinstance(request, CompleteRequest):
        too_long = too_long or _too_long(result.text, request.max_new_tokens)
    if too_long:
        return JudgeFailure(reason="no_answer", detail=too_long, usage=result.usage)
    if isinstance(result, Completion):
        return replace(result, text=_unicode(result.text), thought=_unicode(result.thought))
    return replace(result, thought=_unicode(result.thought)) if result.thought else result


def _too_long(text: str, tokens: int) -> str:
    """What is wrong with a text that is longer than its tokens allow; otherwise empty."""
    most = min(CHARACTERS_PER_TOKEN * tokens, MOST_CHARACTERS)
    return f"{len(text):,} characters, more than the {most:,} allowed for {tokens} tokens" if len(text) > most else ""


def _unicode(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


_LATER = ("schema", "thinking")
"""Fields that requests did not always have. Unset, they are left out, so that calls in older ledgers are found."""


def _thinking_json(thinking: Thinking) -> JSON:
    return {key: value for key, value in asdict(thinking).items() if key != "plain_tags" or value}


def _request_json(request: ChooseRequest | CompleteRequest) -> JSON:
    content: JSON = {
        key: list(value)
        if key in ("choices", "stop")
        else _thinking_json(value)
        if isinstance(value, Thinking)
        else value
        for key, value in vars(request).items()
        if not (key in _LATER and value is None)
    }
    if not isinstance(request.prompt, str):
        content["prompt"] = [message.wire() for message in request.prompt]
    return content


def _to_json(result: Result) -> JSON:
    if isinstance(result, JudgeFailure):
        return {"failure": result.model_dump(mode="json")}
    usage = result.usage.model_dump(mode="json")
    thought: JSON = {"thought": result.thought} if result.thought else {}
    thought |= {"thought_cut": True} if result.thought_cut else {}
    if isinstance(result, Completion):
        return {"text": result.text, "finished": result.finished, "usage": usage} | thought
    # As text: JSON has no NaN or infinity, and a backend's numbers are kept exactly.
    log_probs = [repr(lp) for lp in result.log_probs]
    outcome: JSON = {"log_probs": log_probs, "usage": usage} | thought
    return outcome if result.votes is None else {**outcome, "votes": result.votes}


def _from_json(outcome: JSON, from_json: Callable[[JSON], Answer]) -> Answer | JudgeFailure:
    """The recorded result, or a failure if it cannot be read, so that one bad row does not stop the others."""
    try:
        return JudgeFailure.model_validate(outcome["failure"]) if "failure" in outcome else from_json(outcome)
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        problem = f"the ledger holds no usable answer: {type(error).__name__}"
        return JudgeFailure(reason="no_answer", detail=problem)


def _choice_from_json(outcome: JSON) -> ChoiceLogProbs:
    log_probs, votes = outcome["log_probs"], outcome.get("votes")
    assert isinstance(log_probs, list)
    assert votes is None or isinstance(votes, int)
    usage = Usage.model_validate(outcome["usage"])
    return ChoiceLogProbs(tuple(float(lp) for lp in log_probs), usage, votes, *_thought_from_json(outcome))


def _completion_from_json(outcome: JSON) -> Completion:
    usage = Usage.model_validate(outcome["usage"])
    return Completion(str(outcome["text"]), bool(outcome["finished"]), usage, *_thought_from_json(outcome))


def _thought_from_json(outcome: JSON) -> tuple[str, bool]:
    return str(outcome.get("thought", "")), bool(outcome.get("thought_cut", False))
