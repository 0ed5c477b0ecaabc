"""What the policy answered to the same prompts at each checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, Snapshot, by_prompt
from preceptor.studio.rows.entries import all_texts

PAGE = 10
"""Prompts on one page."""
MOST_STEPS = 4
"""Checkpoints side by side."""


@dataclass(frozen=True)
class Answered:
    """One prompt, and the responses at each of the chosen checkpoints."""

    prompt_id: str
    cohort: str
    prompt: str
    by_step: Sequence[Sequence[MeasuredResponse]]


@dataclass(frozen=True)
class SamplePage:
    """Prompts with their responses at some checkpoints."""

    steps: tuple[int, ...]
    prompts: Sequence[Answered]
    total: int
    """Prompts that match."""


def usual_steps(snapshots: Sequence[Snapshot]) -> tuple[int, ...]:
    """Checkpoints worth looking at first: the first, the last, and evenly spaced ones between them."""
    steps = [snapshot.step for snapshot in snapshots]
    if len(steps) <= MOST_STEPS:
        return tuple(steps)
    return tuple(steps[round(i * (len(steps) - 1) / (MOST_STEPS - 1))] for i in range(MOST_STEPS))


def sample_page(snapshots: Sequence[Snapshot], steps: Sequence[int], words: str, page: int) -> SamplePage:
    """A page of prompts with their responses.

    Args:
        steps: the checkpoints to show; those that the run does not have are left out.
        words: a text that the prompt or a shown response contains, in any case; empty for all.
        page: counted from 1.
    """
    shown = [snapshot for snapshot in snapshots if snapshot.step in steps][:MOST_STEPS]
    grouped = [by_prompt(snapshot.responses) for snapshot in shown]
    names = list(dict.fromkeys(name for groups in grouped for name in groups))
    answered = [_answered([groups.get(name, []) for groups in grouped]) for name in names]
    matching = [prompt for prompt in answered if _contains(prompt, words.casefold())]
    first = PAGE * (max(page, 1) - 1)
    return SamplePage(tuple(snapshot.step for snapshot in shown), matching[first : first + PAGE], len(matching))


def _answered(by_step: Sequence[Sequence[MeasuredResponse]]) -> Answered:
    one = next(response for responses in by_step for response in responses)
    return Answered(one.prompt_id, one.cohort, one.prompt, by_step)


def _contains(prompt: Answered, words: str) -> bool:
    said = [prompt.prompt, *(all_texts(response) for responses in prompt.by_step for response in responses)]
    return not words or any(words in text.casefold() for text in said)
