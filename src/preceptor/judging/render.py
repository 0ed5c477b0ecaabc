"""What a judge is shown. Everything a candidate wrote is hostile.

In a completion prompt items are told apart by the labels that open their lines. A candidate is therefore folded into
one line and its own uses of those labels lose their colon, so that it can neither end its item nor write an answer.
Placeholders are filled in one pass over the constitution's text, so one that stands in a candidate stays text. Control
tokens are kept out where the prompt is tokenised (`backends/transformers/chat.py`).
"""

import re
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
    contents = {"prompt": contained(prompt_text, constitution), "response": contained(response_text, constitution)}
    return PLACEHOLDER.sub(lambda match: contents[match[1]], constitution.item.strip())


def contained(text: str, constitution: Constitution) -> str:
    """The text as it is shown to a judge: on one line, without the constitution's labels."""
    labels = {label.strip() for label in re.findall(r"[^\n{}]+:", PLACEHOLDER.sub("\n", constitution.item))}
    folded = one_line(text)
    for label in sorted(labels):
        words = r"\s+".join(re.escape(word) for word in label[:-1].split())
        folded = re.sub(rf"({words})\s*:", r"\1 ", folded, flags=re.IGNORECASE)
    return one_line(folded)


def one_line(text: str) -> str:
    """The text on a single line: every kind of white space becomes a space, control characters are dropped."""
    visible = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(visible.split())
