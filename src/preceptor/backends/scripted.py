"""A language model without weights, whose answers come from a function: for tests and for controls in experiments."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from preceptor.backends.base import (
    FREE,
    Admission,
    ChoiceLogProbs,
    ChooseRequest,
    CompleteRequest,
    Completion,
    Indexed,
    ThinkingLevel,
)
from preceptor.core.errors import UsageError, nearest
from preceptor.core.hashing import unit_hash
from preceptor.core.types import Conversation, JudgeFailure, Usage

ChooseScript: TypeAlias = Callable[[ChooseRequest], ChoiceLogProbs | JudgeFailure]
CompleteScript: TypeAlias = Callable[[CompleteRequest], Completion | JudgeFailure]


def random_choice(request: ChooseRequest) -> ChoiceLogProbs:
    """Log-odds from a hash of the prompt: a judge that is consistent but knows nothing.

    The first of two choices has log-odds between -2 and 2, about the spread of a real small judge.
    """
    logits = [4.0 * unit_hash(str(request.prompt), choice) for choice in request.choices]
    log_total = math.log(sum(math.exp(logit) for logit in logits))
    return ChoiceLogProbs(tuple(logit - log_total for logit in logits), Usage(prompt_tokens=1))


def first_choice(request: ChooseRequest) -> ChoiceLogProbs:
    """Nearly all probability on the first choice: a judge that always gives the same answer."""
    rest = 0.01 / (len(request.choices) - 1)
    return ChoiceLogProbs(tuple(math.log(0.99 if i == 0 else rest) for i in range(len(request.choices))))


def echo(request: CompleteRequest) -> Completion:
    """The end of the prompt, repeated; where an answer of a JSON schema is asked for, one that fits it, of the prompt's
    words.
    """
    text = request.prompt if isinstance(request.prompt, str) else request.prompt[-1].content
    if request.schema is not None:
        return Completion(json.dumps(_of_schema(request.schema, text, ())), finished=True)
    return Completion(text[-request.max_new_tokens :], finished=True)


def _of_schema(schema: Any, text: str, place: tuple[str | int, ...]) -> Any:
    """A value that fits a schema of objects, lists (of three), choices, whole numbers and texts; by a hash."""
    chance = unit_hash(text, schema.get("type", ""), *place)
    if "enum" in schema:
        return schema["enum"][int(chance * len(schema["enum"]))]
    if schema.get("type") == "object":
        return {key: _of_schema(value, text, (*place, key)) for key, value in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [_of_schema(schema["items"], text, (*place, i)) for i in range(3)]
    if schema.get("type") == "integer":
        return 1 + int(9 * chance)
    words = text.split() or ["text"]
    return " ".join(words[int(unit_hash(text, *place, i) * len(words))] for i in range(4))


SCRIPTS: dict[str, ChooseScript] = {"random": random_choice, "first": first_choice}


class ScriptedModel:
    """A `LanguageModel` whose answers come from functions. It keeps every request in `asked`."""

    prefill = True
    price = FREE
    concurrency = 32

    def __init__(
        self,
        name: str,
        choose: ChooseScript,
        complete: CompleteScript = echo,
        *,
        batch_size: int = 8,
        chat: bool = True,
        context_window: int | None = None,
        thinks: bool = False,
    ) -> None:
        self.identity = f"scripted:{name}"
        self.chat = chat
        self.context_window = context_window
        self._thinks = thinks
        self.asked: list[ChooseRequest | CompleteRequest] = []
        self._choose = choose
        self._complete = complete
        self._batch_size = batch_size

    def thinking_identity(self, level: ThinkingLevel) -> str:
        """The identity.

        Raises: UsageError unless the model was made to think: its functions then give thoughts.
        """
        if not self._thinks and level != "off":
            raise UsageError(f"{self.identity} cannot think before it answers; leave out thinking")
        return self.identity

    def count_tokens(self, prompt: str | Conversation) -> int:
        """One token per word."""
        texts = [prompt] if isinstance(prompt, str) else [message.content for message in prompt]
        return sum(len(text.split()) for text in texts)

    @classmethod
    def named(cls, name: str) -> "ScriptedModel":
        """The scripted model behind the model string `scripted:NAME`.

        Raises: UsageError for an unknown name.
        """
        if name not in SCRIPTS:
            raise UsageError(f'there is no scripted model "{name}"; {nearest(name, SCRIPTS)}')
        return cls(name, SCRIPTS[name])

    def choose(
        self, requests: Sequence[ChooseRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[ChoiceLogProbs | JudgeFailure]]:
        """Answers from the script, in batches."""
        for start in range(0, len(requests), self._batch_size):
            batch = requests[start : start + self._batch_size]
            admitted = batch[: self._admitted(admission, range(start, start + len(batch)))]
            self.asked.extend(admitted)
            if admitted:
                yield [(start + i, self._choose(request)) for i, request in enumerate(admitted)]
            if len(admitted) < len(batch):
                return

    def complete(
        self, requests: Sequence[CompleteRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[Completion | JudgeFailure]]:
        """Continuations from the script, one by one."""
        for index, request in enumerate(requests):
            if not self._admitted(admission, range(index, index + 1)):
                return
            self.asked.append(request)
            yield [(index, self._complete(request))]

    def _admitted(self, admission: Admission | None, indices: range) -> int:
        """How many requests may be sent: all if they are free, otherwise as many as are admitted at one token each."""
        if admission is None or self.price == FREE:
            return len(indices)
        return admission.admit([(index, Usage(prompt_tokens=1)) for index in indices])
