"""Pairs whose better response is known without a judge, after "Self-Taught Evaluators" (Wang et al. 2024, arXiv
2408.02666).

A model writes another prompt, like the given one in topic and form, that asks for something else, and answers both. As
answers to the given prompt, the one to it is the better: the other answers something that nobody asked.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import Field

from preceptor.backends.base import CompleteRequest, Completion, LanguageModel
from preceptor.core.settings import Settings
from preceptor.core.types import JudgeFailure, Message, Prompt, Rater, Real, Seed, Tokens
from preceptor.judging.render import prompt_text, tagged
from preceptor.judging.writer import Writer, stripped
from preceptor.store.ledger import Ledger

OPENING = "Other prompt:"
_TASK = (
    "For each prompt, write another one that is like it in topic and form but asks for something else: what answers "
    "one does not answer the other. Write the other prompt and nothing else; do not answer it."
)
_OF_A_CONVERSATION = "Where the prompt is a conversation, write another last message of the user."
_EXAMPLES = (
    ("How do I keep basil alive indoors?", "How do I dry basil that I cut in summer?"),
    ("Write a short poem about the sea.", "Write a short poem about a train at night."),
)
_NEXT_PROMPT = re.compile(r"\n\s*(?:\w+ )?prompt:", re.IGNORECASE)
_BLANK_LINE = re.compile(r"\n\s*\n")


class ConstructionSettings(Settings):
    """How changed prompts and answers are sampled."""

    temperature: Real = Field(default=0.7, ge=0, le=100)
    """Sampling temperature of changed prompts and of answers; 0 is greedy."""
    max_new_tokens: Tokens = Field(default=256, ge=8)
    """Length limit of a changed prompt or an answer, in tokens."""
    seed: Seed = 0


@dataclass(frozen=True)
class Constructed:
    """A prompt, the changed prompt, and the answers to both."""

    prompt: Prompt
    changed: Prompt
    chosen: Completion
    """The answer to the prompt."""
    rejected: Completion
    """The answer to the changed prompt."""


WhyDropped = Literal["no changed prompt", "changed prompt cut", "same prompt", "same answer"]


@dataclass(frozen=True)
class Dropped:
    """A prompt that gave no pair, although every call was answered."""

    reason: WhyDropped
    changed: str
    """The changed prompt, as the model wrote it."""


Outcome: TypeAlias = Constructed | Dropped | JudgeFailure


class PairConstructor:
    """A language model that answers prompts, and others like them."""

    def __init__(self, model: LanguageModel, settings: ConstructionSettings, ledger: Ledger) -> None:
        self.settings = settings
        rater = Rater(
            model=model.identity,
            constitution="none",
            constitution_hash="none",
            settings=settings.model_dump(mode="json") | {"role": "constructor"},
        )
        self._writer = Writer(model, ledger, rater, temperature=settings.temperature, seed=settings.seed)

    def construct(self, prompts: Sequence[Prompt]) -> list[Outcome]:
        """A pair for each prompt, or why there is none, in order.

        Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
        """
        written = self._writer.complete([self._changing(prompt) for prompt in prompts])
        changed = [_changed(prompt, text) for prompt, text in zip(prompts, written, strict=True)]
        made = iter(self._pairs([(p, c) for p, c in zip(prompts, changed, strict=True) if isinstance(c, Prompt)]))
        return [next(made) if isinstance(outcome, Prompt) else outcome for outcome in changed]

    def _pairs(self, prompts: Sequence[tuple[Prompt, Prompt]]) -> list[Outcome]:
        """The pair of each prompt and changed prompt."""
        own = [self._answering(prompt, "answer") for prompt, _ in prompts]
        others = [self._answering(changed, "answer to the changed prompt") for _, changed in prompts]
        answers = [stripped(answer) for answer in self._writer.complete([*own, *others])]
        return [
            _pair(prompt, changed, answer, other)
            for (prompt, changed), answer, other in zip(prompts, answers[: len(own)], answers[len(own) :], strict=True)
        ]

    def _changing(self, prompt: Prompt) -> CompleteRequest:
        task = _TASK if len(prompt.conversation) == 1 else f"{_TASK} {_OF_A_CONVERSATION}"
        shown = [f"{tagged('prompt', example)}\n{OPENING} {other}" for example, other in _EXAMPLES]
        asked = "\n\n".join((task, *shown, tagged("prompt", prompt_text(prompt.conversation))))
        return self._writer.text(asked, OPENING, self.settings.max_new_tokens, ("changed prompt", prompt.id))

    def _answering(self, prompt: Prompt, purpose: str) -> CompleteRequest:
        return self._writer.answer(prompt, self.settings.max_new_tokens, (purpose, prompt.id))


def _pair(
    prompt: Prompt, changed: Prompt, chosen: Completion | JudgeFailure, rejected: Completion | JudgeFailure
) -> Outcome:
    if isinstance(chosen, JudgeFailure):
        return chosen
    if isinstance(rejected, JudgeFailure):
        return rejected
    if _compared(chosen.text) == _compared(rejected.text):
        return Dropped("same answer", changed.text)
    return Constructed(prompt, changed, chosen, rejected)


def _changed(prompt: Prompt, written: Completion | JudgeFailure) -> Prompt | Dropped | JudgeFailure:
    """The prompt with the changed text in its last message; or why there is none."""
    if isinstance(written, JudgeFailure):
        return written
    text, ended = changed_text(written.text, prompt.text)
    if not any(character.isalnum() for character in text):
        return Dropped("no changed prompt", text)
    if not (ended or written.finished):
        return Dropped("changed prompt cut", text)
    if _compared(text) == _compared(prompt.text):
        return Dropped("same prompt", text)
    message = Message(role="user", content=text)
    return prompt.model_copy(update={"conversation": (*prompt.conversation[:-1], message)})


def changed_text(written: str, original: str) -> tuple[str, bool]:
    """The changed prompt in what a model wrote, and whether more followed it.

    Small models write on: a further prompt, or a remark after a blank line, which ends the changed prompt where the
    original has no blank line either.
    """
    text = written.strip().removeprefix(OPENING).strip()
    ends = [_NEXT_PROMPT] if _BLANK_LINE.search(original.strip()) else [_NEXT_PROMPT, _BLANK_LINE]
    place = min((found.start() for end in ends if (found := end.search(text))), default=len(text))
    return text[:place].strip(), place < len(text)


def _compared(text: str) -> str:
    """The text without what makes no difference: case, white space, and quotes and full stops at its ends."""
    return " ".join(text.casefold().split()).strip(" .?!\"'“”")
