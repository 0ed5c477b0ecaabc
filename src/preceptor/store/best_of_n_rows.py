"""The file `best_of_n.jsonl` of a run: on each line some prompts, with the best response and all rewards of each."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field, ValidationError, model_validator

from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen, Prompt
from preceptor.core.validation import first_problem
from preceptor.store.rows import parse_line

FILE = "best_of_n.jsonl"
"""The file's name in the run's folder."""


class BestResponse(Frozen):
    """The response with the highest reward."""

    text: str
    finished: bool
    thought: str | None = Field(default=None, exclude_if=lambda thought: thought is None)
    """What the policy thought before it, if it thinks."""


class AnsweredPrompt(Frozen):
    """The prompt of a row, as reports show it."""

    id: str
    cohort: str
    text: str
    """Its last message."""

    @classmethod
    def of(cls, prompt: Prompt) -> "AnsweredPrompt":
        """What a line keeps of a prompt."""
        return cls(id=prompt.id, cohort=prompt.cohort, text=prompt.text)


class BestOfNRow(Frozen):
    """The rewards of all responses to one prompt, and the best of them."""

    prompt: AnsweredPrompt | None
    """None in runs of earlier versions, which did not keep it here."""
    number: int
    """Place of the prompt among the run's training prompts, counted from 0."""
    best: BestResponse | None
    """None if nothing was chosen: fewer than two rewards, equal rewards, or an empty response."""
    rewards: tuple[float | None, ...]
    """Of each response, in the order of sampling; None where the judge failed."""

    @property
    def prompt_id(self) -> str:
        """The prompt's id; where it is not known, its place."""
        return f"prompt {self.number + 1}" if self.prompt is None else self.prompt.id

    @property
    def highest(self) -> float | None:
        """The highest reward; None if no response has one."""
        return max((reward for reward in self.rewards if reward is not None), default=None)


class BestOfNLine(Frozen):
    """Some prompts' rewards and best responses, which were sampled and judged together."""

    best: tuple[BestResponse | None, ...]
    rewards: tuple[tuple[float | None, ...], ...]
    prompts: tuple[AnsweredPrompt, ...] | None = None
    """None in runs of earlier versions."""

    @model_validator(mode="after")
    def _as_many(self) -> "BestOfNLine":
        if not len(self.best) == len(self.rewards) == len(self.best if self.prompts is None else self.prompts):
            raise ValueError("expected as many best responses as lists of rewards and prompts")
        return self

    def wire(self) -> dict[str, Any]:
        """The line as it is written."""
        return self.model_dump(mode="json")

    def rows(self, first: int) -> list[BestOfNRow]:
        """A row for each prompt; `first` is the place of the first one."""
        prompts = self.prompts or [None] * len(self.best)
        return [
            BestOfNRow(prompt=prompt, number=first + i, best=best, rewards=rewards)
            for i, (prompt, best, rewards) in enumerate(zip(prompts, self.best, self.rewards, strict=True))
        ]


def best_of_n_rows(lines: Sequence[bytes], place: str) -> tuple[BestOfNRow, ...]:
    """The rows of whole lines.

    Raises: UsageError beginning with `place` if one is damaged.
    """
    rows: list[BestOfNRow] = []
    for number, line in enumerate(lines, 1):
        raw = parse_line(line)
        try:
            rows += BestOfNLine.model_validate(raw).rows(len(rows))
        except ValidationError as error:
            raise UsageError(f"{place}:{number}: {raw if isinstance(raw, str) else first_problem(error)}") from error
    return tuple(rows)
