"""Critique and revision: the supervised half of Constitutional AI (Bai et al. 2022, section 3).

A model drafts an answer, criticises it by one principle, and rewrites it. This can be repeated with other principles.
The revised answer is preferred to the draft, which needs no judge; the revised answers are the data for supervised
fine-tuning.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from preceptor.backends.base import CompleteRequest, LanguageModel
from preceptor.core.hashing import unit_hash
from preceptor.core.settings import Settings
from preceptor.core.types import Integer, JudgeFailure, Prompt, Rater, Real, Seed, Tokens
from preceptor.judging.constitution import Constitution
from preceptor.judging.render import prompt_text, tagged
from preceptor.judging.writer import Writer, text_of, whole_text_of
from preceptor.store.ledger import Ledger

CRITIQUE = "Critique:"
REVISION = "Revised response:"


class RevisionSettings(Settings):
    """How answers are drafted and revised."""

    rounds: Integer = Field(default=1, ge=1, le=100)
    """Rounds of critique and revision of each draft; each uses an unused principle while any is left."""
    temperature: Real = Field(default=0.7, ge=0, le=100)
    """Sampling temperature of drafts, critiques and revisions; 0 is greedy."""
    max_new_tokens: Tokens = Field(default=256, ge=8)
    """Length limit of a draft or a revision, in tokens."""
    critique_tokens: Tokens = Field(default=128, ge=8)
    """Length limit of a critique, in tokens."""
    seed: Seed = 0


@dataclass(frozen=True)
class Round:
    """One critique and the revision that followed it."""

    principle: int
    """Position of the principle, counted from 0."""
    critique: str
    revision: str


@dataclass(frozen=True)
class Revised:
    """A draft and its revisions."""

    prompt: Prompt
    draft: str
    rounds: tuple[Round, ...]

    @property
    def final(self) -> str:
        """The last revision."""
        return self.rounds[-1].revision


class Reviser:
    """A language model that criticises and rewrites its own answers by a constitution."""

    def __init__(
        self, model: LanguageModel, constitution: Constitution, settings: RevisionSettings, ledger: Ledger
    ) -> None:
        self.constitution = constitution
        self.settings = settings
        self.rater = Rater(
            model=model.identity,
            constitution=f"{constitution.name} {constitution.version}",
            constitution_hash=constitution.hash,
            settings=settings.model_dump(mode="json") | {"role": "reviser"},
        )
        self._writer = Writer(model, ledger, self.rater, temperature=settings.temperature, seed=settings.seed)

    def revise(self, prompts: Sequence[Prompt]) -> list[Revised | JudgeFailure]:
        """A revised answer or a failure for each prompt, in order. An empty text is a failure.

        Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
        """
        drafts = self._complete([self._draft_request(prompt) for prompt in prompts])
        latest, rounds = dict(enumerate(drafts)), [list[Round]() for _ in prompts]
        for number in range(self.settings.rounds):
            for i, outcome in self._round(prompts, latest, number).items():
                if isinstance(outcome, JudgeFailure):
                    latest[i] = outcome
                else:
                    latest[i] = outcome.revision
                    rounds[i].append(outcome)
        results: list[Revised | JudgeFailure] = []
        for i, draft in enumerate(drafts):
            failed = next((answer for answer in (draft, latest[i]) if isinstance(answer, JudgeFailure)), None)
            results.append(failed or Revised(prompts[i], str(draft), tuple(rounds[i])))
        return results

    def _round(
        self, prompts: Sequence[Prompt], latest: dict[int, str | JudgeFailure], number: int
    ) -> dict[int, Round | JudgeFailure]:
        """One round over the prompts that have an answer so far."""
        answers = {i: text for i, text in latest.items() if isinstance(text, str)}
        principles = {i: self._principle(prompts[i], number) for i in answers}
        criticised = self._complete(
            [self._critique_request(prompts[i], text, principles[i], number) for i, text in answers.items()]
        )
        critiques = dict(zip(answers, criticised, strict=True))
        rounds: dict[int, Round | JudgeFailure] = {i: c for i, c in critiques.items() if isinstance(c, JudgeFailure)}
        usable = {i: critique for i, critique in critiques.items() if isinstance(critique, str)}
        revised = self._revisions(
            [self._revision_request(prompts[i], answers[i], principles[i], c, number) for i, c in usable.items()]
        )
        for (i, critique), revision in zip(usable.items(), revised, strict=True):
            failed = isinstance(revision, JudgeFailure)
            rounds[i] = revision if failed else Round(principles[i], critique, revision)
        return rounds

    def _complete(self, requests: Sequence[CompleteRequest]) -> list[str | JudgeFailure]:
        return [text_of(result) for result in self._writer.complete(requests)]

    def _revisions(self, requests: Sequence[CompleteRequest]) -> list[str | JudgeFailure]:
        """As `_complete`, but a text that the length limit cut is a failure: no model should learn to stop there."""
        limit = self.settings.max_new_tokens
        return [whole_text_of(result, limit) for result in self._writer.complete(requests)]

    def _principle(self, prompt: Prompt, number: int) -> int:
        count = len(self.constitution.principles)
        order = sorted(range(count), key=lambda i: unit_hash("revision", self.settings.seed, prompt.id, i))
        return order[number % count]

    def _draft_request(self, prompt: Prompt) -> CompleteRequest:
        return self._writer.answer(prompt, self.settings.max_new_tokens, ("draft", prompt.id))

    def _critique_request(self, prompt: Prompt, draft: str, principle: int, number: int) -> CompleteRequest:
        text = (
            f"{self._material(prompt, draft, principle)}\n\nIn two to four sentences, say where the response goes "
            "against the principle, and what would have to change. If nothing does, say what could be better by it."
        )
        return self._writer.text(text, CRITIQUE, self.settings.critique_tokens, ("critique", prompt.id, number))

    def _revision_request(
        self, prompt: Prompt, draft: str, principle: int, critique: str, number: int
    ) -> CompleteRequest:
        text = (
            f"{self._material(prompt, draft, principle)}\n\n{CRITIQUE} {tagged('step', critique)}\n\nRewrite the "
            "response so that the critique no longer holds. Keep what was good. Write the new response to the prompt "
            "and nothing else."
        )
        return self._writer.text(text, REVISION, self.settings.max_new_tokens, ("revision", prompt.id, number))

    def _material(self, prompt: Prompt, draft: str, principle: int) -> str:
        shown = "\n".join((tagged("prompt", prompt_text(prompt.conversation)), tagged("response", draft)))
        return (
            f"Improve a response to a prompt by this principle:\n{self.constitution.principles[principle]}\n\n{shown}"
        )
