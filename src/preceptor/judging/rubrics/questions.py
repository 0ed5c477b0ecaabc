"""What a judge is asked about a response and the rubric of its prompt.

A criterion is judged met or not, and nothing more: what it is worth is not shown, so the judge cannot lean to a total.
Prompt, response and reference stand between tags that their own text cannot write (`judging/render.py`).
"""

import re
from collections.abc import Sequence

from preceptor.core.rubric import Rubric, RubricItem
from preceptor.core.types import JsonObject
from preceptor.judging.one_call import Form
from preceptor.judging.render import tagged, visible, without_tags

YES, NO, UNCLEAR = ANSWERS = ("yes", "no", "unclear")
"""What a judge may say of a criterion; `unclear` is "cannot assess"."""
ITEM_ENDING = "Answer:"
SCORE_ENDING = "Final score:"
ITEM_REASON = "Say in two to four sentences what in the response speaks for and against it. Do not answer yet."
SCORE_REASON = "Say in two to four sentences which criteria the response meets and which not. Do not give a score yet."
TASK = (
    "You check what a response does. Whether a criterion names a merit or a fault does not matter: say only whether "
    "the response does what the criterion says."
)
IMPLICIT_TASK = "You score a response by the criteria below, and by nothing else."
ITEM_ANSWER = (
    f"Answer with one word in lower case: {YES} if it does, {NO} if it does not, or {UNCLEAR}, only if what is shown "
    "does not let anyone tell."
)
UNCLEAR_MEANS = f'Answer "{UNCLEAR}" only if what is shown does not let anyone tell.'
COMPARED = "The reference is a right answer to the prompt; compare the response with it."
IMPLICIT_QUESTION = (
    "How well does the response meet the criteria? Points say how much each one counts; those below 0 are faults. "
    "Score it from 1 to 10, where\n1: it meets none of the criteria, or its faults outweigh all that it meets\n"
    "10: it meets all criteria and has none of the faults"
)
TEMPLATES = (TASK, IMPLICIT_TASK, ITEM_ANSWER, UNCLEAR_MEANS, COMPARED, IMPLICIT_QUESTION, ITEM_ENDING, *ANSWERS)
"""All that can change an opinion besides prompt, response and rubric."""
_REFERENCE_TAG = re.compile(r"<(\s*(?:/\s*)?reference\b[^<>]{0,80})>?", re.IGNORECASE)


def item_text(item: RubricItem, prompt: str, response: str, reference: str | None) -> str:
    """The question about one item.

    Args:
        reference: the prompt's reference answer, for an item that is compared with it.
    """
    shown = _shown(prompt, response, reference)
    asked = f"Criterion: {_criterion(item)}\n\nDoes the response meet this criterion? {ITEM_ANSWER}"
    return f"{TASK}\n\n{shown}\n\n{asked}"


def items_text(items: Sequence[tuple[str, RubricItem]], prompt: str, response: str, reference: str | None) -> str:
    """The question about several items at once, each with its name in the answer."""
    listed = "\n".join(f"{name}: {_criterion(item)}" for name, item in items)
    asked = f"Criteria:\n{listed}\n\nDoes the response meet each criterion? {UNCLEAR_MEANS}"
    return f"{TASK}\n\n{_shown(prompt, response, reference)}\n\n{asked}"


def item_form(names: Sequence[str]) -> Form:
    """The form of the answer about several items."""
    value: JsonObject = {"type": "string", "enum": list(ANSWERS)}
    return Form(tuple(names), ANSWERS, value, "yes, no or unclear", "yes, no or unclear")


def implicit_text(rubric: Rubric, prompt: str, response: str, reference: str | None) -> str:
    """The question about the whole rubric."""
    listed = "\n".join(f"- ({item.points:+g} points) {_criterion(item)}" for item in rubric.items)
    shown = _shown(prompt, response, reference)
    return f"{IMPLICIT_TASK}\n\nCriteria:\n{listed}\n\n{shown}\n\n{IMPLICIT_QUESTION}"


def _shown(prompt: str, response: str, reference: str | None) -> str:
    parts = [_tagged("prompt", prompt), _tagged("response", response)]
    return "\n".join(parts if reference is None else [*parts, f"{_tagged('reference', reference)}\n{COMPARED}"])


def _tagged(tag: str, text: str) -> str:
    return tagged(tag, _REFERENCE_TAG.sub(lambda match: f"({match[1].strip()})", visible(text)))


def _criterion(item: RubricItem) -> str:
    return " ".join(without_tags(item.criterion).split())
