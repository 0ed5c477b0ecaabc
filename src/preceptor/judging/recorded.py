"""A language model whose every call is in the ledger before its result is used."""

from collections.abc import Iterator, Sequence

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, Indexed, LanguageModel
from preceptor.core.types import JudgeFailure, Rater, Usage
from preceptor.store.ledger import JSON, Call, Ledger, call_key


class RecordedModel:
    """Answers from the ledger what it holds, asks the model the rest, and records each batch as it completes."""

    def __init__(self, model: LanguageModel, ledger: Ledger, rater: Rater) -> None:
        self._model = model
        self._ledger = ledger
        self._rater = rater.model_dump(mode="json")
        self.hits = 0
        """Requests answered from the ledger, or by an identical request of the same batch, in this process."""

    def choose(self, requests: Sequence[ChooseRequest]) -> Iterator[Indexed[ChoiceLogProbs | JudgeFailure]]:
        """As `LanguageModel.choose`; identical requests are asked once."""
        contents = [_request_json(request) for request in requests]
        places: dict[str, list[int]] = {}
        for index, content in enumerate(contents):
            places.setdefault(call_key("choose", self._model.identity, content), []).append(index)
        known = self._ledger.find(list(places))
        if known:
            yield [(index, _from_json(outcome)) for key, outcome in known.items() for index in places[key]]
        missing = [key for key in places if key not in known]
        self.hits += len(requests) - len(missing)

        asked = [requests[places[key][0]] for key in missing]
        for batch in self._model.choose(asked):
            self._ledger.record(self._call(contents[places[missing[i]][0]], result) for i, result in batch)
            yield [(index, result) for i, result in batch for index in places[missing[i]]]

    def _call(self, request: JSON, result: ChoiceLogProbs | JudgeFailure) -> Call:
        failed = isinstance(result, JudgeFailure)
        usage = Usage() if failed else result.usage
        return Call(
            operation="choose",
            model=self._model.identity,
            rater=self._rater,
            request=request,
            outcome=_to_json(result),
            failed=failed,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
        )


def _request_json(request: ChooseRequest) -> JSON:
    prompt: object = request.prompt
    if not isinstance(request.prompt, str):
        prompt = [message.model_dump() for message in request.prompt]
    return {"prompt": prompt, "choices": list(request.choices), "prefill": request.prefill}


def _to_json(result: ChoiceLogProbs | JudgeFailure) -> JSON:
    if isinstance(result, JudgeFailure):
        return {"failure": result.model_dump(mode="json")}
    # As text: JSON has no NaN and no infinity, and what a backend said is kept as it was said.
    return {"log_probs": [repr(lp) for lp in result.log_probs], "usage": result.usage.model_dump(mode="json")}


def _from_json(outcome: JSON) -> ChoiceLogProbs | JudgeFailure:
    if "failure" in outcome:
        return JudgeFailure.model_validate(outcome["failure"])
    log_probs = outcome["log_probs"]
    assert isinstance(log_probs, list)
    return ChoiceLogProbs(tuple(float(lp) for lp in log_probs), Usage.model_validate(outcome["usage"]))
