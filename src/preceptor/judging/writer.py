"""A model that writes texts of its own: answers to prompts, and what an instruction asks for."""

from collections.abc import Sequence
from dataclasses import replace

from preceptor.backends.base import CompleteRequest, Completion, LanguageModel, in_order
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Conversation, JudgeFailure, Message, Prompt, Rater
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.render import PLAIN_STOP, plain_request
from preceptor.store.ledger import Ledger


class Writer:
    """A language model whose texts are all sampled alike, and whose calls are all on record."""

    def __init__(self, model: LanguageModel, ledger: Ledger, rater: Rater, *, temperature: float, seed: int) -> None:
        self._model = RecordedModel(model, ledger, rater)
        self._chat, self._prefill = model.chat, model.prefill
        self._temperature, self._seed = temperature, seed

    def complete(self, requests: Sequence[CompleteRequest]) -> list[Completion | JudgeFailure]:
        """The texts, or failures, in order.

        Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
        """
        return in_order(self._model.complete(requests), len(requests))

    def answer(self, prompt: Prompt, tokens: int, purpose: tuple[str | int, ...]) -> CompleteRequest:
        """The request for an answer to a prompt.

        Args:
            tokens: length limit.
            purpose: what the text is for; texts for different purposes use different random numbers.
        """
        return self._request(prompt.conversation if self._chat else plain_request(prompt), "", tokens, purpose)

    def text(self, instruction: str, opening: str, tokens: int, purpose: tuple[str | int, ...]) -> CompleteRequest:
        """The request for what an instruction asks for, with a given beginning where the model can continue one: not
        every chat model can.

        Args: `tokens` and `purpose` as for `answer`.
        """
        if not self._chat:
            return self._request(f"{instruction}\n\n{opening}", "", tokens, purpose)
        prefill = opening if self._prefill else ""
        return self._request((Message(role="user", content=instruction),), prefill, tokens, purpose)

    def _request(
        self, prompt: str | Conversation, prefill: str, tokens: int, purpose: tuple[str | int, ...]
    ) -> CompleteRequest:
        return CompleteRequest(
            prompt,
            max_new_tokens=tokens,
            prefill=prefill,
            temperature=self._temperature,
            stop=() if self._chat else PLAIN_STOP,
            seed=derive_seed(self._seed, *purpose),
        )


def stripped(result: Completion | JudgeFailure) -> Completion | JudgeFailure:
    """The completion without white space at its ends. An empty one is a failure."""
    if isinstance(result, JudgeFailure):
        return result
    text = result.text.strip()
    return replace(result, text=text) if text else JudgeFailure(reason="no_answer", detail="the model wrote nothing")


def text_of(result: Completion | JudgeFailure) -> str | JudgeFailure:
    """The text without white space at its ends. An empty one is a failure."""
    completion = stripped(result)
    return completion if isinstance(completion, JudgeFailure) else completion.text


def whole_text_of(result: Completion | JudgeFailure, limit: int) -> str | JudgeFailure:
    """As `text_of`, but a text that the length limit cut is a failure."""
    if isinstance(result, Completion) and not result.finished:
        return JudgeFailure(reason="no_answer", detail=f"cut after {limit} tokens")
    return text_of(result)
