"""Recorded questions that a model is asked again, to see whether it still answers as it did."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from preceptor.backends.base import ChooseRequest, LanguageModel, Thinking, in_order
from preceptor.core.types import Frozen, JsonObject, JudgeFailure, Message, Rater
from preceptor.judging.recorded import RecordedModel
from preceptor.store.calls import RecordedCall, verdicts_of
from preceptor.store.ledger import IN_MEMORY, Ledger


class Canary(Frozen):
    """A question that a model answered, as the ledger has it."""

    request: JsonObject
    p: tuple[float, ...] = Field(min_length=2)
    """The probability of each choice, summing to 1."""

    def asked(self) -> ChooseRequest:
        """The request as it was sent.

        Raises: ValueError, TypeError or KeyError for a request that no version of preceptor wrote.
        """
        fields: dict[str, Any] = dict(self.request)
        prompt, thinking = fields["prompt"], fields.get("thinking")
        return ChooseRequest(
            prompt if isinstance(prompt, str) else tuple(Message.model_validate(turn) for turn in prompt),
            tuple(fields["choices"]),
            str(fields.get("prefill", "")),
            None if thinking is None else Thinking(**thinking),
        )


@dataclass(frozen=True)
class AskedAgain:
    """The answers of one round, in the order of the questions, and what they cost."""

    answers: tuple[tuple[float, ...] | JudgeFailure, ...]
    """The probability of each choice of each question."""
    cost_usd: float | None
    """None where the price is unknown."""


def canaries_of(ledger: Path, identity: str, count: int) -> list[Canary]:
    """Recorded questions of a model, chosen by the hash of the call, so the same ones each time.

    Args:
        identity: of the model as it was asked.

    Raises: PreceptorError when the ledger cannot be read.
    """
    if not ledger.exists():
        return []
    return [canary for call in verdicts_of(ledger, identity, count) if (canary := _canary(call)) is not None]


def ask_again(
    model: LanguageModel, rater: Rater, canaries: Sequence[Canary], budget: float | None = None
) -> AskedAgain:
    """Asks a model the questions anew; no recorded answer is used, and none is replaced.

    Args:
        budget: the most dollars that the calls may cost.

    Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
    """
    requests = [canary.asked() for canary in canaries]
    with Ledger(IN_MEMORY, budget) as ledger:
        answers = in_order(RecordedModel(model, ledger, rater).choose(requests), len(requests))
        totals = ledger.totals()
    given = tuple(answer if isinstance(answer, JudgeFailure) else _answered(answer.log_probs) for answer in answers)
    return AskedAgain(given, None if totals.unpriced else totals.cost_usd)


def _answered(log_probs: Sequence[float]) -> tuple[float, ...] | JudgeFailure:
    try:
        return _probabilities(log_probs)
    except ValueError as error:
        return JudgeFailure(reason="no_answer", detail=str(error))


def _probabilities(log_probs: Sequence[float]) -> tuple[float, ...]:
    """Raises: ValueError when no choice has a probability."""
    highest = max(log_probs)
    if not math.isfinite(highest):
        raise ValueError("no choice has a probability")
    odds = [math.exp(log_prob - highest) for log_prob in log_probs]
    return tuple(each / sum(odds) for each in odds)


def _canary(call: RecordedCall) -> Canary | None:
    """None for a call that cannot be asked again: an answer without probability, or a damaged row."""
    try:
        log_probs: Any = call.outcome["log_probs"]
        canary = Canary(request=call.request, p=_probabilities([float(each) for each in log_probs]))
        return canary if len(canary.asked().choices) == len(canary.p) else None
    except (ValueError, TypeError, KeyError):
        return None
