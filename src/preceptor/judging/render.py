"""What a judge is shown. Everything a candidate wrote is hostile.

In a completion prompt a line break is the delimiter: items are told apart by the words that open a line. A candidate is
therefore folded into one line, so that it can neither end its item nor write an answer of its own below it.
Placeholders are filled in one pass over the constitution's text, so one that stands in a candidate stays text. Control
tokens are kept out where the prompt is tokenised (`backends/transformers/chat.py`).
"""

import unicodedata

from preceptor.core.types import Prompt
from preceptor.judging.constitution import PLACEHOLDER, Constitution


def render_score_prompt(constitution: Constitution, prompt: Prompt, response_text: str) -> str:
    """The text whose continuation is the judge's answer about a response."""
    preamble = constitution.preamble.replace("{principles}", "\n".join(f"- {p}" for p in constitution.principles))
    shown = [_item(constitution, e.prompt, e.response) + " " + e.answer for e in constitution.exemplars]
    judged = _item(constitution, prompt.text, response_text)
    return "\n\n".join([*([preamble.strip()] if preamble.strip() else []), *shown, judged])


def _item(constitution: Constitution, prompt_text: str, response_text: str) -> str:
    contents = {"prompt": one_line(prompt_text), "response": one_line(response_text)}
    return PLACEHOLDER.sub(lambda match: contents[match[1]], constitution.item.strip())


def one_line(text: str) -> str:
    """The text on a single line: every kind of white space becomes a space, control characters are dropped."""
    visible = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(visible.split())
