"""One item of a rubric: who checks it, and what its check gave."""

from collections.abc import Sequence
from functools import cache

from preceptor.core.errors import UsageError
from preceptor.core.rubric import Rubric, RubricItem
from preceptor.core.types import JudgeFailure, Prompt, Response, Verdict
from preceptor.judging.rubrics.aggregate import ItemJudgement
from preceptor.judging.rubrics.checks import Checked, UserCheck, verifier_of
from preceptor.judging.rubrics.questions import NO, UNCLEAR, YES


def by_model(rubric: Rubric | None) -> list[tuple[int, RubricItem]]:
    """The items that a judge decides, each with its position."""
    items = () if rubric is None else rubric.items
    return [(i, item) for i, item in enumerate(items) if item.checked_by in ("judge", "reference")]


def judgement_of(answer: Verdict | JudgeFailure) -> ItemJudgement:
    """What a judge's answer says of an item. It is not assessed if "cannot assess" is the likeliest answer; otherwise
    P(met) is P(yes) among yes and no.
    """
    if isinstance(answer, JudgeFailure):
        return ItemJudgement(failure=answer)
    yes, no, unclear = (answer.probabilities[choice] for choice in (YES, NO, UNCLEAR))
    return ItemJudgement(met=None if unclear > max(yes, no) else yes / (yes + no), verdict=answer)


def checked(item: RubricItem, prompt: Prompt, response: Response) -> ItemJudgement:
    """What the verifier or the function of an item says of a response.

    A check that cannot be used is a failure of the item; `check_rubrics` finds such checks before any work.
    """
    try:
        result = _checked(item, prompt, response)
    except UsageError as error:
        result = JudgeFailure(reason="refused", detail=str(error))
    return ItemJudgement(failure=result) if isinstance(result, JudgeFailure) else ItemJudgement(met=result)


def _checked(item: RubricItem, prompt: Prompt, response: Response) -> Checked:
    if isinstance(item.check, str):
        return _function(item.check).check(prompt, response)
    return verifier_of(item.check).check(response.text, prompt.reference)


def check_rubrics(prompts: Sequence[Prompt]) -> None:
    """Checks before any work that all prompts have rubrics, and that their verifiers and functions can be used. The
    modules of functions are executed.

    Raises: UsageError naming the prompt, the item (counted from 1) and what is wrong.
    """
    for prompt in prompts:
        if prompt.rubric is None:
            raise UsageError(without_rubric(prompt).detail)
        check_items(prompt.rubric, prompt)


def check_items(rubric: Rubric, prompt: Prompt) -> None:
    """Checks that the verifiers and functions of a prompt's rubric can be used.

    Raises: as `check_rubrics`.
    """
    for number, item in enumerate(rubric.items, 1):
        try:
            _prepare(item)
        except UsageError as error:
            raise UsageError(f'the prompt "{prompt.id}": rubric item {number}: {error}') from error


def without_rubric(prompt: Prompt) -> JudgeFailure:
    """The failure of a response whose prompt has no rubric."""
    return JudgeFailure(
        reason="refused",
        detail=f'the prompt "{prompt.id}" has no rubric; give it one as "rubric", or judge by a constitution',
    )


def _prepare(item: RubricItem) -> None:
    if not isinstance(item.check, str):
        verifier_of(item.check).prepare()
    elif item.checked_by == "function":
        _function(item.check)


@cache
def _function(name: str) -> UserCheck:
    return UserCheck(name)
