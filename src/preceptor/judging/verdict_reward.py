"""Rewards of a judge that learns by reinforcement: its verdict is right or wrong, which needs no other judge.

For `[rewards] functions = ["preceptor.judging.verdict_reward:consistent"]`, or `:agrees`, on the `questions.jsonl` that
`train judge` writes (Whitehouse et al. 2025, "J1", arXiv 2505.10320).
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from preceptor.judging.pairwise import ENDING


def agrees(
    completions: Sequence[Sequence[Mapping[str, str]]],
    reference: Sequence[str | None],
    choices: Sequence[Sequence[str]],
) -> list[float | None]:
    """1 for each completion whose verdict is the right one, 0 for another one and for none.

    Args:
        completions: each a list of one message: a rationale, and how the judge is asked to end, with its answer.
        reference: the right answer to each question.
        choices: the answers that may be given.

    Returns: a reward for each completion; None where the right answer is not known.
    """
    return [
        None if right is None else float(verdict_in(completion[-1]["content"], of) == right)
        for completion, right, of in zip(completions, reference, choices, strict=True)
    ]


def consistent(
    completions: Sequence[Sequence[Mapping[str, str]]],
    reference: Sequence[str | None],
    choices: Sequence[Sequence[str]],
    together: Sequence[str | None],
) -> list[float | None]:
    """As `agrees`, but a right verdict pays only as often as the judge is right in the other order as well.

    Args:
        together: the comparison that each question asks about. In its other order, the other answer is right.

    Returns: for a right verdict, the share of right ones among the completions in the other order; 0 for a wrong one.
        None where the right answer is not known, or no completion in the other order is there.
    """
    right = agrees(completions, reference, choices)
    asked = list(zip(together, reference, strict=True))
    said = defaultdict[tuple[str | None, str | None], list[float]](list)
    for question, value in zip(asked, right, strict=True):
        said[question] += [] if value is None else [value]

    def paid(name: str | None, answer: str | None, value: float | None) -> float | None:
        other = [each for (n, a), values in said.items() if n == name and a != answer for each in values]
        return None if value is None or name is None or not other else value * fmean(other)

    return [paid(name, answer, value) for (name, answer), value in zip(asked, right, strict=True)]


def verdict_in(text: str, choices: Sequence[str]) -> str | None:
    """The answer that a judge gave last; None if it gave none of the choices."""
    listed = "|".join(re.escape(choice) for choice in sorted(choices, key=len, reverse=True))
    found = re.findall(rf"{re.escape(ENDING.rstrip(':'))}\W*?({listed})(?!\w)", text, re.IGNORECASE)
    return found[-1] if found else None
