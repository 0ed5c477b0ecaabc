"""Measured responses as rows for reading: each prompt with what each policy answered."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from preceptor.core.numbers import number
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, Snapshot
from preceptor.reports.responses import Row, Side
from preceptor.reports.turns import ENDINGS, turns_of
from preceptor.results.run import RunSummary


@dataclass(frozen=True)
class Scores:
    """Which scores responses have, and what they are called."""

    held_out: bool
    """Whether there is a held-out measure."""
    training: str | None
    """What gave the training reward, such as "judge"; None if nothing did."""

    @classmethod
    def of_run(cls, summary: RunSummary) -> "Scores":
        """The scores of a run's responses."""
        by = "reward model" if summary.by_reward_model else "judge"
        return cls(summary.heldout_score_is is not None, by if summary.judge_score_is is not None else None)


def rows_of(snapshots: Mapping[str, Snapshot], scores: Scores) -> list[Row]:
    """A row for each sample of each prompt, with the responses of all policies that answered the prompt so often.

    Args:
        snapshots: by the policy's name.
    """
    by_name = {name: _by_prompt(snapshot.responses) for name, snapshot in snapshots.items()}
    prompts = dict.fromkeys(prompt for answered in by_name.values() for prompt in answered)
    return [row for prompt in prompts for row in _rows_of(prompt, by_name, scores)]


def row_of(sides: Mapping[str, MeasuredResponse], scores: Scores, tag: str = "") -> Row:
    """One prompt with a response of each policy; its tag is the cohort's name after `tag`."""
    first = next(iter(sides.values()))
    return Row(
        tag=" · ".join(part for part in (tag, first.cohort) if part),
        prompt=first.prompt,
        sides=tuple(
            Side(
                _label(name, response, scores),
                response.text,
                thought=response.thought or "",
                turns=turns_of(response.trajectory, response.steps),
            )
            for name, response in sides.items()
        ),
    )


def _rows_of(
    prompt: str, by_name: Mapping[str, Mapping[str, Sequence[MeasuredResponse]]], scores: Scores
) -> Iterator[Row]:
    answered = {name: of_prompt[prompt] for name, of_prompt in by_name.items() if prompt in of_prompt}
    for sample in range(min(map(len, answered.values()))):
        yield row_of({name: group[sample] for name, group in answered.items()}, scores)


def _by_prompt(responses: Sequence[MeasuredResponse]) -> dict[str, list[MeasuredResponse]]:
    of_prompt: dict[str, list[MeasuredResponse]] = {}
    for response in responses:
        of_prompt.setdefault(response.prompt_id, []).append(response)
    return of_prompt


def _label(name: str, response: MeasuredResponse, scores: Scores) -> str:
    parts = [name]
    if scores.held_out:
        parts.append(f"held-out {number(response.heldout_score, signed=True)}")
    if scores.training is not None:
        score = "failed" if response.judge_score is None else number(response.judge_score, signed=True)
        parts.append(f"{scores.training} {score}")
    if response.unfinished_thought:
        parts.append(f"no answer: the thought did not end within {response.tokens} tokens")
    elif response.episode is not None:
        parts.append(ENDINGS[response.episode.ending])
    elif not response.finished:
        parts.append(f"cut at {response.tokens} tokens")
    return " · ".join(parts)
