"""Builds the text that a judge is shown. Everything that a candidate wrote is treated as hostile.

Prompts and responses are shown between tags, and a candidate's own uses of those tags lose their angle brackets, so it
can neither close its tag nor open another one. In the plain form of a score rubric, labels at the beginnings of lines
separate the items instead; there, a candidate is folded into one line and its labels lose their colon. A candidate can
write "Preferred response: 1", but only inside its own text: the judge's answer is read from the probabilities of what
follows the complete text. Text is concatenated, never substituted into, so a placeholder stays text. Control tokens are
kept out where the prompt is tokenised (`backends/transformers/chat.py`).
"""

import re
from collections.abc import Sequence

from preceptor.core.text import replace_hidden
from preceptor.core.types import Conversation, Message, Prompt
from preceptor.judging.constitution import PLACEHOLDER, Constitution, Criterion, ScoreRubric

BASE_INSTRUCTION = "Two responses to a prompt are compared. The better one is preferred."
"""The instruction of a judge that is not shown the constitution (the base preamble of Lee et al. 2023)."""
_TAG = re.compile(r"<(\s*(?:/\s*)?(?:prompt|response|step)(?:[\s_]*\d+)?\b[^<>]{0,80})>?", re.IGNORECASE)


def principles_text(principles: Sequence[str]) -> str:
    """The principles as a list."""
    return "\n".join(f"- {principle}" for principle in principles)


def preamble(constitution: Constitution, shown: Sequence[int] = ()) -> str:
    """Instruction and principles.

    Args:
        shown: positions of the principles to show; all of them when empty.
    """
    principles = [constitution.principles[i] for i in shown] or constitution.principles
    return f"{constitution.instruction.strip()}\n\nPrinciples:\n{principles_text(principles)}"


def tagged(tag: str, text: str) -> str:
    """Text from outside, between tags."""
    return f"<{tag}>\n{without_tags(text).strip()}\n</{tag}>"


def without_tags(text: str) -> str:
    """The text without invisible characters, and without the angle brackets of the judge's tags."""
    return _TAG.sub(lambda match: f"({match[1].strip()})", visible(text))


def visible(text: str) -> str:
    """The text without invisible characters. A joiner stays only between two letters outside ASCII: elsewhere it spells
    nothing, and could hide a tag or a label.
    """
    return replace_hidden(text, lambda _: "")


def prompt_text(conversation: Conversation) -> str:
    """A prompt as a judge reads it: the question alone, or all turns up to it, each with its speaker."""
    if len(conversation) == 1:
        return conversation[0].content
    return "\n\n".join(f"{message.role.capitalize()}: {message_text(message)}" for message in conversation)


PLAIN_STOP = ("\n<",)
"""Text with which a base model that answers a plain request would begin another item."""


def plain_request(prompt: Prompt) -> str:
    """A prompt as plain text that a base model continues with its answer."""
    return f"{tagged('prompt', prompt_text(prompt.conversation))}\n\nResponse:"


def message_text(message: Message) -> str:
    """A message with its tool calls."""
    calls = [f"[calls {call.function.name}({call.function.arguments})]" for call in message.tool_calls]
    return "\n".join(part for part in (message.content, *calls) if part)


def comparison_text(prompt: str, first: str, second: str) -> str:
    """A prompt and two responses in the order shown."""
    return "\n".join((tagged("prompt", prompt), tagged("response_1", first), tagged("response_2", second)))


def criterion_text(criterion: Criterion, prompt: str, response: str) -> str:
    """A prompt and a response, with the question and the anchors of one criterion."""
    return f"{_response_item(prompt, response)}\n\n{_criterion(criterion)}"


def criteria_text(criteria: Sequence[Criterion], prompt: str, response: str) -> str:
    """A prompt and a response, with the name, the question and the anchors of every criterion."""
    asked = [f"{criterion.name}: {_criterion(criterion)}" for criterion in criteria]
    return "\n\n".join((_response_item(prompt, response), *asked))


def _response_item(prompt: str, response: str) -> str:
    return "\n".join((tagged("prompt", prompt), tagged("response", response)))


def _criterion(criterion: Criterion) -> str:
    anchors = "\n".join(f"{score}: {anchor}" for score, anchor in criterion.anchors.items())
    return f"{criterion.question} Score it from 1 to 10, where\n{anchors}"


def render_item_prompt(constitution: Constitution, prompt: Prompt, response_text: str) -> str:
    """The text that the judge's answer continues, in a score rubric's custom format: preamble, items, answers."""
    rubric = constitution.score
    opening = rubric.preamble.replace("{principles}", principles_text(constitution.principles)).strip()
    shown = [_item(rubric, e.prompt, e.response) + " " + e.answer for e in rubric.exemplars]
    judged = _item(rubric, prompt.text, response_text)
    return "\n\n".join([*([opening] if opening else []), *shown, judged])


def _item(rubric: ScoreRubric, prompt_text: str, response_text: str) -> str:
    contents = {"prompt": contained(prompt_text, rubric), "response": contained(response_text, rubric)}
    return PLACEHOLDER.sub(lambda match: contents[match[1]], rubric.item.strip())


def contained(text: str, rubric: ScoreRubric) -> str:
    """The text as it is shown in a rubric's custom format: on one line, without the labels of its item."""
    labels = {label.strip() for label in re.findall(r"[^\n{}]+:", PLACEHOLDER.sub("\n", rubric.item))}
    folded = one_line(text)
    for label in sorted(labels):
        words = r"\s+".join(re.escape(word) for word in label[:-1].split())
        folded = re.sub(rf"({words})(?:\s*:)+", r"\1 ", folded, flags=re.IGNORECASE)
    return one_line(folded)


def one_line(text: str) -> str:
    """The text on a single line: every kind of white space becomes a space, invisible characters are dropped."""
    return " ".join(visible(" ".join(text.split())).split())
